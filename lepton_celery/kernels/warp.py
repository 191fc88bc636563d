"""Warps by a matrix, with the operations of scikit-image's Cython routine in its dtypes.

Products with the distance from the first pixel have the image's dtype; everything else in `bilinear_interpolation` is
float64, and everything in `bicubic_interpolation` has the image's dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, float64, int64, void
from numpy.typing import NDArray

from lepton_celery.kernels.compiled import Pixels, inlined, kernel, reads, writes

MODES = ("constant", "edge", "symmetric", "reflect", "wrap")
_CONSTANT, _EDGE, _SYMMETRIC, _REFLECT = range(4)


@inlined
def _folded(pixel: int, length: int, mode: int) -> int:
    """The pixel that replaces one outside an axis; -1 for `cval`."""
    if 0 <= pixel < length:
        return pixel
    if mode == _CONSTANT:
        return -1
    if mode == _EDGE:
        return 0 if pixel < 0 else length - 1
    if mode == _SYMMETRIC:
        if pixel < 0:
            pixel = -pixel - 1
        return length - 1 - pixel % length if pixel // length % 2 else pixel % length
    if mode == _REFLECT:
        if length == 1:
            return 0
        last, pixel = length - 1, abs(pixel)
        return last - pixel % last if pixel // last % 2 else pixel % last
    return pixel % length


@inlined
def _pixel(image: Pixels, row: int, column: int, channel: int, box: Pixels, outside: Pixels) -> Any:
    """A pixel of the whole image, from the block read; `cval` or a replacement outside the image."""
    row, column = _folded(row, box[10], box[5]), _folded(column, box[11], box[5])
    if row < 0 or column < 0:
        return outside[0]
    row, column = min(max(row - box[6], 0), box[8] - 1), min(max(column - box[7], 0), box[9] - 1)
    return image[(row * box[9] + column) * box[4] + channel]


@inlined
def _cubic(x: Any, a: Any, b: Any, c: Any, d: Any, numbers: Pixels) -> Any:
    half, two, three, four, five = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    return b + half * x * (c - a + x * (two * a - five * b + four * c - d + x * (three * (b - c) + d - a)))


_SIGNATURES = [
    void(reads(dtype), reads(dtype), reads(int64), reads(dtype), reads(dtype), writes(dtype))
    for dtype in (float32, float64)
]


@inlined
def _is_inside(row: float, column: float, before: int, after: int, box: Pixels) -> bool:
    """Whether all pixels around a place were read."""
    top, left = box[6] + before, box[7] + before
    bottom, right = box[6] + box[8] - after, box[7] + box[9] - after
    return bool(row >= top and row < bottom and column >= left and column < right)  # not for NaN


@inlined
def _sources(matrix: Pixels, row: Any, columns: Pixels, from_rows: Pixels, from_columns: Pixels) -> None:
    """Writes rows and columns of the image from which the pixels of a row come."""
    a, b, c, d, e, f = matrix[0], matrix[1], matrix[2], matrix[3], matrix[4], matrix[5]
    for j in range(columns.size):
        from_columns[j] = a * columns[j] + b * row + c
        from_rows[j] = d * columns[j] + e * row + f
    if matrix[6] != 0 or matrix[7] != 0 or matrix[8] != 1:
        a, b, c = matrix[6], matrix[7], matrix[8]
        for j in range(columns.size):
            depth = a * columns[j] + b * row + c
            from_columns[j] /= depth
            from_rows[j] /= depth


@inlined
def _interior(rows: Pixels, columns: Pixels, before: int, after: int, box: Pixels) -> tuple[int, int]:
    """The stretch of a row of the result whose sources were all read; an affine map keeps them in order."""
    first, stop = 0, rows.size
    while first < stop and not _is_inside(rows[first], columns[first], before, after, box):
        first += 1
    while stop > first and not _is_inside(rows[stop - 1], columns[stop - 1], before, after, box):
        stop -= 1
    return first, stop


@inlined
def _mixed(dr: Any, dc: Any, a: Any, b: Any, c: Any, d: Any) -> float:
    top = (1 - float64(dc)) * a + float64(dc * b)
    bottom = (1 - float64(dc)) * c + float64(dc * d)
    return float((1 - float64(dr)) * top + dr * bottom)


@inlined
def _bilinear_inside(image: Pixels, rows: Pixels, columns: Pixels, box: Pixels, result: Pixels) -> None:
    """A stretch of a row of one channel."""
    line, above, left = box[9], box[6], box[7]
    for j in range(rows.size):
        row, column = np.floor(rows[j]), np.floor(columns[j])
        dr, dc = rows[j] - row, columns[j] - column
        right = int64(dc > 0)
        at = (int64(row) - above) * line + int64(column) - left
        below = at + line * int64(dr > 0)
        result[j] = _mixed(dr, dc, image[at], image[at + right], image[below], image[below + right])


@kernel(*_SIGNATURES)
def _bilinear(image: Pixels, matrix: Pixels, box: Pixels, positions: Pixels, outside: Pixels, result: Pixels) -> None:
    height, width, channels = box[2], box[3], box[4]
    is_affine = matrix[6] == 0 and matrix[7] == 0 and matrix[8] == 1
    rows, columns = np.empty(width, image.dtype), np.empty(width, image.dtype)
    for i in range(height):
        _sources(matrix, positions[i], positions[height:], rows, columns)
        line = result[i * width * channels : (i + 1) * width * channels]
        first, stop = 0, 0
        if is_affine and channels == 1:
            first, stop = _interior(rows, columns, 0, 1, box)
            _bilinear_inside(image, rows[first:stop], columns[first:stop], box, line[first:stop])
        j = 0
        while j < width:
            if j == first and stop > first:
                j = stop
                continue
            above, left = np.floor(rows[j]), np.floor(columns[j])
            dr, dc = rows[j] - above, columns[j] - left
            r, k = int64(above), int64(left)
            down, right = int64(dr > 0), int64(dc > 0)
            for channel in range(channels):
                a = _pixel(image, r, k, channel, box, outside)
                b = _pixel(image, r, k + right, channel, box, outside)
                c = _pixel(image, r + down, k, channel, box, outside)
                d = _pixel(image, r + down, k + right, channel, box, outside)
                line[j * channels + channel] = _mixed(dr, dc, a, b, c, d)
            j += 1


@kernel(*_SIGNATURES)
def _bicubic(image: Pixels, matrix: Pixels, box: Pixels, positions: Pixels, outside: Pixels, result: Pixels) -> None:
    height, width, channels = box[2], box[3], box[4]
    line = box[9] * channels
    rows, columns = np.empty(width, image.dtype), np.empty(width, image.dtype)
    across, numbers = np.empty(4, image.dtype), np.empty(5, image.dtype)
    numbers[0], numbers[1], numbers[2], numbers[3], numbers[4] = 0.5, 2, 3, 4, 5
    to = 0
    for i in range(height):
        _sources(matrix, positions[i], positions[height:], rows, columns)
        for j in range(width):
            above, left = np.floor(rows[j]), np.floor(columns[j])
            dr, dc = rows[j] - above, columns[j] - left
            r, k = int64(above), int64(left)
            inside = _is_inside(rows[j], columns[j], 1, 2, box)
            for channel in range(channels):
                at = ((r - box[6] - 1) * box[9] + k - box[7] - 1) * channels + channel
                for step in range(4):
                    if inside:
                        a, b = image[at], image[at + channels]
                        c, d = image[at + 2 * channels], image[at + 3 * channels]
                        at += line
                    else:
                        a = _pixel(image, r + step - 1, k - 1, channel, box, outside)
                        b = _pixel(image, r + step - 1, k, channel, box, outside)
                        c = _pixel(image, r + step - 1, k + 1, channel, box, outside)
                        d = _pixel(image, r + step - 1, k + 2, channel, box, outside)
                    across[step] = _cubic(dc, a, b, c, d, numbers)
                result[to] = _cubic(dr, across[0], across[1], across[2], across[3], numbers)
                to += 1


def warp_by_matrix(
    image: NDArray[Any], matrix: NDArray[Any], shape: Any, order: int, mode: str, cval: float, where: Any
) -> NDArray[Any]:
    """`catalogue.transform.warp_matrix.warp_by_matrix`."""
    (top, left), (bottom, right) = where.result.start[:2], where.result.stop[:2]
    height, width, channels = bottom - top, right - left, int(np.prod(image.shape[2:], dtype=np.int64))
    origin, whole = where.region.start[:2], where.shape[:2]
    box = np.array([top, left, height, width, channels, MODES.index(mode), *origin, *image.shape[:2], *whole], np.int64)
    positions = np.concatenate([np.arange(top, bottom), np.arange(left, right)]).astype(image.dtype)
    result = np.empty((height, width, *image.shape[2:]), image.dtype)
    compiled = _bilinear if order == 1 else _bicubic
    outside = np.array([cval]).astype(image.dtype)
    compiled(image.reshape(-1), np.ascontiguousarray(matrix).reshape(-1), box, positions, outside, result.reshape(-1))
    return result
