"""Median filter of 3 × 3 pixels, for integers of 8 and 16 bits.

Each column of three pixels is sorted once. The median of nine pixels is the median of three: the greatest of the columns'
least pixels, the median of their middle pixels, and the least of their greatest pixels. Floats are not supported, because
the order of comparisons would decide between 0.0 and -0.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int16, int64, uint8, uint16, void
from numpy.typing import NDArray

from lepton_celery.kernels.border import extended
from lepton_celery.kernels.compiled import Pixels, inlined, kernel, reads, writes


@inlined
def _copy_row(row: Pixels, pixels: Pixels, columns: Pixels, beyond: Pixels) -> None:
    """Copies a row with one more pixel before and after it."""
    n = pixels.size
    inside = row[1 : 1 + n]
    for j in range(n):
        inside[j] = pixels[j]
    left, right = columns[0], columns[n + 1]
    row[0] = beyond[0] if left < 0 else pixels[left]
    row[n + 1] = beyond[0] if right < 0 else pixels[right]


@inlined
def _sort_columns(a: Pixels, b: Pixels, c: Pixels, least: Pixels, middle: Pixels, greatest: Pixels) -> None:
    for j in range(a.size):
        low, high = min(a[j], b[j]), max(a[j], b[j])
        least[j] = min(low, c[j])
        greatest[j] = max(high, c[j])
        middle[j] = max(low, min(high, c[j]))


@inlined
def _medians(result: Pixels, least: Pixels, middle: Pixels, greatest: Pixels) -> None:
    n = result.size
    a0, a1, a2 = least[:n], least[1 : n + 1], least[2 : n + 2]
    b0, b1, b2 = middle[:n], middle[1 : n + 1], middle[2 : n + 2]
    c0, c1, c2 = greatest[:n], greatest[1 : n + 1], greatest[2 : n + 2]
    for j in range(n):
        a = max(a0[j], max(a1[j], a2[j]))
        low, high = min(b0[j], b1[j]), max(b0[j], b1[j])
        b = max(low, min(high, b2[j]))
        c = min(c0[j], min(c1[j], c2[j]))
        low, high = min(a, b), max(a, b)
        result[j] = max(low, min(high, c))


@kernel(
    *[
        void(reads(dtype), writes(dtype), int64, int64, reads(int64), reads(int64), reads(dtype))
        for dtype in (uint8, uint16, int16)
    ]
)
def _median(
    source: Pixels, result: Pixels, height: int, width: int, rows: Pixels, columns: Pixels, beyond: Pixels
) -> None:
    wide = width + 2
    cached = np.empty(3 * wide, source.dtype)
    least, middle, greatest = np.empty(wide, source.dtype), np.empty(wide, source.dtype), np.empty(wide, source.dtype)
    for i in range(height + 2):
        offset = i % 3 * wide
        row = cached[offset : offset + wide]
        if rows[i] < 0:
            row[:] = beyond[0]
        else:
            start = rows[i] * width
            _copy_row(row, source[start : start + width], columns, beyond)
        if i >= 2:  # the order of the three rows does not matter
            _sort_columns(cached[:wide], cached[wide : 2 * wide], cached[2 * wide :], least, middle, greatest)
            start = (i - 2) * width
            _medians(result[start : start + width], least, middle, greatest)


def median_filter(input: NDArray[Any], *, mode: str, cval: float, **_: Any) -> NDArray[Any]:
    """`scipy.ndimage.median_filter` of 3 × 3 pixels."""
    result = np.empty_like(input)
    height, width = input.shape
    beyond = np.array([int(cval) if mode == "constant" else 0], input.dtype)
    rows, columns = extended(height, 1, mode), extended(width, 1, mode)
    _median(input.reshape(-1), result.reshape(-1), height, width, rows, columns, beyond)
    return result
