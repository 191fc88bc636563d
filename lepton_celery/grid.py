"""Regions, halos and the grid of blocks that tiles an image.

Positions are in pixels, axes in NumPy's order (first axis slowest), every interval half-open `[start, stop)`.

    |------------------------------|   the image, one axis
    |wwwwwwwwwwwww|hhhh|               block 0: no halo at the image's true edge
             |hhhh|wwwwwwwww|hhhh|     block 1: halo on both sides
                       |hhhh|www|      block 2: ragged, shorter than the others

A block writes the pixels `w` and also reads the pixels `h`. A halo is clipped at the image's edge and never padded: there
the function applies its own boundary mode, as it does on the whole image. The result is trimmed to the pixels `w` on the
sides that face another block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from operator import le, lt, sub
from typing import NewType

from lepton_celery.errors import InputError

BlockIndex = NewType("BlockIndex", int)
"""A block's number in its grid, in C order of its position. Users, stores and the catalogue name blocks by it."""
Place = NewType("Place", int)
"""A block's rank in the order in which the blocks of its stage are computed. Messages and the ledger name blocks by it."""
StageIndex = NewType("StageIndex", int)
"""A stage's number in its plan."""
StageNumber = NewType("StageNumber", int)
"""A stage's number in the ledger, where each round of a repeated stage has a number of its own."""
StageOrdinal = NewType("StageOrdinal", int)
"""A stage's number in its plan as people read it: counted from 1."""


@dataclass(frozen=True, slots=True)
class Region:
    """A box of pixels, half-open on every axis."""

    start: tuple[int, ...]
    """The first pixel on each axis."""
    stop: tuple[int, ...]
    """One past the last pixel on each axis."""

    def __post_init__(self) -> None:
        if len(self.start) != len(self.stop):
            raise InputError(
                f"region start {self.start} and stop {self.stop} differ in dimensions; give one of each per axis"
            )
        if any(map(lt, self.stop, self.start)) or (self.start and min(self.start) < 0):
            raise InputError(f"region {self.start}..{self.stop} is not ordered; each axis needs 0 <= start <= stop")

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Region:
        """The region of a whole image of `shape`."""
        return cls((0,) * len(shape), tuple(shape))

    @property
    def ndim(self) -> int:
        return len(self.start)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(map(sub, self.stop, self.start))

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    @property
    def slices(self) -> tuple[slice, ...]:
        """The region as an index into the whole image."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def expand(self, halo: Sequence[int], shape: Sequence[int]) -> Region:
        """This region with `halo` more pixels on both sides of each axis, clipped to an image of `shape`."""
        if not any(halo) and len(halo) == self.ndim and not any(map(lt, shape, self.stop)):
            return self
        return Region(
            tuple(max(0, a - h) for a, h in zip(self.start, halo, strict=True)),
            tuple(min(n, b + h) for b, h, n in zip(self.stop, halo, shape, strict=True)),
        )

    def within(self, outer: Region) -> tuple[slice, ...]:
        """This region as an index into an array of the pixels of `outer`."""
        if not outer.contains(self):
            raise InputError(f"region {self} is not inside {outer}")
        return tuple(slice(a - o, b - o) for a, b, o in zip(self.start, self.stop, outer.start, strict=True))

    def contains(self, other: Region) -> bool:
        return all(map(le, self.start, other.start)) and all(map(le, other.stop, self.stop))

    def union(self, other: Region) -> Region:
        """The smallest region that contains both."""
        return Region(
            tuple(min(a, b) for a, b in zip(self.start, other.start, strict=True)),
            tuple(max(a, b) for a, b in zip(self.stop, other.stop, strict=True)),
        )

    def pieces(self, count: int) -> list[Region]:
        """This region, halved along its longest axes into at least `count` pieces or into single pixels."""
        pieces = [self]
        while len(pieces) < count and max(self.shape, default=0) and any(piece.size > 1 for piece in pieces):
            pieces = [half for piece in pieces for half in _halves(piece)]
        return pieces

    def __str__(self) -> str:
        return "[" + ", ".join(f"{a}:{b}" for a, b in zip(self.start, self.stop, strict=True)) + "]"


def _halves(region: Region) -> list[Region]:
    if region.size <= 1:
        return [region]
    axis = max(range(region.ndim), key=region.shape.__getitem__)
    middle = (region.start[axis] + region.stop[axis]) // 2
    first, second = list(region.stop), list(region.start)
    first[axis] = second[axis] = middle
    return [Region(region.start, tuple(first)), Region(tuple(second), region.stop)]


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """An image cut into blocks of one shape, ragged at the far edges.

    Blocks are numbered in C order of their position. A block is computed from its index, so the memory of a grid does not
    depend on the number of blocks.
    """

    shape: tuple[int, ...]
    """Shape of the image in pixels."""
    block_shape: tuple[int, ...]
    """Shape of a block in pixels; blocks at the far edges are shorter."""
    counts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Number of blocks along each axis."""
    _size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.block_shape):
            raise InputError(
                f"block shape {self.block_shape} has {len(self.block_shape)} axes, the image {self.shape} has "
                f"{len(self.shape)}; give one length per axis"
            )
        if any(n < 0 for n in self.shape) or any(b < 1 for b in self.block_shape):
            raise InputError(f"block shape {self.block_shape} for image {self.shape}: block lengths must be at least 1")
        counts = tuple(-(-n // b) for n, b in zip(self.shape, self.block_shape, strict=True))
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "_size", math.prod(counts))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Region]:
        return map(self.region, self.indices())

    def indices(self) -> Iterator[BlockIndex]:
        """All blocks, in C order."""
        return map(BlockIndex, range(self._size))

    def position(self, index: BlockIndex) -> tuple[int, ...]:
        """The position of a block in the grid, in blocks along each axis."""
        if not 0 <= index < self._size:
            raise InputError(f"block {index} is not in a grid of {len(self)} blocks")
        position, left = [], int(index)
        for count in reversed(self.counts):
            left, rest = divmod(left, count)
            position.append(rest)
        return tuple(reversed(position))

    def index(self, position: Sequence[int]) -> BlockIndex:
        """The block at `position` in the grid."""
        index = 0
        for coordinate, count in zip(position, self.counts, strict=True):
            if not 0 <= coordinate < count:
                raise InputError(f"position {tuple(position)} is outside a grid of {self.counts} blocks")
            index = index * count + coordinate
        return BlockIndex(index)

    def region(self, index: BlockIndex) -> Region:
        """The pixels that a block writes."""
        position = self.position(index)
        start = tuple(p * b for p, b in zip(position, self.block_shape, strict=True))
        stop = tuple(min(n, a + b) for a, b, n in zip(start, self.block_shape, self.shape, strict=True))
        return Region(start, stop)

    def overlapping(self, region: Region) -> Iterator[BlockIndex]:
        """The blocks that share a pixel with `region`, in C order."""
        if region.size:
            axes = zip(region.start, region.stop, self.block_shape, strict=True)
            yield from map(self.index, product(*(range(a // b, (z - 1) // b + 1) for a, z, b in axes)))
