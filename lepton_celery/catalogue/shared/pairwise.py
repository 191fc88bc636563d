"""NumPy's sum of a contiguous array, bit for bit: from pieces that come one after the other, and of images in blocks.

NumPy adds up an image of any number of axes as one run of pixels in raster order. So a block of an image does not add up
its own pixels: it gets an equal share of the run, reads that, and leaves the sums of the stretches that NumPy's tree of
additions has there; the merge adds them as the tree does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, View, Where
from lepton_celery.catalogue.entries import Build, Entry, Local, Reduction
from lepton_celery.grid import BlockGrid, Region

LEAF = 1 << 16
"""Pixels added up in one call; at least 128, below which NumPy no longer splits."""


BUFFER = 8192
"""Elements that NumPy converts at a time where it adds up integers as float64, `numpy.getbufsize`."""

READ_PX = 1 << 20
"""Pixels of a run that are read at a time."""

WIDE_PX = 1 << 14
"""Pixels of one step along the first axis beyond which runs lie across too many chunks of a file to read them there."""


class PairwiseSum:
    """The sum of `count` values given in order, as `np.mean` takes it of them all at once.

    Memory: `LEAF` values and one partial sum per level of the tree, whatever the count.

    Source: `pairwise_sum` in NumPy's `loops_utils.h`: a stretch of more than 128 values is split at half its length rounded
    down to a multiple of 8, and the sums of the two parts are added. Integers are converted to float64 a buffer at a time,
    and the sums of the buffers are added one after the other.
    """

    def __init__(self, count: int, dtype: np.dtype[Any]) -> None:
        self._count = np.intp(count)  # as NumPy divides: by a Python int, float32 would be divided in less precision
        integer = dtype.kind in "bui"
        self._steps = _buffered(count) if integer else _steps(count)
        self._leaf = next(self._steps, 0)
        self._sums: list[Any] = []
        self._buffer = np.empty(min(count, LEAF), np.float64 if integer else dtype)
        self._filled = 0

    def add(self, values: Array) -> None:
        """Take the next values."""
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
        """The mean of the values, as `np.mean` has it."""
        total = self._sums[0]
        return total.dtype.type(total / self._count)


def _steps(count: int) -> Iterator[int]:
    """The tree in postfix order: a number is a leaf of so many values, 0 adds the two sums before it."""
    if count <= LEAF:
        yield count
        return
    half = count // 2
    half -= half % 8
    yield from _steps(half)
    yield from _steps(count - half)
    yield 0


def _buffered(count: int) -> Iterator[int]:
    """The same for integers: buffers added one after the other."""
    for start in range(0, max(count, 1), BUFFER):
        yield min(BUFFER, count - start)
        if start:
            yield 0


# ------------------------------------------------------------------------------------------------ images in blocks


def share_of(region: Region, shape: Sequence[int]) -> tuple[int, int]:
    """The run of pixels, in raster order, that a block adds up: as long as the block, behind those of earlier blocks."""
    first = 0
    for axis, start in enumerate(region.start):
        # blocks that come earlier along this axis have the block's own lengths along the axes before
        first += start * math.prod(region.shape[:axis]) * math.prod(shape[axis + 1 :])
    return first, first + region.size


def leaves_within(first: int, stop: int, count: int, buffered: bool) -> Iterator[tuple[int, int]]:
    """The stretches that begin in a run and that NumPy adds up by themselves: (start, stop) of each, in order."""
    if buffered:
        for start in range(-(-first // BUFFER) * BUFFER, min(stop, count), BUFFER):
            yield start, min(start + BUFFER, count)
        return
    stack = [(0, count)]
    while stack:
        at, size = stack.pop()
        if at >= stop or at + size <= first:
            continue
        if size > LEAF:
            half = size // 2
            half -= half % 8
            stack += [(at + half, size - half), (at, half)]
        elif at >= first:
            yield at, at + size


def read_run(image: View, start: int, stop: int) -> Array:
    """Pixels `start` to `stop` of an image in raster order."""
    run = np.empty(stop - start, image.dtype)
    for at, box in boxes_of(start, stop, image.shape):
        run[at - start : at - start + box.size] = image.read(box).ravel()
    return run


def boxes_of(start: int, stop: int, shape: Sequence[int]) -> Iterator[tuple[int, Region]]:
    """A run of pixels as boxes: where in the image, in raster order, and which."""
    while start < stop:
        for axis in range(len(shape)):
            step = math.prod(shape[axis + 1 :])
            if start % step == 0 and start + step <= stop:
                break
        where = [int(i) for i in np.unravel_index(start, shape)]
        length = min((stop - start) // step, shape[axis] - where[axis])
        ends = [*(i + 1 for i in where[:axis]), where[axis] + length, *shape[axis + 1 :]]
        yield start, Region(tuple(where), tuple(ends))
        start += length * step


def stretch_sums(image: View, where: Where, center: Any = None) -> Partial:
    """The sums of the stretches in a block's share, of the pixels or of their squared distances from `center`."""
    count = math.prod(image.shape)
    buffered = image.dtype.kind in "bui" and center is None
    sums: list[Any] = []
    group: list[tuple[int, int]] = []

    def add_group() -> None:
        run = read_run(image, group[0][0], group[-1][1])
        if center is not None:
            run = np.square(run - center)
        elif buffered:
            run = run.astype(np.float64)
        sums.extend(np.add.reduce(run[start - group[0][0] : stop - group[0][0]]) for start, stop in group)
        group.clear()

    for leaf in leaves_within(*share_of(where.region, where.shape), count, buffered):
        if group and leaf[1] - group[0][0] > READ_PX:
            add_group()
        group.append(leaf)
    if group:
        add_group()
    return {"sums": np.array(sums, float_of(image.dtype))}


def float_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which NumPy has means: floats stay what they are."""
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def merge_sums(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
    """The sum of all stretches, added as NumPy's tree has them."""
    count = math.prod(arguments["image"].shape)
    integer = np.dtype(arguments["image"].dtype).kind in "bui"
    buffered = integer and arguments.get("center") is None
    found = (one for _, partial in partials for one in partial["sums"])
    sums: list[Any] = []
    with np.errstate(all="ignore"):
        for step in _buffered(count) if buffered else _steps(count):
            if step:
                sums.append(next(found))
            else:
                right, left = sums.pop(), sums.pop()
                sums.append(left + right)
    return sums[0]


def in_raster_order(image: Any, build: Build) -> Any:
    """The image, kept in raster order where runs of its pixels would otherwise be scattered over many chunks."""
    wide = math.prod(image.shape[1:]) > WIDE_PX
    return build("lepton.raster_order", image=image) if wide else image


def as_it_is(image: Array) -> Array:
    return image


def entries() -> list[Entry]:
    """Sums of images; parts of means and deviations."""
    here = "lepton_celery.catalogue.shared.pairwise"
    return [
        Reduction(
            name="lepton.sum_in_order",
            source=f"{here}.stretch_sums",
            values=("center",),
            partial=stretch_sums,
            merge=merge_sums,
            result=lambda arguments: ((), float_of(arguments["image"].dtype)),
            reads_itself=True,
            cost_ns=1.0,
        ),
        Local(name="lepton.raster_order", source=f"{here}.as_it_is", dtype=lambda a: a["image"].dtype, cost_ns=0.5),
    ]
