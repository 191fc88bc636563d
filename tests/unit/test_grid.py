"""Regions, halos and the grid of blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, BlockIndex, Region

SIZES = [
    ((0,), (3,)),
    ((1,), (1,)),
    ((7,), (3,)),
    ((64,), (16,)),
    ((13, 17), (5, 7)),  # primes, ragged on both axes
    ((12, 16), (4, 4)),
    ((5, 4), (100, 100)),  # one block, larger than the image
    ((1, 9), (1, 2)),
    ((6, 0), (2, 2)),
    ((5, 7, 11), (2, 3, 4)),
    ((3, 4, 5, 6), (2, 3, 2, 5)),
]


@st.composite
def grids(draw: st.DrawFn, least: int = 0) -> BlockGrid:
    ndim = draw(st.integers(1, 4))
    lengths = st.lists(st.integers(least, 9), min_size=ndim, max_size=ndim)
    blocks = st.lists(st.integers(1, 11), min_size=ndim, max_size=ndim)
    return BlockGrid(tuple(draw(lengths)), tuple(draw(blocks)))


@st.composite
def regions_in(draw: st.DrawFn, shape: Sequence[int]) -> Region:
    bounds = [sorted((draw(st.integers(0, n)), draw(st.integers(0, n)))) for n in shape]
    return Region(tuple(a for a, _ in bounds), tuple(b for _, b in bounds))


def visits(grid: BlockGrid) -> list[int]:
    seen = np.zeros(grid.shape, int)
    for region in grid:
        assert region.size > 0
        seen[region.slices] += 1
    return sorted(set(seen.ravel().tolist()))


@pytest.mark.parametrize(("shape", "block"), SIZES)
def test_blocks_tile_the_image_exactly_once(shape: tuple[int, ...], block: tuple[int, ...]) -> None:
    grid = BlockGrid(shape, block)
    assert visits(grid) == ([1] if math.prod(shape) else [])
    assert sum(region.size for region in grid) == math.prod(shape)


@given(grids())
def test_blocks_of_any_grid_tile_its_image_exactly_once(grid: BlockGrid) -> None:
    assert visits(grid) == ([1] if math.prod(grid.shape) else [])
    assert len(list(grid)) == len(grid) == math.prod(grid.counts)


@given(grids(least=1))
def test_position_and_index_are_inverse_in_c_order(grid: BlockGrid) -> None:
    positions = [grid.position(BlockIndex(index)) for index in range(len(grid))]
    assert positions == list(np.ndindex(*grid.counts))
    assert [grid.index(position) for position in positions] == list(range(len(grid)))


@given(st.data())
def test_a_halo_is_clipped_at_the_images_edge_and_trimmed_inside(data: st.DataObject) -> None:
    grid = data.draw(grids(least=1))
    halo = tuple(data.draw(st.integers(0, 12)) for _ in grid.shape)
    image = np.arange(math.prod(grid.shape)).reshape(grid.shape)
    for region in grid:
        read = region.expand(halo, grid.shape)
        for axis, h in enumerate(halo):
            assert read.start[axis] == max(0, region.start[axis] - h)
            assert read.stop[axis] == min(grid.shape[axis], region.stop[axis] + h)
        np.testing.assert_array_equal(image[read.slices][region.within(read)], image[region.slices])


@given(st.data())
def test_overlapping_gives_the_blocks_that_share_a_pixel_in_order(data: st.DataObject) -> None:
    grid = data.draw(grids(least=1))
    region = data.draw(regions_in(grid.shape))
    touched = np.zeros(grid.shape, bool)
    touched[region.slices] = True
    expected = [index for index in range(len(grid)) if touched[grid.region(BlockIndex(index)).slices].any()]
    assert list(grid.overlapping(region)) == expected


@given(st.data())
def test_a_union_is_the_smallest_region_that_contains_both(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 8), min_size=1, max_size=3)))
    a, b = data.draw(regions_in(shape)), data.draw(regions_in(shape))
    union = a.union(b)
    assert union.contains(a)
    assert union.contains(b)
    assert union == b.union(a)
    assert union.start == tuple(map(min, a.start, b.start))
    assert union.stop == tuple(map(max, a.stop, b.stop))


def test_a_ragged_last_block_is_cut_off_at_the_image() -> None:
    grid = BlockGrid((10, 7), (4, 4))
    assert grid.counts == (3, 2)
    assert grid.region(BlockIndex(5)) == Region((8, 4), (10, 7))
    assert grid.region(BlockIndex(5)).shape == (2, 3)


def test_a_region_knows_its_shape_its_size_and_its_slices() -> None:
    region = Region((2, 3), (5, 7))
    assert (region.ndim, region.shape, region.size) == (2, (3, 4), 12)
    assert region.slices == (slice(2, 5), slice(3, 7))
    assert str(region) == "[2:5, 3:7]"
    assert Region.whole((4, 5)) == Region((0, 0), (4, 5))


def test_an_image_without_axes_is_one_block() -> None:
    grid = BlockGrid((), ())
    assert list(grid) == [Region((), ())]
    assert grid.region(BlockIndex(0)).size == 1


def test_a_grid_of_a_billion_blocks_costs_nothing() -> None:
    grid = BlockGrid((10**9, 10**9), (10**4, 10**5))
    assert len(grid) == 10**9
    assert grid.region(BlockIndex(len(grid) - 1)).stop == (10**9, 10**9)


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [
        ((0, 0), (1,), "differ in dimensions"),
        ((3,), (2,), "not ordered"),
        ((-1,), (2,), "not ordered"),
    ],
)
def test_an_invalid_region_is_refused(start: tuple[int, ...], stop: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Region(start, stop)


@pytest.mark.parametrize(
    ("shape", "block", "message"),
    [
        ((5, 5), (2,), "one length per axis"),
        ((5,), (0,), "at least 1"),
        ((5,), (-3,), "at least 1"),
        ((-1,), (2,), "at least 1"),
    ],
)
def test_a_block_shape_that_does_not_fit_is_refused(
    shape: tuple[int, ...], block: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        BlockGrid(shape, block)


def test_blocks_and_regions_outside_are_refused() -> None:
    grid = BlockGrid((10, 10), (4, 4))
    for index in (-1, 9):
        with pytest.raises(InputError, match="not in a grid of 9 blocks"):
            grid.region(BlockIndex(index))
    for position in ((3, 0), (0, -1)):
        with pytest.raises(InputError, match="outside a grid"):
            grid.index(position)
    with pytest.raises(InputError, match="not inside"):
        Region((0,), (5,)).within(Region((1,), (5,)))
