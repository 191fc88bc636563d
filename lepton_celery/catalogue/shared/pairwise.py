"""NumPy's sum of a contiguous array, bit for bit, for streams of values and for images in blocks.

NumPy adds up an image of any number of axes as one run of pixels in raster order, along a tree of additions that depends on
the number of pixels only. A block of an image therefore does not add up its own pixels. It reads an equal share of the run
and leaves the sum of each leaf of the tree that begins in its share; the merge adds these sums as the tree does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import (
    Arguments,
    Array,
    DType,
    Lazy,
    Partial,
    Partials,
    View,
    Where,
    float_dtype,
)
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Local, Reduction, ValueFunction
from lepton_celery.catalogue.results import dtype_of, given_dtype
from lepton_celery.grid import BlockGrid, Region

LEAF = 1 << 16
"""Largest number of pixels added up in one call; at least 128, up to which NumPy does not split."""

BUFFER = 8192
"""Elements that NumPy converts at a time when it adds up pixels in another dtype, `numpy.getbufsize`."""

READ_PX = 1 << 20
"""Largest number of pixels of a run that are read at once."""

_WIDE_PX = 1 << 14
"""Pixels per index of the first axis above which a run would lie in too many chunks of a file."""


class PairwiseSum:
    """The sum of a stream of `count` values, as `np.mean` computes it from all values at once.

    As in `pairwise_sum` of NumPy's `loops_utils.h`, a run of more than 128 values is split at half its length, rounded down
    to a multiple of 8, and the sums of both halves are added. Integers are converted to float64 one buffer at a time, and
    the sums of the buffers are added one after the other. Memory holds `LEAF` values and one sum per level of the tree.
    """

    def __init__(self, count: int, dtype: DType) -> None:
        self._count = np.intp(count)  # as in NumPy; division by a Python int would be less precise for float32
        integer = dtype.kind in "bui"
        self._steps = _buffer_steps(count) if integer else _tree_steps(count)
        self._leaf = next(self._steps, 0)
        self._sums: list[Any] = []
        self._buffer = np.empty(min(count, LEAF), np.float64 if integer else dtype)
        self._filled = 0

    def add(self, values: Array) -> None:
        """Add the next values."""
        while values.size:
            room = self._leaf - self._filled
            taken = values[:room]
            self._buffer[self._filled : self._filled + taken.size] = taken
            self._filled += taken.size
            values = values[room:]
            if self._filled == self._leaf:
                self._sums.append(np.add.reduce(self._buffer[: self._leaf]))
                self._filled = 0
                self._fold()

    def _fold(self) -> None:
        for step in self._steps:
            if step:
                self._leaf = step
                return
            right, left = self._sums.pop(), self._sums.pop()
            self._sums.append(left + right)

    def mean(self) -> Any:
        """The mean of the values, as `np.mean` computes it."""
        total = self._sums[0]
        return total.dtype.type(total / self._count)


def _tree_steps(count: int) -> Iterator[int]:
    """The tree in postfix order: a number stands for a leaf of that many values, 0 for adding the two sums before it."""
    if count <= LEAF:
        yield count
        return
    half = count // 16 * 8
    yield from _tree_steps(half)
    yield from _tree_steps(count - half)
    yield 0


def _buffer_steps(count: int) -> Iterator[int]:
    """The steps for integers: the sums of buffers are added one after the other."""
    for start in range(0, max(count, 1), BUFFER):
        yield min(BUFFER, count - start)
        if start:
            yield 0


# ------------------------------------------------------------------------------------------------ images in blocks


def share_of(region: Region, shape: Sequence[int]) -> tuple[int, int]:
    """The run of pixels, in raster order, that a block adds up: (start, stop). It has as many pixels as the block."""
    first = 0
    for axis, start in enumerate(region.start):
        # blocks that come earlier along this axis have the block's own lengths along the axes before
        first += start * math.prod(region.shape[:axis]) * math.prod(shape[axis + 1 :])
    return first, first + region.size


def leaves_within(first: int, stop: int, count: int, buffered: bool) -> Iterator[tuple[int, int]]:
    """The leaves of NumPy's tree that begin in a run of pixels: (start, stop) of each, in order."""
    if buffered:
        for start in range(-(-first // BUFFER) * BUFFER, min(stop, count), BUFFER):
            yield start, min(start + BUFFER, count)
        return
    stack = [(0, count)]
    while stack:
        start, size = stack.pop()
        if start >= stop or start + size <= first:
            continue
        if size > LEAF:
            half = size // 16 * 8
            stack += [(start + half, size - half), (start, half)]
        elif start >= first:
            yield start, start + size


def in_groups(runs: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Consecutive runs in groups of at most `READ_PX` pixels or one run, each group to be read at once."""
    group: list[tuple[int, int]] = []
    for run in runs:
        if group and run[1] - group[0][0] > READ_PX:
            yield group
            group = []
        group.append(run)
    if group:
        yield group


def read_run(image: View, start: int, stop: int) -> Array:
    """Pixels `start` to `stop` of an image in raster order."""
    run = np.empty(stop - start, image.dtype)
    for first, box in boxes_of(start, stop, image.shape):
        run[first - start : first - start + box.size] = image.read(box).ravel()
    return run


def boxes_of(start: int, stop: int, shape: Sequence[int]) -> Iterator[tuple[int, Region]]:
    """A run of pixels as boxes of the image, each with the raster index of its first pixel."""
    while start < stop:
        for axis in range(len(shape)):
            step = math.prod(shape[axis + 1 :])
            if start % step == 0 and start + step <= stop:
                break
        position = [int(i) for i in np.unravel_index(start, shape)]
        length = min((stop - start) // step, shape[axis] - position[axis])
        ends = [*(i + 1 for i in position[:axis]), position[axis] + length, *shape[axis + 1 :]]
        yield start, Region(tuple(position), tuple(ends))
        start += length * step


def merge_sums(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
    """The sum of all leaves, added along NumPy's tree."""
    count = math.prod(arguments["image"].shape)
    buffered = np.dtype(arguments["image"].dtype) != arguments["dtype"] and arguments.get("center") is None
    leaves = (leaf for _, partial in partials for leaf in partial["sums"])
    sums: list[Any] = []
    with np.errstate(all="ignore"):
        for step in _buffer_steps(count) if buffered else _tree_steps(count):
            if step:
                sums.append(next(leaves))
            else:
                right, left = sums.pop(), sums.pop()
                sums.append(left + right)
    return sums[0]


@declare(
    Reduction(
        "lepton.sum_in_order",
        values=("center",),
        merge=merge_sums,
        result=lambda arguments: ((), given_dtype(arguments)),
        reads_itself=True,
        cost_ns=1.0,
    )
)
def leaf_sums(image: View, where: Where, dtype: str, center: Any = None) -> Partial:
    """The sums, in `dtype`, of the leaves in a block's share: of the pixels, or of their squared distances from `center`."""
    count = math.prod(image.shape)
    buffered = image.dtype != dtype and center is None  # NumPy converts the pixels of one buffer at a time
    sums: list[Any] = []
    for group in in_groups(leaves_within(*share_of(where.region, where.shape), count, buffered)):
        first = group[0][0]
        run = read_run(image, first, group[-1][1])
        if center is not None:
            run = np.square(run - center)
        elif buffered:
            run = run.astype(dtype)
        sums += [np.add.reduce(run[start - first : stop - first]) for start, stop in group]
    return {"sums": np.array(sums, dtype)}


@declare(
    ValueFunction(
        "lepton.mean_of",
        values=("total", "count"),
        result=lambda arguments: ((), float_dtype(arguments["total"].dtype)),
    )
)
def mean_of(total: Any, count: Any) -> Any:
    """A sum divided by the number of pixels as in `np.mean`: by an `intp`, and rounded to the dtype of the sum."""
    return total.dtype.type(total / np.intp(count)) if total.dtype.kind == "f" else np.float64(total) / np.intp(count)


def in_raster_order(image: Lazy, build: Build) -> Lazy:
    """The image, stored in raster order if runs of its pixels would otherwise be scattered over many chunks."""
    wide = math.prod(image.shape[1:]) > _WIDE_PX
    return build("lepton.raster_order", image=image) if wide else image


@declare(Local("lepton.raster_order", dtype=dtype_of("image"), cost_ns=0.5))
def as_it_is(image: Array) -> Array:
    """The image itself."""
    return image
