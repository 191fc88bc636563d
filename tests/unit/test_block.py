"""Blocks and merges may run any number of times."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import filters as whole_filters
from skimage import measure as whole_measure

import lepton_celery as lepton
from lepton_celery import graph, stores
from lepton_celery.catalogue.arrays import Array
from lepton_celery.engines import inline
from lepton_celery.errors import InputError, NotExactWarning
from lepton_celery.execution.block import compute_block, fill_block, read_block, run_blocks
from lepton_celery.execution.context import Context
from lepton_celery.execution.merge import merge_stage, missing_blocks
from lepton_celery.execution.outputs import create_outputs, discard
from lepton_celery.execution.publishing import publish
from lepton_celery.grid import BlockIndex, Place, StageIndex, StageNumber
from lepton_celery.jobs.compute import compute
from lepton_celery.ledger.info import JobState
from lepton_celery.ledger.record import RunRecord
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import make_plan
from lepton_celery.skimage import exposure, filters, measure
from lepton_celery.stores.base import Target
from lepton_celery.stores.workspace import DiskWorkspace, MemoryWorkspace, Workspace, workspace_root
from tests.oracle import assert_identical, picture

IMAGE = picture((45, 52), "uint16")
BLOCK = (16, 20)


def cells() -> dict[str, graph.Node]:
    image = graph.open(IMAGE)
    smooth = filters.gaussian(image, sigma=1.5)
    labels = measure.label(smooth > filters.threshold_otsu(smooth))
    table = measure.regionprops_table(labels, smooth, properties=("label", "area", "intensity_mean"))
    return {"labels.npy": labels, "smooth.npy": smooth, "table.csv": table, "q.csv": np.percentile(smooth, 90)}


def whole() -> dict[str, Any]:
    smooth = whole_filters.gaussian(IMAGE, sigma=1.5)
    labels = whole_measure.label(smooth > whole_filters.threshold_otsu(smooth))
    table = whole_measure.regionprops_table(labels, smooth, properties=("label", "area", "intensity_mean"))
    return {"labels.npy": labels, "smooth.npy": smooth, "table.csv": table, "q.csv": np.percentile(smooth, 90)}


def workspace(kind: str, folder: Path) -> Workspace:
    return MemoryWorkspace() if kind == "memory" else DiskWorkspace(workspace_root(folder, "job1"), "job1")


def context_of(outputs: dict[str, graph.Node], kind: str, folder: Path) -> Context:
    planned = make_plan(outputs, PlanOptions(block_shape=BLOCK, workers=2))
    plan = planned.plan
    targets: dict[int, tuple[Target, ...]] = {}
    for name, index in plan.outputs.items():
        node = plan.nodes[index]
        if node.gives == "image":
            target = Target(str(folder / name), node.shape, node.dtype, plan.block_of(index), "job1")
            targets[index] = (*targets.get(index, ()), target)
    files = {str(folder / name): index for name, index in plan.outputs.items() if name.endswith(".csv")}
    found = Context(plan, workspace(kind, folder), targets, arrays=planned.lowered.arrays, files=files)
    found.workspace.create()
    create_outputs(found)
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def check(context: Context, folder: Path) -> None:
    expected = whole()
    assert_identical(np.load(folder / "labels.npy"), expected["labels.npy"])
    assert_identical(np.load(folder / "smooth.npy"), expected["smooth.npy"])
    index = context.plan.outputs
    assert_identical(context.value(index["table.csv"]), expected["table.csv"])
    assert_identical(context.value(index["q.csv"]), expected["q.csv"])


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_a_job_with_every_step_run_twice_in_any_order_has_the_same_outputs(kind: str, tmp_path: Path) -> None:
    context = context_of(cells(), kind, tmp_path)
    random = np.random.default_rng(0)
    for at, stage in enumerate(context.plan.stages):
        blocks = [*range(len(stage.grid))] * 2
        random.shuffle(blocks)
        for block in blocks:
            report = run_blocks(context, StageNumber(at), [block])
            assert report.stats()["blocks"] == 1
        assert missing_blocks(context, StageNumber(at)) == []
        merge_stage(context, StageNumber(at))
        if kind == "disk":  # a second worker merges, with a context of its own
            merge_stage(
                Context(context.plan, context.workspace, context.targets, arrays=context.arrays), StageNumber(at)
            )
    publish(context)
    if kind == "disk":
        publish(context)
    check(context, tmp_path)


def test_a_block_writes_the_same_bytes_each_time(tmp_path: Path) -> None:
    context = context_of(cells(), "disk", tmp_path)
    for at, stage in enumerate(context.plan.stages):
        for block in range(len(stage.grid)):
            run_blocks(context, StageNumber(at), [BlockIndex(block)])
        before = contents(tmp_path)
        for block in reversed(range(len(stage.grid))):
            run_blocks(context, StageNumber(at), [BlockIndex(block)])
        assert contents(tmp_path) == before
        merge_stage(context, StageNumber(at))


def test_no_final_name_exists_before_the_job_is_done(tmp_path: Path) -> None:
    context = context_of(cells(), "disk", tmp_path)
    for at, stage in enumerate(context.plan.stages):
        for block in range(len(stage.grid)):
            run_blocks(context, StageNumber(at), [BlockIndex(block)])
        merge_stage(context, StageNumber(at))
        assert not [p for p in tmp_path.iterdir() if p.suffix in (".npy", ".csv") and not p.name.startswith(".")]
    publish(context)
    assert {p.name for p in tmp_path.iterdir() if not p.name.startswith(".")} == {*cells()}


def test_a_discarded_job_leaves_no_files(tmp_path: Path) -> None:
    context = context_of(cells(), "disk", tmp_path)
    for block in range(len(context.plan.stages[0].grid)):
        run_blocks(context, StageNumber(0), [BlockIndex(block)])
    for path in map(Path, context.files):  # as a process leaves them that was killed while it published
        path.with_name(f".{path.name}.{context.job_id}.part.0123.tmp").write_text("label,area")
    discard(context)
    assert list(tmp_path.iterdir()) == []


def test_lost_partials_are_reported_as_missing(tmp_path: Path) -> None:
    context = context_of(cells(), "disk", tmp_path)
    blocks = len(context.plan.stages[0].grid)
    assert missing_blocks(context, StageNumber(0)) == list(range(blocks))
    for block in range(blocks):
        run_blocks(context, StageNumber(0), [BlockIndex(block)])
    assert missing_blocks(context, StageNumber(0)) == []
    assert isinstance(context.workspace, DiskWorkspace)
    context.workspace.partial_path(context.plan.stages[0].reduces[0], BlockIndex(3)).unlink()
    assert missing_blocks(context, StageNumber(0)) == [3]


def test_a_block_is_computed_from_the_regions_that_were_read() -> None:
    lazy = filters.sobel(graph.open(IMAGE))
    planned = make_plan({"out": lazy}, PlanOptions(block_shape=BLOCK))
    plan = planned.plan
    context = Context(plan, MemoryWorkspace(), arrays=planned.lowered.arrays)
    read = read_block(context, StageIndex(0), BlockIndex(4))
    assert [array.shape for array in read.values()] == [(18, 22)]
    pixels = compute_block(context, StageIndex(0), BlockIndex(4), read, plan.outputs["out"])
    assert_identical(pixels, whole_filters.sobel(IMAGE)[plan.stages[0].grid.region(BlockIndex(4)).slices])


# ------------------------------------------------------------------------------------------------ inline engine


def record_of(context: Context) -> RunRecord:
    return RunRecord("job1", {}, stages=[1.0] * len(context.plan.stages))


def run_inline(outputs: dict[str, graph.Node], folder: Path, threads: int) -> tuple[Context, RunRecord]:
    context = context_of(outputs, "disk", folder)
    record = record_of(context)
    inline.run(context, record, threads=threads)
    return context, record


@pytest.mark.parametrize("threads", [1, 4])
def test_the_inline_engine_runs_a_job_to_its_end(threads: int, tmp_path: Path) -> None:
    context, record = run_inline(cells(), tmp_path, threads)
    check(context, tmp_path)
    info = record.info("job1")
    assert info.state is JobState.DONE
    assert info.stats["write_bytes"] > 0


def test_a_job_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    array = picture((45, 52), float)
    array[40, 50] = np.nan
    outputs = {"mask.npy": graph.open(array) > filters.threshold_otsu(array)}
    context = context_of(outputs, "disk", tmp_path)
    record = record_of(context)
    with pytest.raises(InputError, match="finite"):
        inline.run(context, record, threads=2)
    info = record.info("job1")
    assert info.state is JobState.FAILED
    assert "finite" in str(info)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------ compute


def test_several_nodes_are_computed_together() -> None:
    outputs = cells()
    results = compute(*outputs.values(), block_shape=BLOCK, threads=3)
    for found, expected in zip(results, whole().values(), strict=True):
        assert_identical(found, expected)


def test_a_node_that_is_given_twice_is_returned_twice() -> None:
    image = graph.open(IMAGE)
    a, b, c = compute(image, filters.sobel(image), image, block_shape=BLOCK)
    assert_identical(a, IMAGE)
    assert_identical(c, IMAGE)
    assert_identical(b, whole_filters.sobel(IMAGE))


def test_arrays_are_distinguished_by_identity_not_by_content() -> None:
    a, b = np.ones((9, 9)), np.ones((9, 9))
    b[3, 3] = 5
    total = (graph.open(a) + b) - graph.open(a)
    assert_identical(compute(total, block_shape=(4, 4)), a + b - a)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.T,
        lambda x: x[::-1, ::-2],
        lambda x: np.asfortranarray(x),
        lambda x: x.astype(">u2"),
        lambda x: x[5:20],
    ],
)
def test_arrays_of_any_layout_and_byte_order_are_read_right(view: Any) -> None:
    array: Array = view(IMAGE)
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
    found = compute(exposure.rescale_intensity(graph.open(array)), block_shape=BLOCK, threads=1)
    from skimage.exposure import rescale_intensity

    assert_identical(found, rescale_intensity(native))


def test_the_image_handed_in_is_not_changed() -> None:
    array = IMAGE.copy()
    compute(filters.unsharp_mask(array), measure.label(array), block_shape=BLOCK)
    assert_identical(array, IMAGE)


def test_values_make_one_row_tables(tmp_path: Path) -> None:
    run_inline({"max.csv": graph.open(IMAGE).max()}, tmp_path, 1)
    assert stores.read_table(tmp_path / "max.csv")["value"].tolist() == [IMAGE.max()]


def finish(context: Context, do_block: Any) -> None:
    """Run a job to its end, with blocks done by `do_block`."""
    slot: int | None = 0
    while slot is not None:
        for block in range(len(context.plan.stages[context.plan.stage_run(StageNumber(slot)).stage].grid)):
            do_block(context, slot, block)
        slot = context.plan.following(StageNumber(slot), again=merge_stage(context, StageNumber(slot)))
    publish(context)


def in_pieces(context: Context, slot: int, block: int, pieces: int) -> None:
    run_blocks(context, StageNumber(slot), [BlockIndex(block)], pieces=pieces)


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [2, 7, 400])
@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_blocks_done_in_pieces_give_the_same_pixels(kind: str, pieces: int, tmp_path: Path) -> None:
    context = context_of(cells(), kind, tmp_path)

    finish(context, partial(in_pieces, pieces=pieces))
    check(context, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("together", [(1, 2), (2, 1), (2, 2), (3, 5)])
@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_blocks_done_together_leave_the_results_of_single_blocks(
    kind: str, together: tuple[int, int], tmp_path: Path
) -> None:
    context = context_of(cells(), kind, tmp_path)
    slot: int | None = 0
    while slot is not None:
        stage = context.plan.stages[context.plan.stage_run(StageNumber(slot)).stage]
        whole = replace(stage, tile=(len(stage.grid),) * 2, box_blocks=together)
        boxes = whole.boxes(map(Place, range(len(stage.grid))))
        assert max(map(len, boxes)) > 1
        for box in boxes:
            run_blocks(context, StageNumber(slot), box)
        slot = context.plan.following(StageNumber(slot), again=merge_stage(context, StageNumber(slot)))
    publish(context)
    check(context, tmp_path)


def test_functions_that_see_the_whole_image_are_not_cut() -> None:
    image = graph.open(IMAGE > 100)
    plan = make_plan(
        {"o.npy": graph.apply("morphology.medial_axis", image, rng=0)}, PlanOptions(block_shape=BLOCK)
    ).plan
    assert not all(plan.can_be_cut(StageIndex(stage)) for stage in range(len(plan.stages)))


def above_minimum(block: Array) -> Array:
    """A function whose pixels depend on the block that it is given."""
    found: Array = block - block.min()
    return found


def mapped(image: Any, halo: int = 0) -> Any:
    return lepton.map_blocks(above_minimum, image, halo=halo)


OWN: dict[str, Callable[[graph.Image], Any]] = {
    "alone": lambda image: mapped(image),
    "with a halo": lambda image: mapped(image, halo=3),
    "before a filter": lambda image: filters.gaussian(mapped(image), sigma=1),
    "after a filter": lambda image: mapped(filters.gaussian(image, sigma=1)),
    "in a sum": lambda image: mapped(image).sum(),
    "in labels": lambda image: measure.label(mapped(image) > 9000),
    "of windows": lambda image: lepton.map_overlap(above_minimum, image, window=9, overlap=3),
}
"""Images and values that depend on the user's own function."""


