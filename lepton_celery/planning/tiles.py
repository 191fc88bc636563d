"""The order in which a stage's blocks are done: tile by tile, so that neighbours follow each other.

    tiles of 2 x 2 blocks in a grid of 3 x 5; the numbers are places

     0  1 |  4  5 |  8
     2  3 |  6  7 |  9
    ------+-------+---
    10 11 | 12 13 | 14

A worker that does the blocks of a tile reads the chunks under their halos once or twice instead of nine times. It may also
compute several small blocks of a tile at once: then the tile is compact. Blocks that are computed one by one are tiled in
runs of a row.

Messages and the ledger name a block by its place, because the places of a tile are one stretch. Users, stores and the
catalogue name it by its index in the grid. Nothing is listed: each follows from the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, BlockIndex, Place


@dataclass(frozen=True, slots=True)
class Tiling:
    """The blocks of a grid, tile by tile in C order, and in C order within a tile."""

    grid: BlockGrid
    tile: tuple[int, ...]
    """Blocks along each axis of a tile; tiles at the far edges are cut off there."""

    def __post_init__(self) -> None:
        if len(self.tile) != len(self.grid.shape) or any(n < 1 for n in self.tile):
            raise InputError(
                f"tiles of {self.tile} blocks in a grid of {self.grid.counts}; give one length per axis, from 1"
            )

    def block(self, place: Place) -> BlockIndex:
        """The block at a place."""
        if not 0 <= place < len(self.grid):
            raise InputError(f"place {place} is not in an order of {len(self.grid)} blocks")
        starts, lengths, thickness, left = [], [], 1, int(place)
        counts = self.grid.counts
        for axis, (count, tile) in enumerate(zip(counts, self.tile, strict=True)):
            # what one tile's length along this axis holds: all later axes, as thick as the tile is along earlier ones
            slab = thickness * math.prod(counts[axis + 1 :])
            at, left = divmod(left, tile * slab)
            starts.append(at * tile)
            lengths.append(min(tile, count - at * tile))
            thickness *= lengths[-1]
        position = []
        for length in reversed(lengths):
            left, at = divmod(left, length)
            position.append(at)
        return self.grid.index([start + at for start, at in zip(starts, reversed(position), strict=True)])

    def place(self, block: BlockIndex) -> Place:
        """Where a block stands in the order."""
        counts, position = self.grid.counts, self.grid.position(block)
        place, thickness, inside = 0, 1, 0
        for axis, (at, count, tile) in enumerate(zip(position, counts, self.tile, strict=True)):
            start = at // tile * tile
            place += start * thickness * math.prod(counts[axis + 1 :])
            length = min(tile, count - start)
            thickness *= length
            inside = inside * length + at - start
        return Place(place + inside)

    def stop(self, place: Place) -> int:
        """The first place after the tile that holds `place`."""
        position = self.grid.position(self.block(place))
        last = [
            min(at // tile * tile + tile, count) - 1
            for at, tile, count in zip(position, self.tile, self.grid.counts, strict=True)
        ]
        return self.place(self.grid.index(last)) + 1

    def boxes(self, blocks: Iterable[BlockIndex], most: Sequence[int]) -> list[list[BlockIndex]]:
        """Blocks in groups that fill a box each, of at most `most` blocks along each axis; each group in C order.

        Tiles are cut into boxes of that size, and those into smaller ones where blocks are missing.
        """
        rooms: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for block in sorted(blocks):
            position = self.grid.position(block)
            room = tuple(
                part
                for at, tile, n in zip(position, self.tile, most, strict=True)
                for part in (at // tile, at % tile // n)
            )
            rooms.setdefault(room, []).append(position)
        found = []
        for positions in rooms.values():
            for start, stop in _joined([(at, tuple(n + 1 for n in at)) for at in positions]):
                inside = product(*map(range, start, stop))
                found.append([self.grid.index(at) for at in inside])
        return found


_Box = tuple[tuple[int, ...], tuple[int, ...]]
"""First position and one past the last, on each axis."""


def _joined(boxes: list[_Box]) -> list[_Box]:
    """Boxes side by side made one, along the last axis first."""
    for axis in reversed(range(len(boxes[0][0]))):
        ends: dict[_Box, _Box] = {}
        """Where a box would have to begin to go on from one that is known, and that one."""
        for start, stop in boxes:
            before = ends.pop((start, (*stop[:axis], start[axis], *stop[axis + 1 :])), None)
            first = start if before is None else before[0]
            ends[((*start[:axis], stop[axis], *start[axis + 1 :]), stop)] = (first, stop)
        boxes = sorted(ends.values())
    return boxes


def runs(counts: Sequence[int], size: int) -> tuple[int, ...]:
    """Blocks along each axis of a tile of about `size` and not more that is as long as the last axis lets it be.

    Chunks under a halo at the sides are then those of the block before and after; of those above and below, a few rows are
    read alone.
    """
    tile, left = [], max(1, size)
    for count in reversed(counts):
        length = min(left, count)
        tile.append(-(-count // -(-count // length)) if count else 1)
        left = max(1, left // length) if length == count else 1
    return tuple(reversed(tile))


def compact(counts: Sequence[int], size: int) -> tuple[int, ...]:
    """Blocks along each axis of a tile of about `size` and not more, as compact as the grid lets it be.

    Tiles of a grid are about equally large: 100 blocks make 7 tiles of 15, not 6 of 16 and a small one.
    """
    tile = [1] * len(counts)
    while True:
        wider = [axis for axis, n in enumerate(tile) if n < counts[axis] and 2 * math.prod(tile) <= size]
        if not wider:
            return tuple(-(-count // -(-count // n)) for count, n in zip(counts, tile, strict=True))
        # the last axis first: its neighbours lie side by side on disk
        tile[min(wider, key=lambda axis: (tile[axis], -axis))] *= 2
