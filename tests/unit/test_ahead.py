"""Blocks that may be done before the stage before theirs is over: which, and that their pixels are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lepton_celery.execution.steps import Context
from scipy import ndimage
from skimage.filters import gaussian

from lepton_celery import graph
from lepton_celery.execution import steps
from lepton_celery.graph.nodes import Node
from lepton_celery.grid import BlockIndex, Place, StageIndex
from lepton_celery.jobs.compute import arrays_of
from lepton_celery.planning.ahead import can_run_ahead, places_before
from lepton_celery.planning.cost.predict import Places
from lepton_celery.planning.plan import Plan, lower
from lepton_celery.planning.planner import Options, _Planner, make_plan
from lepton_celery.skimage import filters, measure
from lepton_celery.stores import array_output
from lepton_celery.stores.base import Target
from lepton_celery.stores.workspace import DiskWorkspace
from tests.oracle import assert_identical, picture

IMAGE = picture((96, 80), "uint8")
BLOCK = (16, 16)


def stored_between() -> tuple[Plan, Node]:
    """A median that is stored before a gaussian reads it."""
    lazy: Node = filters.gaussian(filters.median(graph.open(IMAGE), np.ones((5, 5))), sigma=2)
    nodes, outputs = lower({"o.npy": lazy})
    inner = next(index for index, node in enumerate(nodes) if node.operation.endswith("median_filter"))
    return _Planner(nodes, outputs, Options(block_shape=BLOCK), Places(), frozenset({inner})).plan(), lazy


def test_a_stage_that_only_leaves_images_is_no_barrier() -> None:
    plan, _ = stored_between()
    assert [can_run_ahead(plan, StageIndex(stage)) for stage in range(len(plan.stages))] == [False, True]


def test_whole_image_values_are_barriers() -> None:
    image = graph.open(IMAGE)
    plan = make_plan({"o.npy": measure.label(image > filters.threshold_otsu(image))}, Options(block_shape=BLOCK))
    assert len(plan.stages) == 3
    assert not any(can_run_ahead(plan, StageIndex(stage)) for stage in range(3))


def test_stages_that_have_nothing_in_common_need_not_wait() -> None:
    outputs: dict[str, Node] = {
        "a.npy": filters.sobel(graph.open(IMAGE)),
        "b.npy": filters.sobel(graph.open(IMAGE[:40])),
    }
    plan = make_plan(outputs, Options(block_shape=BLOCK))
    assert can_run_ahead(plan, StageIndex(1))
    assert places_before(plan, StageIndex(1), map(BlockIndex, range(len(plan.stages[1].grid)))) == []


def test_a_block_waits_for_the_blocks_under_its_halo() -> None:
    plan, _ = stored_between()
    before, stage = plan.stages
    corner, middle = stage.grid.index((0, 0)), stage.grid.index((2, 2))
    assert [before.order.block(place) for place in places_before(plan, StageIndex(1), [corner])] == [
        before.grid.index(at) for at in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    assert len(places_before(plan, StageIndex(1), [middle])) == 9  # a halo of 8 pixels


def test_blocks_done_ahead_have_the_same_pixels(tmp_path: Path) -> None:
    plan, lazy = stored_between()
    target = Target(str(tmp_path / "o.npy"), IMAGE.shape, plan.nodes[plan.outputs["o.npy"]].dtype, BLOCK, "job")
    workspace = DiskWorkspace(tmp_path / "work", "job")
    workspace.create()
    context = Context(plan, workspace, {plan.outputs["o.npy"]: (target,)}, arrays=arrays_of(plan, (lazy,)))
    steps.create_outputs(context)
    before, stage = plan.stages
    done: set[int] = set()
    waiting, ahead = list(range(len(stage.grid))), 0
    for place in range(len(before.grid)):
        steps.run_block(context, 0, before.order.block(Place(place)))
        done.add(place)
        for block in [
            block for block in waiting if done.issuperset(places_before(plan, StageIndex(1), [BlockIndex(block)]))
        ]:
            steps.run_block(context, 1, BlockIndex(block))
            waiting.remove(block)
            ahead += place + 1 < len(before.grid)
    assert waiting == []
    assert ahead > len(stage.grid) // 2
    array_output(target).publish()
    expected = gaussian(ndimage.median_filter(IMAGE, footprint=np.ones((5, 5)), mode="nearest"), sigma=2)
    assert_identical(np.load(tmp_path / "o.npy"), expected)
