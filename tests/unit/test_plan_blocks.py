"""Plans: how large blocks are, when one block holds the whole image, and that no alternative is quicker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery import graph
from lepton_celery.catalogue import catalogue
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import Entry, Local
from lepton_celery.errors import InputError
from lepton_celery.graph.nodes import Node
from lepton_celery.planning.cost.keep import model_of_folder
from lepton_celery.planning.cost.model import CostModel, Figure
from lepton_celery.planning.options import Limits, PlanOptions
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.planner import TIE, alternatives, make_plan
from lepton_celery.planning.shapes import BLOCK_PX, block_candidates, larger_candidates, stored_shape
from lepton_celery.skimage import filters, measure, morphology
from tests.oracle import picture
from tests.unit.plans import cells, plan_of, vast

# ------------------------------------------------------------------------------------------------ blocks


@pytest.mark.parametrize("block_shape", [(7, 11), (500, 600), (9999, 1)])
def test_a_given_block_shape_is_used(block_shape: tuple[int, int]) -> None:
    labels, table = cells(vast((500, 600)))
    expected = tuple(min(b, n) for b, n in zip(block_shape, (500, 600), strict=True))
    stages = plan_of(labels, table, block_shape=block_shape).stages
    assert {stage.block_shape for stage in stages if not stage.combines} == {expected}


SHAPES = [(40_000, 50_000), (3000, 3000), (300, 300), (5, 10**7), (10**7,), (400, 900, 900), (30, 40, 50, 60)]


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_of_a_usual_size_come_first_and_the_whole_image_last(shape: tuple[int, ...]) -> None:
    for enough in (4, 256):
        usual, larger = block_candidates(shape, enough), larger_candidates(shape)
        assert all(b <= n for block in usual + larger for b, n in zip(block, shape, strict=True))
        assert max(np.prod(block) for block in usual) <= 2 * BLOCK_PX
        assert shape in usual or larger[-1] == shape
        assert all(np.prod(block) > np.prod(usual[0]) for block in larger)


@pytest.mark.parametrize("shape", SHAPES)
def test_large_blocks_are_stored_in_pieces_that_cross_none(shape: tuple[int, ...]) -> None:
    for block in [*block_candidates(shape, 4), *larger_candidates(shape)]:
        stored = stored_shape(block, shape)
        assert np.prod(stored) <= 2 * BLOCK_PX
        assert all(b >= n or b % s == 0 for s, b, n in zip(stored, block, shape, strict=True))


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_much_work_is_shared_by_the_workers_and_little_is_not(workers: int) -> None:
    dear = CostModel().with_figures("compute", {"numpy.add": Figure(5000.0, seconds=1)})
    shared = plan_of(vast((3000, 3000)) + 1, workers=workers, cost=dear).stages[0]
    assert len(shared.grid) >= 4 * workers
    assert len(plan_of(vast((300, 300)) + 1, workers=workers).stages[0].grid) == 1


# ------------------------------------------------------------------------------------------------ one block


def chain(image: graph.Image, sigma: float) -> Node:
    """A gaussian, a median and a dilation in one pass."""
    small, large = (np.ones((n,) * image.ndim, np.uint8) for n in (3, 9))
    grown: Node = morphology.dilation(filters.median(filters.gaussian(image, sigma), small), large)
    return grown


@pytest.mark.parametrize(
    ("shape", "block_shape"),
    [((70, 61), (16, 32)), ((70, 61), (70, 61)), ((30, 22, 26), (11, 22, 8)), ((9, 80), (9, 7))],
)
def test_the_pixels_that_functions_compute_are_predicted(
    shape: tuple[int, ...], block_shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = chain(graph.open(picture(shape, "float32")), 1.0)
    computed: Counter[str] = Counter()
    evaluate = Local.evaluate

    def count(entry: Local, arguments: Any, **options: Any) -> Array:
        result = evaluate(entry, arguments, **options)
        computed[entry.name] += result.size
        return result

    monkeypatch.setattr(Local, "evaluate", count)
    monkeypatch.setattr("lepton_celery.planning.sizes.MAX_BOX_PX", 0)  # blocks are computed one by one
    plan = plan_of(node, block_shape=block_shape, in_memory=True, workers=1, cost=model_of_folder().on_threads())
    lepton.compute(node, block_shape=block_shape, threads=1)
    lines = [line for stage in plan.stages for line in stage.predicted.lines if line.kind == "compute"]
    predicted = {line.key.split()[0]: line.units for line in lines}
    assert len(predicted) == 3
    # more is predicted where halos, of up to 9 pixels, reach past a whole block: blocks of 7 or 8, and the last of 6 of 70
    largest_ratio = 1.3 if min(block_shape) < 9 else 1.03
    for name, pixels in predicted.items():
        assert computed[name] <= pixels <= largest_ratio * computed[name], name


def test_a_wide_halo_makes_one_block_of_an_image_that_fits() -> None:
    volume = vast((96, 256, 256), "float32")
    for workers in (1, 2, 16):
        for node in (filters.gaussian(volume, sigma=25), chain(volume, 25)):
            assert plan_of(node, workers=workers).stages[0].block_shape == volume.shape
    assert plan_of(filters.gaussian(volume, sigma=1)).stages[0].block_shape != volume.shape
    small = plan_of(filters.gaussian(volume, sigma=25), limits=Limits(worker_memory_bytes=60 << 20))
    assert small.stages[0].block_shape != volume.shape
    flat = vast((2000, 2000), "float64")
    assert plan_of(chain(flat, 150)).stages[0].block_shape == flat.shape
    assert len(plan_of(chain(flat, 2)).stages[0].grid) > 1


def test_no_plan_takes_much_more_work_to_end_a_little_earlier() -> None:
    volume = vast((96, 256, 256), "float32")
    for workers in (2, 8, 64):
        for sigma in (1, 4, 10, 25, 60):
            node = filters.gaussian(volume, sigma)
            plan = plan_of(node, workers=workers)
            assert plan.work_s <= 1.5 * plan_of(node, block_shape=volume.shape, workers=workers).work_s + 0.01


class Priced:
    """Sets what a function costs where its image is cut."""

    def __init__(self) -> None:
        self._kept: dict[str, Entry] = {}

    def set(self, name: str, **changes: Any) -> None:
        self._kept.setdefault(name, catalogue()[name])
        catalogue()[name] = replace(self._kept[name], **changes)

    def restore(self) -> None:
        catalogue().update(self._kept)


@pytest.fixture
def priced() -> Iterator[Priced]:
    prices = Priced()
    yield prices
    prices.restore()


def blocks_of(plan: Plan, operation: str) -> int:
    (found,) = [
        len(stage.grid)
        for stage in plan.stages
        if operation in {plan.nodes[index].operation for index in (*stage.stores, *stage.reduces)}
    ]
    return found


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("lepton.thin_stored", lambda image: morphology.thin(image > 3, max_num_iter=17)),
        ("lepton.label_blocks", lambda image: measure.label(image > 3)),
        ("lepton.extent", lambda image: image - image.max()),
        ("filters.sobel", filters.sobel),
    ],
)
def test_a_function_that_is_dear_where_it_is_cut_gets_one_block(name: str, build: Any, priced: Priced) -> None:
    node = build(vast((3000, 3000)))
    cost = CostModel().with_figures("compute", {name: Figure(1000.0, seconds=1)})
    priced.set(name, cut_factor=1.0)
    assert blocks_of(plan_of(node, cost=cost), name) > 1
    priced.set(name, cut_factor=lambda grid, arguments: 1 + 0.1 * len(grid))
    assert 1 < blocks_of(plan_of(node, cost=cost, workers=2), name) <= 9
    priced.set(name, cut_factor=4.0)
    for workers in (2, 16):
        assert blocks_of(plan_of(node, cost=cost, workers=workers), name) == 1
    assert blocks_of(plan_of(node, cost=cost, block_shape=(1000, 1000)), name) == 9  # as asked for


def test_rounds_cost_what_they_are_expected_to_take(priced: Priced) -> None:
    image = vast((3000, 3000), "float64")
    node = morphology.reconstruction(image - 1, image)
    cost = CostModel().with_figures("compute", {"lepton.flood": Figure(1000.0, seconds=1)})
    priced.set("lepton.flood", rounds=4.0)
    assert blocks_of(plan_of(node, cost=cost), "lepton.flood") == 1
    priced.set("lepton.flood", rounds=1.2)
    assert blocks_of(plan_of(node, cost=cost), "lepton.flood") > 1
    priced.set("lepton.flood", rounds=lambda grid, arguments: len(grid))
    assert blocks_of(plan_of(node, cost=cost), "lepton.flood") == 1


def doubled(pixels: Array) -> Array:
    return pixels * 2


def test_a_users_own_function_gets_no_larger_blocks_than_usual() -> None:
    volume = vast((96, 512, 512))
    stage = plan_of(lepton.map_blocks(doubled, volume, halo=90)).stages[0]
    assert np.prod(stage.block_shape) <= 2 * BLOCK_PX


# ------------------------------------------------------------------------------------------------ alternatives


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("shape", [(512, 512), (4096, 4096), (20_000, 20_000), (64, 512, 512)])
def test_no_alternative_is_quicker_than_the_plan(shape: tuple[int, ...], workers: int) -> None:
    image = vast(shape)
    graphs: list[dict[str, Node]] = [
        {"0": filters.gaussian(image, 10)},
        {"0": filters.median(filters.gaussian(image, 10), np.ones((5,) * image.ndim, np.uint8))},
        dict(zip("01", cells(image), strict=True)),
        {"0": image - filters.gaussian(image, 20).max()},
    ]
    for outputs in graphs:
        planned = make_plan(outputs, PlanOptions(workers=workers))
        for difference, other in alternatives(planned):
            assert other.predicted_s >= (1 - TIE) * planned.plan.predicted_s, difference


@pytest.mark.parametrize("block_shape", [(5,), (5, 5, 5), ()])
def test_a_block_shape_of_other_axes_is_refused(block_shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="one length per axis"):
        plan_of(vast((50, 60)) + 1, block_shape=block_shape)


@pytest.mark.parametrize("block_shape", [(0, 5), (5, -1)])
def test_a_block_without_pixels_is_refused(block_shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="at least 1"):
        plan_of(vast((50, 60)) + 1, block_shape=block_shape)


def test_wide_halos_make_blocks_that_still_fit() -> None:
    plan = plan_of(filters.gaussian(vast((20_000, 20_000), "float64"), sigma=200))
    assert plan.stages[0].predicted.halo == (800, 800)
    assert plan.stages[0].predicted.memory_bytes < 1 << 30
