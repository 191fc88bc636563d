"""Stages that are repeated until nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery import graph
from lepton_celery.catalogue import catalogue
from lepton_celery.catalogue.arrays import Array, View, Where
from lepton_celery.catalogue.entries import Composite, Iterated, Local
from lepton_celery.execution.block import run_blocks
from lepton_celery.execution.context import Context
from lepton_celery.execution.merge import merge_stage, missing_blocks
from lepton_celery.grid import BlockIndex, StageNumber
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.planner import make_plan
from lepton_celery.stores.workspace import DiskWorkspace, MemoryWorkspace
from tests.oracle import evaluate


def spread(image: View, state: View | None, where: Where) -> tuple[Array, bool]:
    """Spread marks (2) over the foreground (1) within a block."""
    from scipy.ndimage import binary_propagation

    wide = where.region.expand((1, 1), where.shape)
    before = (image if state is None else state).read(wide)
    after = np.where(binary_propagation(before == 2, mask=before > 0), 2, before)[where.region.within(wide)]
    return after.astype(before.dtype), bool((after != before[where.region.within(wide)]).any())


def same(settled: Array) -> Array:
    return settled


@pytest.fixture
def spreading() -> Iterator[None]:
    here = f"{__name__}.spread"
    found = catalogue()
    found["lepton.test_spread"] = Iterated(
        name="lepton.test_spread", source=here, function=spread, halo=lambda arguments: 1
    )
    found["lepton.test_same"] = Local(
        name="lepton.test_same", source=f"{__name__}.same", images=("settled",), function=same
    )
    found["test.spread"] = Composite(
        name="test.spread",
        source=f"{__name__}.whole",
        expand=lambda arguments, build: build(
            "lepton.test_same", settled=build("lepton.test_spread", image=arguments["image"])
        ),
        gives="image",
    )
    yield
    for name in ("lepton.test_spread", "lepton.test_same", "test.spread"):
        del found[name]


def spiral(n: int) -> Array:
    """A path of foreground from a mark in the corner to the middle, which crosses most blocks many times."""
    image = np.zeros((n, n), np.uint8)
    top, bottom, left, right = 0, n - 1, 0, n - 1
    while left <= right and top <= bottom:
        image[top, left : right + 1] = 1
        image[top : bottom + 1, right] = 1
        image[bottom, left : right + 1] = 1
        if top + 2 <= bottom:
            image[top + 2 : bottom + 1, left] = 1
            image[top + 2, left : left + 2] = 1
        top, bottom, left, right = top + 2, bottom - 2, left + 2, right - 2
    image[0, 0] = 2
    return image


def whole(image: Array) -> Array:
    from scipy.ndimage import binary_propagation

    return np.where(binary_propagation(image == 2, mask=image > 0), 2, image).astype(image.dtype)


@pytest.mark.slow
@pytest.mark.usefixtures("spreading")
@pytest.mark.parametrize("block_shape", [(5, 5), (3, 21), (40, 40), (1, 2)])
def test_an_image_settles_block_by_block(block_shape: tuple[int, int]) -> None:
    image = spiral(21)
    np.testing.assert_array_equal(evaluate(graph.apply("test.spread", image), block_shape), whole(image))


@pytest.mark.usefixtures("spreading")
def test_the_inline_engine_repeats_a_stage_until_nothing_changes() -> None:
    image = spiral(33)
    lazy = graph.apply("numpy.add", graph.apply("test.spread", image), 1)
    np.testing.assert_array_equal(lepton.compute(lazy, block_shape=(7, 6), threads=2), whole(image) + 1)


@pytest.mark.slow
@pytest.mark.usefixtures("spreading")
def test_rounds_on_disk_keep_no_more_than_the_last_two_images(tmp_path: Path) -> None:
    image = spiral(21)
    plan = make_plan({"out": graph.apply("test.spread", image)}, PlanOptions(block_shape=(5, 5), workers=1)).plan
    plan = Plan.from_json(plan.to_json())
    workspace = DiskWorkspace(tmp_path / "work", "job")
    workspace.create()
    number: StageNumber | None = StageNumber(0)
    most, rounds = 0, 0
    while number is not None and plan.stage_run(number).stage == 0:
        context: Any = Context(plan, workspace, arrays={0: image})  # as a worker that has just started
        for block in plan.stages[0].grid.indices():
            run_blocks(context, number, [block])
        assert missing_blocks(context, number) == []
        again = merge_stage(context, number)
        assert merge_stage(context, number) is again  # a merge may run twice
        number = plan.following(number, again=again)
        rounds += 1
        most = max(most, len(list((tmp_path / "work").glob(".image*"))))
    assert rounds > 3
    assert most == 2
    np.testing.assert_array_equal(
        context.reader(1).read(plan.stages[0].grid.region(BlockIndex(0))), whole(image)[:5, :5]
    )


@pytest.mark.usefixtures("spreading")
@pytest.mark.parametrize(("settles", "rounds"), [(True, 1), (False, 2)])
def test_a_single_block_that_settles_needs_no_second_round(settles: bool, rounds: int) -> None:
    entry = catalogue()["lepton.test_spread"]
    catalogue()["lepton.test_spread"] = replace(entry, settles_whole=settles)  # type: ignore[call-arg]
    image = spiral(9)
    plan = make_plan({"out": graph.apply("test.spread", image)}, PlanOptions(image.shape, workers=1)).plan
    context: Any = Context(plan, MemoryWorkspace(), arrays={0: image})
    number: StageNumber | None = StageNumber(0)
    run = 0
    while number is not None and plan.stage_run(number).stage == 0:
        run_blocks(context, number, [BlockIndex(0)])
        number = plan.following(number, again=merge_stage(context, number))
        run += 1
    assert run == rounds
    np.testing.assert_array_equal(context.reader(1).read(plan.stages[0].grid.region(BlockIndex(0))), whole(image))


def test_stage_numbers_of_rounds_are_unique() -> None:
    plan = make_plan(
        {"out": graph.open(np.ones((4, 4))) + graph.open(np.ones((4, 4))).max()}, PlanOptions(workers=1)
    ).plan
    assert len(plan.stages) == 2
    assert plan.following(StageNumber(0), again=True) == 2
    assert plan.stage_run(StageNumber(2)) == (0, 1)
    assert plan.following(StageNumber(2), again=False) == 1
    assert plan.following(StageNumber(1), again=False) is None
