"""Plans: where the graph is cut, which images are stored, how large batches are, and what is refused."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zarr

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError, PlanTooLarge
from lepton_celery.execution.block import compute_block, read_block
from lepton_celery.execution.context import Context
from lepton_celery.graph.nodes import Node
from lepton_celery.grid import BlockIndex, Region, StageIndex
from lepton_celery.planning.cost.model import CostModel, Figure, Overheads
from lepton_celery.planning.options import Limits, PlanOptions
from lepton_celery.planning.plan import Plan, grid_over
from lepton_celery.planning.planner import make_plan
from lepton_celery.planning.regions import grid_shape, on_grid
from lepton_celery.skimage import color, exposure, filters, measure, morphology, transform
from lepton_celery.stores import Target, array_output
from lepton_celery.stores.axes import Axes
from lepton_celery.stores.workspace import MemoryWorkspace
from tests.oracle import picture
from tests.unit.plans import cells, everything, operations, plan_of, vast

# ------------------------------------------------------------------------------------------------ stages


def test_a_chain_of_local_functions_is_one_stage_that_stores_only_its_end() -> None:
    image = vast((500, 600), "float32")
    end = filters.sobel(morphology.opening(filters.gaussian(image, 2) * 2 + 1, np.ones((5, 5), np.uint8)))[::2, 3:]
    plan = plan_of(end)
    assert len(plan.stages) == 1
    assert [plan.nodes[i].operation for i in plan.stages[0].stores] == ["lepton.select"]
    assert plan.intermediates == {}
    assert {"filters.gaussian", "morphology.opening", "filters.sobel"} <= operations(plan, 0)


def test_stages_are_cut_at_whole_image_values_only() -> None:
    image = vast((500, 600))

    def count(*nodes: Node) -> int:
        return len(plan_of(*nodes).stages)

    assert count(filters.gaussian(image)) == 1
    assert count(image.max()) == 1
    assert count(image - image.max()) == 2
    assert count(filters.threshold_otsu(image)) == 1  # a histogram of all 256 values
    assert count(filters.threshold_otsu(image.astype("uint16"))) == 2  # extent, histogram
    assert count(image > filters.threshold_otsu(image)) == 2
    assert count(measure.label(image > 3)) == 2
    assert count(np.percentile(image, 5)) == 1
    assert count(np.percentile(image.astype("float64"), 5)) == 4  # sixteen bits are found in each pass
    assert count(image.max() - image.min(), image.max() * 2) == 1
    assert count(*cells(image)) == 4


def test_one_pass_finds_the_minimum_and_the_maximum() -> None:
    image = vast((500, 600))
    spread = exposure.rescale_intensity(image) + (image > image.max() * 0.5)
    plan = plan_of(spread)
    assert len(plan.stages) == 2
    assert [plan.nodes[i].operation for i in plan.stages[0].reduces] == ["lepton.extent"]


def test_equal_nodes_are_computed_once() -> None:
    image = vast((500, 600))
    plan = plan_of(filters.gaussian(image, sigma=2) - filters.gaussian(image, sigma=2))
    assert [node.operation for node in plan.nodes].count("filters.gaussian") == 1
    plan = plan_of(image.astype(float) * 0.0, image.astype(float) * -0.0)
    assert [node.operation for node in plan.nodes].count("numpy.multiply") == 2  # of different signs


def test_cheap_images_are_recomputed_and_expensive_ones_stored() -> None:
    image = vast((2000, 2000))
    cheap, dear = image + 1.0, filters.median(image, np.ones((15, 15), np.uint8))
    assert plan_of(cheap - cheap.max()).intermediates == {}
    plan = plan_of(dear - dear.max())
    assert [plan.nodes[i].operation for i in plan.intermediates] == ["ndimage.median_filter"]
    assert operations(plan, 0) == {"ndimage.median_filter", "lepton.extent"}
    assert "ndimage.median_filter" not in operations(plan, 1)


def test_labels_of_blocks_are_always_stored() -> None:
    plan = plan_of(measure.label(vast((500, 600)) > 3))
    assert [plan.nodes[i].operation for i in plan.intermediates] == ["lepton.label_blocks"]


def test_outputs_of_different_grids_are_stages_of_their_own() -> None:
    image = vast((500, 600, 3))
    gray = color.rgb2gray(image)
    plan = plan_of(gray, image / 2, gray[::2, ::2])
    assert [stage.shape for stage in plan.stages] == [(500, 600), (250, 300)]


def test_few_channels_are_never_cut() -> None:
    assert grid_shape((50, 60, 3)) == (50, 60)
    assert grid_shape((50, 60, 5)) == (50, 60, 5)
    assert grid_shape((50, 3)) == (50, 3)
    assert on_grid(Region((5, 6), (7, 8)), (50, 60, 3)) == Region((5, 6, 0), (7, 8, 3))
    stage = plan_of(vast((50, 60, 3)) + 1, block_shape=(20, 20)).stages[0]
    grid = grid_over(stage, (50, 60, 3))
    assert (grid.shape, grid.block_shape) == ((50, 60, 3), (20, 20, 3))
    assert [on_grid(region, (50, 60, 3)) for region in stage.grid] == list(grid)


# ------------------------------------------------------------------------------------------------ JSON


def test_a_plan_that_went_through_json_is_the_same_plan() -> None:
    outputs = everything(graph.open(picture((60, 70), "uint16")))
    document = make_plan(outputs, PlanOptions(block_shape=(20, 30))).plan.to_json()
    text = json.dumps(document)
    again = Plan.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    labels, table = cells(graph.open(picture((60, 70), "uint16")))
    plan = plan_of(labels, table, block_shape=(20, 30))
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_plan_of_another_version_is_refused() -> None:
    document = plan_of(vast((50, 60)) + 1).to_json()
    with pytest.raises(InputError, match=r"version 7.*same release"):
        Plan.from_json({**document, "version": 7})


# ------------------------------------------------------------------------------------------------ limits


def test_a_plan_that_needs_too_much_memory_is_refused_with_the_figures_and_the_remedy() -> None:
    heavy = filters.gaussian(vast((20_000, 20_000), "float64"), sigma=3)
    with pytest.raises(
        PlanTooLarge, match=r"blocks of .* need \d+ MiB .* limit of 1024 MiB; use smaller blocks or raise"
    ):
        plan_of(heavy, block_shape=(20_000, 20_000))
    with pytest.raises(PlanTooLarge, match="limit of 0 MiB"):
        plan_of(heavy, limits=Limits(worker_memory_bytes=1000))
    tight = plan_of(heavy, limits=Limits(worker_memory_bytes=4 << 20))
    assert tight.stages[0].predicted.memory_bytes <= 4 << 20


def test_too_many_pixels_or_blocks_are_refused() -> None:
    with pytest.raises(PlanTooLarge, match=r"1,000,000 pixels, over the limit of 999,999; raise"):
        plan_of(vast((1000, 1000)) + 1, limits=Limits(pixels=999_999))
    with pytest.raises(PlanTooLarge, match=r"1,000,000 blocks .* over the limit of 100; use larger blocks"):
        plan_of(vast((1000, 1000)) + 1, block_shape=(1, 1), limits=Limits(blocks=100))


def test_empty_outputs_and_arrays_are_refused_as_outputs() -> None:
    with pytest.raises(InputError, match="no outputs"):
        make_plan({})
    with pytest.raises(InputError, match="'a' is ndarray"):
        make_plan({"a": np.ones((3, 3))})  # type: ignore[dict-item]


def test_a_million_blocks_are_planned_in_seconds_and_little_memory() -> None:
    def planned(side: int) -> tuple[Plan, float, int]:
        image = vast((side, side))
        tracemalloc.start()
        begun = time.process_time()
        plan = plan_of(*cells(image), block_shape=(1000, 1000))
        seconds = time.process_time() - begun
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return plan, seconds, peak

    planned(3000)  # load modules and fill caches
    small, _, few = planned(10_000)
    large, seconds, many = planned(1_000_000)
    assert len(large.stages[0].grid) == 1_000_000
    assert len(small.stages[0].grid) == 100
    assert seconds < 3
    assert many < few + 500_000
    assert len(json.dumps(large.to_json())) < len(json.dumps(small.to_json())) + 1100


# ------------------------------------------------------------------------------------------------ regions


class CountingReader:
    """Counts the pixels that are read from an array."""

    url = "memory:"
    reads_whole_chunks = True
    axes: Axes = ()

    def __init__(self, array: Array) -> None:
        self.array, self.shape, self.dtype, self.chunks = array, array.shape, array.dtype, array.shape
        self.regions: list[Region] = []

    def read(self, region: Region) -> Array:
        self.regions.append(region)
        return np.array(self.array[region.slices])


def reads_of_block(node: Node, block_shape: tuple[int, ...], block: int, image: Array) -> list[Region]:
    plan = plan_of(node, block_shape=block_shape)
    assert len(plan.stages) == 1
    context = Context(plan, MemoryWorkspace())
    source = next(i for i, found in enumerate(plan.nodes) if found.operation == "lepton.source")
    reader = CountingReader(image)
    context._readers[source] = reader
    compute_block(
        context,
        StageIndex(0),
        BlockIndex(block),
        read_block(context, StageIndex(0), BlockIndex(block)),
        plan.outputs["0"],
    )
    return reader.regions


def test_a_block_reads_its_halo_once_and_no_pixel_more() -> None:
    array = picture((60, 60), "float64")
    image = graph.open(array)
    cases: list[tuple[Node, Region]] = [
        (image + 1, Region((20, 20), (40, 40))),
        (filters.sobel(image), Region((19, 19), (41, 41))),
        (filters.sobel(filters.sobel(image)) + image, Region((18, 18), (42, 42))),
        ((image + 1) * filters.sobel(image), Region((19, 19), (41, 41))),  # the wider region is read
        (filters.gaussian(image, sigma=(1, 2)), Region((16, 12), (44, 48))),
        (morphology.opening(image, np.ones((5, 1), np.uint8)), Region((16, 20), (44, 40))),
        (filters.sobel(image)[:, 10:], Region((19, 29), (41, 51))),
        (filters.gaussian(image, sigma=20), Region((0, 0), (60, 60))),
    ]
    for node, expected in cases:
        assert reads_of_block(node, (20, 20), 4, array) == [expected], node


def test_a_slice_and_a_shrunk_image_read_only_what_they_pick() -> None:
    array = picture((60, 60), "float64")
    image = graph.open(array)
    assert reads_of_block(image[::3, 7], (5,), 1, array) == [Region((15, 7), (28, 8))]
    shrunk = transform.downscale_local_mean(image, (4, 6))
    assert reads_of_block(shrunk, (5, 5), 1, array) == [Region((0, 30), (20, 60))]


def test_a_plan_predicts_what_a_stage_reads_and_writes() -> None:
    plan = plan_of(filters.sobel(vast((3000, 3000), "float32")), block_shape=(600, 600))
    predicted = plan.stages[0].predicted
    assert predicted.halo == (1, 1)
    line_px = 3 * 602 + 2 * 601  # the first and the last of five blocks have one halo
    assert predicted.read_bytes == line_px**2 * 4
    assert predicted.halo_overread == pytest.approx((line_px / 3000) ** 2)
    assert predicted.write_bytes == 3000 * 3000 * 4
    assert predicted.compute_s > 0
    assert predicted.communication_s > 25 * 0.0002
    assert 600 * 600 * 4 < predicted.memory_bytes < 600 * 600 * 4 * 12


def test_small_blocks_in_one_call_are_predicted_as_one_region() -> None:
    stage = plan_of(filters.sobel(vast((3200, 3200), "float32")), block_shape=(64, 64)).stages[0]
    at_once = int(np.prod(stage.box_blocks))
    assert 16 < at_once <= 64
    assert stage.predicted.read_bytes == pytest.approx(3200**2 * 4, rel=0.02)  # one by one, they would read 6 % more
    (compute,) = [part for part in stage.predicted.lines if part.kind == "compute"]
    assert compute.calls == -(-2500 // at_once)


def test_batches_share_the_blocks_among_the_workers() -> None:
    known = CostModel().with_figures("compute", {"numpy.add uint8": Figure(2.0, seconds=1.0)})
    image = vast((10_000, 10_000))
    for workers in (1, 4, 100):
        # known costs: messages that would cost more than their work are not sent
        for cost, each in ((CostModel(), 4), (known, 1)):
            stage = plan_of(image + 1, block_shape=(100, 100), workers=workers, cost=cost).stages[0]
            batches = -(-len(stage.grid) // stage.batch_blocks)
            assert batches >= min(len(stage.grid), each * workers)


def test_an_expensive_image_under_a_large_halo_is_stored() -> None:
    image = vast((2048, 2048))
    dear = filters.median(image, np.ones((15, 15), np.uint8))
    plan = plan_of(filters.gaussian(dear, sigma=60))
    assert [plan.nodes[index].operation for index in plan.intermediates] == ["ndimage.median_filter"]
    assert plan.stages[0].predicted.halo == (7, 7)
    assert len(plan_of(filters.gaussian(dear, sigma=1)).stages) == 1
    assert len(plan_of(filters.gaussian(image + 1.0, sigma=60)).stages) == 1  # cheap, so it is computed again


# ------------------------------------------------------------------------------------------------ choices


def stored_in(folder: Path, shape: tuple[int, ...], chunks: tuple[int, ...]) -> graph.Image:
    """An image in chunks, none of which is written."""
    zarr.create_array(store=str(folder / "image.zarr"), shape=shape, chunks=chunks, dtype="uint8")
    return graph.open(folder / "image.zarr")


def test_blocks_lie_on_whole_chunks_of_what_is_read(tmp_path: Path) -> None:
    image = stored_in(tmp_path, (9000, 9000), (600, 600))
    stage = plan_of(image + 1).stages[0]
    assert all(length % 600 == 0 for length in stage.block_shape)
    assert stage.predicted.decode_overread == 1.0
    halved = plan_of(image + 1, block_shape=(1024, 1024)).stages[0].predicted
    assert halved.decode_overread > 1.2
    assert halved.wall_s > stage.predicted.wall_s


def test_chunks_that_a_halo_touches_are_decoded_whole_and_kept_for_the_next_block(tmp_path: Path) -> None:
    image = stored_in(tmp_path, (4096, 4096), (512, 512))
    predicted = plan_of(filters.gaussian(image, sigma=2), block_shape=(512, 512)).stages[0].predicted
    assert predicted.halo == (8, 8)
    assert predicted.read_bytes == (6 * 528 + 2 * 520) ** 2  # blocks at the edge have one halo
    assert predicted.decode_overread == pytest.approx(1.25)
    read = next(part for part in predicted.lines if part.kind == "read")
    assert read.key == "zarr uint8"
    assert read.calls == pytest.approx(9 * 64 * 1.25 * 528**2 / (9 * 512**2))


def test_an_expensive_message_makes_batches_larger() -> None:
    image = vast((8192, 8192), "float32")
    cheap_task = CostModel(overheads=Overheads(batch_s=0.001))
    usual = plan_of(filters.gaussian(image, sigma=2), cost=cheap_task, block_shape=(1024, 1024)).stages[0]
    dear_task = CostModel(overheads=Overheads(batch_s=0.5))
    assert (
        plan_of(filters.gaussian(image, sigma=2), cost=dear_task, block_shape=(1024, 1024)).stages[0].batch_blocks
        > usual.batch_blocks
    )
    assert usual.block_shape == (1024, 1024)
    assert -(-len(usual.grid) // usual.batch_blocks) >= 4 * 2


def test_what_takes_less_time_than_a_message_is_one_block() -> None:
    small, large = vast((512, 512)), vast((4096, 4096))
    assert all(len(stage.grid) == 1 for stage in plan_of(*cells(small)).stages)
    assert all(len(stage.grid) > 1 for stage in plan_of(filters.gaussian(large)).stages)
    assert len(plan_of(small * 2, block_shape=(256, 256)).stages[0].grid) == 4, "blocks that were asked for"
    quick = CostModel(overheads=Overheads(batch_s=1e-6))
    assert len(plan_of(filters.median(small), cost=quick, workers=8).stages[0].grid) > 1, "messages cost nothing"


def test_an_image_is_recomputed_if_its_store_is_expensive() -> None:
    image = vast((2000, 2000))
    smooth = filters.gaussian(image, sigma=3)
    assert len(plan_of(smooth - smooth.max()).intermediates) == 1
    dear = CostModel().with_figures("write", {"npy": Figure(100.0)})
    assert plan_of(smooth - smooth.max(), cost=dear).intermediates == {}


def test_blocks_are_no_larger_than_memory_allows() -> None:
    image = vast((8192, 8192), "float64")
    plan = plan_of(filters.gaussian(image, sigma=4), limits=Limits(worker_memory_bytes=8 << 20))
    assert plan.stages[0].predicted.memory_bytes <= 8 << 20
    assert plan.stages[0].block_shape == (256, 256)


def test_planning_is_quick_for_small_and_large_jobs() -> None:
    small = filters.gaussian(vast((512, 512), "float32"), sigma=2)
    plan_of(small)
    began = time.process_time()
    for _ in range(10):
        plan_of(small)
    assert (time.process_time() - began) / 10 < 0.01
    began = time.process_time()
    plan = plan_of(*cells(vast((1_000_000, 1_000_000))))
    assert time.process_time() - began < 1
    assert plan.blocks > 10**6
    assert plan.predicted_s < 10**6  # partials are combined before they are merged


def test_a_merge_of_combined_partials_is_predicted_once() -> None:
    stages = plan_of(measure.label(vast((10_000, 10_000)) > 3), block_shape=(100, 100)).stages
    assert [bool(stage.combines) for stage in stages] == [False, True, False]
    assert stages[0].predicted.merge_s == 0
    (merge,) = [part for part in stages[1].predicted.lines if part.kind == "merge"]
    assert merge.calls == len(stages[1].grid)


def test_the_memory_of_cached_chunks_is_counted(tmp_path: Path) -> None:
    memory = {}
    for suffix in (".npy", ".zarr"):
        target = Target(str(tmp_path / f"a{suffix}"), (512, 512), "float32", (256, 256), "j")
        output = array_output(target)
        output.create()
        output.publish()
        plan = plan_of(filters.gaussian(graph.open(target.path), sigma=1), block_shape=(128, 128))
        memory[suffix] = plan.stages[0].predicted.memory_bytes
    assert memory[".zarr"] - memory[".npy"] == 512 * 512 * 4
