"""The order of blocks: each block once, tile by tile, and its division into boxes."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, BlockIndex, Place
from lepton_celery.planning.tiles import Tiling, compact, runs


@st.composite
def orders(draw: st.DrawFn) -> Tiling:
    """Grids of up to four axes, and tiles that may be larger than their grid."""
    counts = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    tile = draw(st.tuples(*(st.integers(1, 5) for _ in counts)))
    return Tiling(BlockGrid(tuple(counts), (1,) * len(counts)), tile)


@given(orders())
def test_every_block_has_one_place(order: Tiling) -> None:
    blocks = [order.block(Place(place)) for place in range(len(order.grid))]
    assert sorted(blocks) == list(range(len(order.grid)))
    assert [order.place(block) for block in blocks] == list(range(len(order.grid)))


def test_the_picture_in_the_docstring() -> None:
    order = Tiling(BlockGrid((3, 5), (1, 1)), (2, 2))
    assert [order.place(BlockIndex(block)) for block in range(15)] == [0, 1, 4, 5, 8, 2, 3, 6, 7, 9, 10, 11, 12, 13, 14]


@given(orders())
def test_the_blocks_of_a_tile_are_consecutive(order: Tiling) -> None:
    tile_of = [
        tuple(at // n for at, n in zip(order.grid.position(order.block(Place(place))), order.tile, strict=True))
        for place in range(len(order.grid))
    ]
    changes = sum(a != b for a, b in pairwise(tile_of))
    assert changes == len(set(tile_of)) - 1


@given(orders(), st.data())
def test_boxes_are_rectangular_and_hold_each_block_once(order: Tiling, data: st.DataObject) -> None:
    blocks = data.draw(st.lists(st.integers(0, len(order.grid) - 1), unique=True))
    most = data.draw(st.tuples(*(st.integers(1, 4) for _ in order.tile)))
    boxes = list(order.boxes(map(BlockIndex, blocks), most))
    assert sorted(block for box in boxes for block in box) == sorted(blocks)
    for box in boxes:
        region = order.grid.region(box[0])
        for block in box[1:]:
            region = region.union(order.grid.region(block))
        assert region.size == len(box) == len(set(box))
        assert all(length <= n for length, n in zip(region.shape, most, strict=True))


@given(orders(), st.data())
def test_consecutive_places_make_few_boxes(order: Tiling, data: st.DataObject) -> None:
    """Consecutive places of a tile are whole rows and parts of rows, for any number of axes."""
    first = data.draw(st.integers(0, len(order.grid) - 1))
    last = data.draw(st.integers(first, order.stop(Place(first)) - 1))
    boxes = order.boxes([order.block(Place(place)) for place in range(first, last + 1)], order.tile)
    assert len(boxes) <= 2 * len(order.tile) - 1


@given(orders())
def test_a_tile_stops_where_the_next_one_begins(order: Tiling) -> None:
    place, tiles = 0, 0
    while place < len(order.grid):
        place, tiles = order.stop(Place(place)), tiles + 1
    assert place == len(order.grid)
    assert tiles == math.prod(-(-n // t) for n, t in zip(order.grid.counts, order.tile, strict=True))


def test_all_blocks_make_the_smallest_number_of_boxes() -> None:
    order = Tiling(BlockGrid((8, 8), (1, 1)), (4, 4))
    assert [len(box) for box in order.boxes(map(BlockIndex, range(64)), (4, 4))] == [16] * 4


@pytest.mark.parametrize(
    ("counts", "size", "expected"),
    [
        ((8, 8), 4, (2, 2)),
        ((8, 8), 8, (2, 4)),  # the last axis is extended first
        ((8, 8), 7, (2, 2)),
        ((100, 100), 200, (8, 15)),  # 13 and 7 tiles along the axes, of similar sizes
        ((1, 40), 16, (1, 14)),
        ((40, 1), 16, (14, 1)),
        ((2, 2, 2), 100, (2, 2, 2)),
        ((3, 3), 100, (3, 3)),
        ((5,), 1, (1,)),
        ((), 10, ()),
    ],
)
def test_tiles_are_compact(counts: tuple[int, ...], size: int, expected: tuple[int, ...]) -> None:
    assert compact(counts, size) == expected
    assert math.prod(compact(counts, size)) <= max(1, size)


@pytest.mark.parametrize(
    ("counts", "size", "expected"),
    [
        ((8, 8), 4, (1, 4)),
        ((8, 8), 16, (2, 8)),
        ((8, 8), 100, (8, 8)),
        ((5, 10), 7, (1, 5)),  # two equal runs in each row
        ((40, 1), 16, (14, 1)),
        ((2, 3, 4), 12, (1, 3, 4)),
        ((5,), 1, (1,)),
        ((), 10, ()),
    ],
)
def test_runs_follow_the_last_axis(counts: tuple[int, ...], size: int, expected: tuple[int, ...]) -> None:
    assert runs(counts, size) == expected
    assert math.prod(runs(counts, size)) <= max(1, size)


def test_a_place_outside_the_grid_is_refused() -> None:
    with pytest.raises(InputError, match="place 4 is not in a grid of 4 blocks"):
        Tiling(BlockGrid((4, 4), (2, 2)), (1, 1)).block(Place(4))
