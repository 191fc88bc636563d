"""The shapes of blocks that the planner tries, and the shape in which large blocks are stored."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lepton_celery.grid import BlockGrid

BLOCK_PX = 1 << 20
"""Usual pixels of a block: large enough to make fixed costs negligible, small enough for the processor's caches."""
MIN_SIDE_PX = 64
"""Shortest side of the blocks that are tried."""
LARGER_SHAPES = 2
"""Number of block shapes above `BLOCK_PX` that are tried, besides one block that is the whole image."""

Shape = tuple[int, ...]


def block_candidates(shape: Shape, enough: int) -> list[Shape]:
    """The shapes of `halving` that make `enough` blocks, the largest first, and then the others, the smallest first."""
    shapes = halving(shape)
    many = [block for block in shapes if len(BlockGrid(shape, block)) >= enough]
    return many + [block for block in reversed(shapes) if block not in many]


def larger_candidates(shape: Shape) -> list[Shape]:
    """Shapes of blocks of more than `BLOCK_PX` pixels: for functions with a halo that is large beside a block, or that have
    a quicker way to do the whole image, which is the last of them."""
    usual = halving(shape)[0]
    shapes = [
        tuple(min(n, b << times) for b, n in zip(usual, shape, strict=True)) for times in range(1, LARGER_SHAPES + 1)
    ]
    return [block for block in dict.fromkeys([*shapes, shape]) if block != usual]


def aligned(block_shape: Sequence[int], chunks: Sequence[int], shape: Sequence[int]) -> Shape:
    """`block_shape` rounded to whole chunks; an axis that it covers stays covered."""
    return tuple(
        n if b >= n else min(n, max(1, round(b / chunk)) * chunk)
        for b, chunk, n in zip(block_shape, chunks, shape, strict=True)
    )


def halving(shape: Shape) -> list[Shape]:
    """Block shapes from about `BLOCK_PX` pixels downwards, in powers of two; each has half the side of the previous one."""
    shapes: list[Shape] = []
    side = 1 << round(math.log2(BLOCK_PX) / max(1, len(shape)))
    while True:
        # where the image is shorter than a side, the block is longer on the other axes
        long = [n for n in shape if n > side]
        block = tuple(min(n, side) for n in shape)
        spare = BLOCK_PX // max(1, math.prod(block)) if not shapes and len(long) < len(shape) else 1
        if spare > 1 and long:
            grown = side << int(math.log2(spare) / len(long))
            block = tuple(min(n, grown) if n > side else n for n in shape)
        shapes.append(block)
        if side <= MIN_SIDE_PX:
            return shapes
        side //= 2


def stored_shape(block_shape: Shape, shape: Shape) -> Shape:
    """The shape in which blocks are stored: their own, or a usual one if they are larger, which must not cross a block."""
    if math.prod(block_shape) <= BLOCK_PX:
        return block_shape
    usual = halving(shape)[0]
    return tuple(u if b >= n or b % u == 0 else b for b, u, n in zip(block_shape, usual, shape, strict=True))