@pytest.mark.parametrize("kind", OWN)
def test_what_a_users_function_computes_is_neither_cut_nor_joined(kind: str, tmp_path: Path) -> None:
    found = {}
    for pieces in (1, 4):
        folder = tmp_path / str(pieces)
        folder.mkdir()
        node = OWN[kind](graph.open(IMAGE))
        name = "o.npy" if node.gives == "image" else "o.csv"
        context = context_of({name: node}, "disk", folder)
        assert not context.plan.can_be_cut(StageIndex(0))
        assert {math.prod(stage.box_blocks) for stage in context.plan.stages[:1]} == {1}
        finish(context, partial(in_pieces, pieces=pieces))
        found[pieces] = (folder / name).read_bytes()
    assert found[1] == found[4]


def test_stages_beside_a_users_function_are_cut_and_joined() -> None:
    """Of a stage that reads what the function has stored, and does not call it."""
    labels = measure.label(mapped(graph.open(picture((450, 520), "uint16"))) > 9000)
    plan = make_plan({"o.npy": measure.label(labels > 0) + 1}, PlanOptions(block_shape=BLOCK)).plan
    assert not plan.can_be_cut(StageIndex(0))
    assert any(plan.can_be_cut(StageIndex(stage)) for stage in range(len(plan.stages)))


