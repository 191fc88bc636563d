"""NumPy's sum of a contiguous array, bit for bit, from pieces that come one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lepton_celery.operations.spec import Array

LEAF = 1 << 16
"""Pixels added up in one call; at least 128, below which NumPy no longer splits."""


BUFFER = 8192
"""Elements that NumPy converts at a time where it adds up integers as float64, `numpy.getbufsize`."""


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
