"""The order in which a stage's blocks are done: tile by tile, so that neighbours follow each other.

    tiles of 2 x 2 blocks in a grid of 3 x 5; the numbers are places

     0  1 |  4  5 |  8
     2  3 |  6  7 |  9
    ------+-------+---
    10 11 | 12 13 | 14

A worker that does the blocks of a tile decodes the chunks under their halos once or twice instead of nine times. Tiles are
compact if several small blocks are computed at once, and runs along a row if blocks are computed one by one.

Messages and the ledger name a block by its place, because the places of a tile are consecutive. Users, stores and the
catalogue name it by its index in the grid. Each is computed from the other; no order is stored.
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

    def block(self, place: Place) -> BlockIndex:
        """The block at a place.

        Raises:
            InputError: the grid has no such place.
        """
        if not 0 <= place < len(self.grid):
            raise InputError(f"place {place} is not in a grid of {len(self.grid)} blocks")
        starts, lengths, thickness, left = [], [], 1, int(place)
        counts = self.grid.counts
        for axis, (count, tile) in enumerate(zip(counts, self.tile, strict=True)):
            # blocks of a slab: one tile long on this axis, the whole grid on later axes, this block's tile on earlier ones
            slab = tile * thickness * math.prod(counts[axis + 1 :])
            number, left = divmod(left, slab)
            starts.append(number * tile)
            lengths.append(min(tile, count - number * tile))
            thickness *= lengths[-1]
        offsets = []
        for length in reversed(lengths):
            left, offset = divmod(left, length)
            offsets.append(offset)
        return self.grid.index([start + offset for start, offset in zip(starts, reversed(offsets), strict=True)])

    def place(self, block: BlockIndex) -> Place:
        """The place of a block."""
        counts, position = self.grid.counts, self.grid.position(block)
        place, thickness, inside = 0, 1, 0
        for axis, (coordinate, count, tile) in enumerate(zip(position, counts, self.tile, strict=True)):
            start = coordinate // tile * tile
            place += start * thickness * math.prod(counts[axis + 1 :])
            length = min(tile, count - start)
            thickness *= length
            inside = inside * length + coordinate - start
        return Place(place + inside)

    def stop(self, place: Place) -> Place:
        """The first place after the tile that holds `place`."""
        position = self.grid.position(self.block(place))
        last = [
            min(coordinate // tile * tile + tile, count) - 1
            for coordinate, tile, count in zip(position, self.tile, self.grid.counts, strict=True)
        ]
        return Place(self.place(self.grid.index(last)) + 1)

    def boxes(self, blocks: Iterable[BlockIndex], largest: Sequence[int]) -> list[list[BlockIndex]]:
        """Group blocks into boxes, in C order within a box.

        Tiles are cut into boxes of at most `largest` blocks along each axis, and into smaller ones where blocks are missing.
        """
        cells: dict[tuple[int, ...], list[_Position]] = {}
        for block in sorted(blocks):
            position = self.grid.position(block)
            cell = tuple(
                number
                for coordinate, tile, n in zip(position, self.tile, largest, strict=True)
                for number in (coordinate // tile, coordinate % tile // n)
            )
            cells.setdefault(cell, []).append(position)
        return [
            [self.grid.index(position) for position in product(*map(range, start, stop))]
            for positions in cells.values()
            for start, stop in _joined([(position, tuple(n + 1 for n in position)) for position in positions])
        ]


_Position = tuple[int, ...]
_Box = tuple[_Position, _Position]
"""First position of a box, and one past its last position on each axis."""


def _joined(boxes: list[_Box]) -> list[_Box]:
    """Join neighbouring boxes, along the last axis first."""
    for axis in reversed(range(len(boxes[0][0]))):
        known: dict[_Box, _Box] = {}  # by the far edge, at which a neighbour would begin
        for start, stop in boxes:
            edge = (start, (*stop[:axis], start[axis], *stop[axis + 1 :]))
            before = known.pop(edge, None)
            first = start if before is None else before[0]
            known[((*start[:axis], stop[axis], *start[axis + 1 :]), stop)] = (first, stop)
        boxes = sorted(known.values())
    return boxes


def runs(counts: Sequence[int], size: int) -> tuple[int, ...]:
    """Shape, in blocks, of a tile of at most about `size` blocks that is as long as possible along the last axis.

    Along that axis, the chunks under a block's halo are those of the blocks before and after it. Of the chunks above and
    below, only the rows in the halo need to be decoded.
    """
    tile, left = [], max(1, size)
    for count in reversed(counts):
        length = min(left, count)
        tile.append(-(-count // -(-count // length)) if count else 1)
        left = max(1, left // length) if length == count else 1
    return tuple(reversed(tile))


def compact(counts: Sequence[int], size: int) -> tuple[int, ...]:
    """Shape, in blocks, of a tile of at most about `size` blocks that is as compact as the grid allows.

    The tiles of a grid are about equally large: 100 blocks make 7 tiles of up to 15, not 6 tiles of 16 and a small one.
    """
    tile = [1] * len(counts)
    while True:
        wider = [axis for axis, n in enumerate(tile) if n < counts[axis] and 2 * math.prod(tile) <= size]
        if not wider:
            return tuple(-(-count // -(-count // n)) for count, n in zip(counts, tile, strict=True))
        # the last axis first, along which neighbouring pixels are adjacent on disk
        tile[min(wider, key=lambda axis: (tile[axis], -axis))] *= 2