@pytest.mark.parametrize("value", [False, True])
def test_functions_that_are_not_exact_are_neither_cut_nor_joined(value: bool) -> None:
    image = graph.open(IMAGE.astype(np.float32))
    with pytest.warns(NotExactWarning):
        least: Any = np.fmin(image, image.mean() if value else np.float32(5))
    plan = make_plan({"o.npy": least + np.float32(1)}, PlanOptions(block_shape=BLOCK)).plan
    last = StageIndex(len(plan.stages) - 1)
    assert not plan.can_be_cut(last)
    assert math.prod(plan.stages[last].box_blocks) == 1


@pytest.mark.parametrize(
    ("dtype", "value", "expected"), [("uint8", 7, 7), ("uint8", 300, 0), ("float32", np.nan, np.nan)]
)
def test_a_filled_block_has_the_value_if_its_dtype_can(
    dtype: str, value: float, expected: float, tmp_path: Path
) -> None:
    image = picture((45, 52), dtype)
    lazy = graph.open(image)
    context = context_of({"o.npy": lazy + lazy.dtype.type(0), "max.csv": lazy.max()}, "disk", tmp_path)

    def second_filled(context: Context, slot: int, block: int) -> None:
        if block == 1:
            fill_block(context, StageNumber(slot), BlockIndex(block), value)
        else:
            run_blocks(context, StageNumber(slot), [BlockIndex(block)])

    finish(context, second_filled)
    filled = image.copy()
    filled[:16, 20:40] = expected
    assert_identical(np.load(tmp_path / "o.npy"), filled)
    np.testing.assert_equal(stores.read_table(tmp_path / "max.csv")["value"][0], filled.max())


def test_all_results_of_a_function_come_from_one_call_per_block(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        return whole_filters.gabor(*arguments, **options)

    monkeypatch.setattr("lepton_celery.catalogue.entries.resolve", lambda path: counted)
    real, imaginary = filters.gabor(IMAGE / 65535, frequency=0.3)
    (other, _) = filters.gabor(IMAGE / 65535, frequency=0.2)
    calls.clear()  # building calls the function on a few pixels
    found = compute(imaginary, real, other, block_shape=BLOCK, threads=1)
    monkeypatch.undo()
    assert len(calls) == 2 * 9
    wanted = whole_filters.gabor(IMAGE / 65535, frequency=0.3)
    for array, whole_array in zip(found, (*wanted[::-1], whole_filters.gabor(IMAGE / 65535, 0.2)[0]), strict=True):
        assert_identical(array, whole_array)
