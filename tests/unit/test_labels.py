"""Connected components across blocks have scikit-image's labels."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.measure import label

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError
from lepton_celery.execution.block import run_blocks
from lepton_celery.execution.context import Context
from lepton_celery.execution.merge import merge_stage, missing_blocks
from lepton_celery.execution.outputs import collect_images
from lepton_celery.grid import StageNumber
from lepton_celery.jobs import compute as eager
from lepton_celery.jobs.compute import compute
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.planner import make_plan
from lepton_celery.skimage import measure
from lepton_celery.stores.workspace import DiskWorkspace, MemoryWorkspace
from tests import oracle
from tests.oracle import assert_identical, assert_same_as_whole, evaluate


def spiral(side: int) -> Array:
    """A line, one pixel wide, that winds from the edge to the middle."""
    image = np.zeros((side, side), bool)
    top, left, bottom, right = 0, 0, side - 1, side - 1
    column = 0
    while top <= bottom and left <= right:
        image[top, column : right + 1] = True
        image[top : bottom + 1, right] = True
        image[bottom, left : right + 1] = True
        image[top + 2 : bottom + 1, left] = True
        if top + 2 <= bottom:
            image[top + 2, left : left + 2] = True
        top, left, bottom, right = top + 2, left + 2, bottom - 2, right - 2
        column = left - 1
    return image


def flat_images() -> dict[str, Array]:
    random = np.random.default_rng(0)
    i, j = np.indices((31, 29))
    return {
        "nothing": np.zeros((31, 29), bool),
        "all": np.ones((31, 29), bool),
        "diagonal": i == j,
        "antidiagonal": i + j == 28,
        "both diagonals": (i == j) | (i + j == 28),
        "steps": (i // 2) == (j // 3),
        "checkerboard": (i + j) % 2 == 0,
        "rows": i % 2 == 0,
        "columns": j % 2 == 1,
        "combs": (i % 4 == 0) | ((j % 3 == 0) & (i < 17)),
        "spiral": spiral(31),
        "inverse spiral": ~spiral(31),
        "sparse": random.random((31, 29)) > 0.8,
        "percolating": random.random((31, 29)) > 0.42,
        "dense": random.random((31, 29)) > 0.1,
        "u shape": (j == 3) | (j == 25) | (i == 30),  # two arms that meet in the last row
    }


FLAT_IMAGES = flat_images()


@pytest.mark.parametrize("connectivity", [None, 1, 2])
@pytest.mark.parametrize("name", FLAT_IMAGES)
def test_components_across_blocks_are_numbered_as_in_the_whole_image(name: str, connectivity: int | None) -> None:
    image = FLAT_IMAGES[name]
    expected = label(image, connectivity=connectivity)
    lazy = measure.label(image, connectivity=connectivity)
    for block_shape in ((4, 5), (3, 40), (40, 7), (50, 50)):
        assert_same_as_whole(lazy, expected, block_shape)


@pytest.mark.parametrize("block_shape", [(1, 1), (1, 3), (2, 1)])
def test_blocks_of_one_pixel_are_joined_too(block_shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(1).random((9, 8)) > 0.4
    for connectivity in (1, 2):
        assert_same_as_whole(
            measure.label(image, connectivity=connectivity), label(image, connectivity=connectivity), block_shape
        )


@pytest.mark.parametrize("connectivity", [None, 1, 2, 3])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_components_of_a_volume_are_joined_over_faces_edges_and_corners(connectivity: int | None, share: float) -> None:
    image = np.random.default_rng(3).random((9, 10, 11)) > share
    expected = label(image, connectivity=connectivity)
    for block_shape in ((3, 4, 5), (1, 2, 11), (9, 5, 2)):
        assert_same_as_whole(measure.label(image, connectivity=connectivity), expected, block_shape)


def test_a_corner_joins_only_under_the_widest_connectivity() -> None:
    image = np.zeros((4, 4, 6), bool)
    image[:2, :2, :2] = image[2:, 2:, 2:] = True
    for connectivity, count in ((1, 2), (2, 2), (3, 1)):
        labels = evaluate(measure.label(image, connectivity=connectivity), (2, 2, 2))
        assert labels.max() == count
        assert_identical(labels, label(image, connectivity=connectivity))


@pytest.mark.parametrize("connectivity", [None, 1, 2, 3])
def test_a_short_last_axis_is_an_axis_like_the_others(connectivity: int | None) -> None:
    # blocks never cut it, as they never cut channels, but components and tables include it
    image = np.random.default_rng(4).random((12, 13, 3)) > 0.6
    assert_same_as_whole(
        measure.label(image, connectivity=connectivity), label(image, connectivity=connectivity), (5, 4)
    )


@pytest.mark.parametrize("background", [None, -1, 0, 1, 2, 200])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int32", "uint16", "int64"])
def test_pixels_of_different_values_are_never_one_component(background: int | None, dtype: str) -> None:
    image = np.random.default_rng(5).integers(0, 4, (23, 19)).astype(dtype)
    for connectivity in (1, 2):
        options: dict[str, Any] = {"background": background, "connectivity": connectivity}
        assert_same_as_whole(measure.label(image, **options), label(image, **options), (5, 4))


def test_negative_pixels_are_values_like_others() -> None:
    image = np.random.default_rng(6).integers(-2, 2, (23, 19)).astype(np.int32)
    for background in (None, -1, -2):
        assert_same_as_whole(measure.label(image, background=background), label(image, background=background), (5, 4))


def test_an_image_of_one_axis_is_labelled() -> None:
    image = np.random.default_rng(7).random(60) > 0.4
    assert_same_as_whole(measure.label(image), label(image), (7,))


@given(
    arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=3, max_side=8)),
    st.integers(1, 3),
    st.tuples(*[st.integers(1, 5)] * 3),
)
def test_any_mask_in_any_blocks_is_labelled_as_the_whole(
    image: Array, connectivity: int, block: tuple[int, ...]
) -> None:
    grid_axes = image.ndim - (image.ndim == 3 and image.shape[-1] <= 4)
    connectivity = min(connectivity, image.ndim)
    lazy = measure.label(image, connectivity=connectivity)
    assert_identical(evaluate(lazy, block[:grid_axes]), label(image, connectivity=connectivity))


def test_the_number_of_components_comes_with_the_labels() -> None:
    image = FLAT_IMAGES["percolating"]
    labels, count = measure.label(image, return_num=True)
    found, number = compute(labels, count, block_shape=(4, 5), threads=2)
    expected, expected_number = label(image, return_num=True)
    assert_identical(found, expected)
    assert int(number) == expected_number


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("lepton.count_labels", {"connectivity": 1}),
        ("measure.label", {"connectivity": 1, "return_num": True, "part": 1}),
    ],
)
def test_a_stored_graph_may_have_the_names_of_previews(operation: str, arguments: dict[str, Any]) -> None:
    image = FLAT_IMAGES["percolating"]
    nodes = [
        {"operation": "lepton.source", "arguments": {"url": "input:image"}},
        {"operation": operation, "arguments": {"label_image": {"node": 0}, **arguments}},
    ]
    document = {"version": 1, "nodes": nodes, "outputs": {"number": 1}}
    with pytest.warns(DeprecationWarning, match=rf"names {operation} as previews did"):
        outputs = graph.from_json(document, {"image": image})
    assert int(evaluate(outputs["number"], (4, 5))) == label(image, connectivity=1).max()


def test_labels_are_pixels_for_other_functions() -> None:
    image = FLAT_IMAGES["sparse"]
    lazy, whole = measure.label(image), label(image)
    assert_same_as_whole(lazy[3:20:2, ::4], whole[3:20:2, ::4], (5, 3))
    assert_same_as_whole(lazy > 5, whole > 5, (4, 5))
    assert_same_as_whole(measure.label(lazy > 5), label(whole > 5), (4, 5))
    assert_same_as_whole(lazy.max(), whole.max(), (4, 5))


def test_many_threads_give_the_same_labels() -> None:
    image = np.random.default_rng(8).random((60, 60)) > 0.45
    assert_identical(compute(measure.label(image), block_shape=(7, 8), threads=4), label(image))


def test_float_images_have_no_components() -> None:
    with pytest.raises(InputError, match="float64"):
        measure.label(graph.open(np.ones((4, 4))))


# ------------------------------------------------------------------------------------------------ merging in a tree


TREES = [(1, 2), (1, 4), (2, 3), (5, 64)]
"""Largest number of partials of one merge, and number of blocks in a group."""


@pytest.fixture(params=TREES, ids=str)
def tree(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> partial[PlanOptions]:
    """Plans combine partials in groups before the merge, even when there are few."""
    options = partial(PlanOptions, merge_blocks=request.param[0], fan_in=request.param[1])
    monkeypatch.setattr(oracle, "PlanOptions", options)
    monkeypatch.setattr(eager, "PlanOptions", options)
    return options


@pytest.mark.slow
@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("name", FLAT_IMAGES)
def test_a_tree_of_merges_numbers_components_as_one_merge_does(name: str) -> None:
    image = FLAT_IMAGES[name]
    for connectivity, block_shape in ((1, (4, 5)), (2, (1, 7)), (2, (3, 40))):
        expected = label(image, connectivity=connectivity)
        assert_same_as_whole(measure.label(image, connectivity=connectivity), expected, block_shape)


@pytest.mark.usefixtures("tree")
def test_a_tree_of_merges_numbers_components_of_volumes_and_values() -> None:
    random = np.random.default_rng(9)
    for shape, block_shape in (((9, 10, 11), (3, 4, 5)), ((12, 13, 3), (5, 4)), ((1, 60), (1, 7)), ((60,), (7,))):
        image = random.integers(0, 3, shape).astype(np.uint8)
        for connectivity in range(1, image.ndim + 1):
            expected = label(image, connectivity=connectivity)
            assert_same_as_whole(measure.label(image, connectivity=connectivity), expected, block_shape)


@pytest.mark.usefixtures("tree")
def test_a_job_with_a_tree_of_merges_gives_the_labels_and_their_number() -> None:
    image = FLAT_IMAGES["percolating"]
    labels, count = compute(*measure.label(image, return_num=True), block_shape=(4, 5), threads=3)
    expected, number = label(image, return_num=True)
    assert_identical(labels, expected)
    assert int(count) == number


def test_labels_through_a_workspace_on_disk_are_the_same(tree: partial[PlanOptions], tmp_path: Path) -> None:
    image = FLAT_IMAGES["combs"]
    lazy = measure.label(image)
    planned = make_plan({"labels": lazy, "greatest": lazy.max()}, tree(block_shape=(4, 5)))
    plan = planned.plan
    plan = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    workspace = DiskWorkspace(tmp_path / "work", "j")
    workspace.create()
    context = Context(plan, workspace, arrays=planned.lowered.arrays)
    output = collect_images(context)[plan.outputs["labels"]]
    for number, stage in zip(map(StageNumber, range(len(plan.stages))), plan.stages, strict=True):
        leaves_partials = stage.reduces or stage.combines
        assert missing_blocks(context, number) == (list(stage.grid.indices()) if leaves_partials else [])
        for block in stage.grid.indices():
            run_blocks(context, number, [block])
            run_blocks(context, number, [block])  # a block may be done twice
        assert missing_blocks(context, number) == []
        merge_stage(context, number)
        merge_stage(context, number)
    output.publish()
    expected = label(image)
    assert_identical(output.array, expected)
    assert context.value(plan.outputs["greatest"]) == expected.max()


def test_only_grids_of_very_many_blocks_get_a_tree() -> None:
    lazy = measure.label(graph.open(np.zeros((320, 330), np.uint8)))
    few = make_plan({"labels": lazy}, PlanOptions(block_shape=(32, 33))).plan
    assert [bool(stage.combines) for stage in few.stages] == [False, False]
    many = make_plan({"labels": lazy}, PlanOptions(block_shape=(5, 5))).plan
    blocks = [len(stage.grid) for stage in many.stages if stage.reduces or stage.combines]
    assert [bool(stage.combines) for stage in many.stages] == [False, True, False]
    assert blocks == [64 * 66, 8 * 9]
    deep = make_plan({"labels": lazy}, PlanOptions(block_shape=(1, 1))).plan
    assert [len(stage.grid) for stage in deep.stages] == [320 * 330, 40 * 42, 5 * 6, 320 * 330]
    # later stages still find the image in the stage that stores it
    assert [deep.stages[stage].stores for stage in deep.intermediates.values()] == [
        (index,) for index in deep.intermediates
    ]


def test_a_merge_keeps_only_open_labels() -> None:
    # one component in each block, none of which touches another block
    image = np.zeros((60, 60), bool)
    image[2::6, 2::6] = True
    plan = make_plan({"labels": measure.label(image)}, PlanOptions(block_shape=(6, 6))).plan
    context = Context(plan, MemoryWorkspace(), arrays={0: image})
    for block in plan.stages[0].grid.indices():
        run_blocks(context, StageNumber(0), [block])
    merge_stage(context, StageNumber(0))
    value = context.workspace.value(plan.stages[0].reduces[0])
    assert int(value["count"]) == 100
    assert value["renamed"].size == 0
    assert value["before"].shape == (60, 10)


def test_slabs_of_integers_are_numbered_row_by_row_in_every_block() -> None:
    # scikit-image numbers the block [:, :, 9:] of such an image column by column, but not the image
    image = np.random.default_rng(10).integers(0, 5, (7, 6, 10)).astype(np.uint16)
    for block_shape in ((4, 5, 3), (7, 6, 9)):
        assert_same_as_whole(measure.label(image), label(image), block_shape)
