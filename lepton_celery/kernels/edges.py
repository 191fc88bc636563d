"""Edge filters: smoothed differences along one axis, or their magnitude over several axes.

The order of arithmetic is that of `skimage.filters.edges` on `scipy.ndimage.convolve`. Each axis has weights of its own. The
products with the weights are added up in double precision, in the order of the weights in memory and without those that are
zero, and rounded to the image's dtype. Squares, their sum and the square root are in the image's dtype. The kernel does all
axes while a few rows are in the cache, instead of one axis of the whole image after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import boolean, float32, float64, int64, void
from numpy.typing import NDArray
from skimage.filters.edges import PREWITT_SMOOTH, SCHARR_SMOOTH, SOBEL_SMOOTH, farid_edge, farid_smooth
from skimage.util import img_as_float

from lepton_celery.kernels.border import extended
from lepton_celery.kernels.compiled import Pixels, inlined, kernel, reads, writes

_CACHED_PX = 1 << 16
"""Pixels of the rows in work, with their border and in double precision: half a megabyte, which the cache holds."""


@inlined
def _add_six(sums: Pixels, cached: Pixels, at: Pixels, weights: Pixels, first: int) -> None:
    """Adds six weighted pixels to each sum, in the order of the weights."""
    n = sums.size
    a, b, c = cached[at[0] : at[0] + n], cached[at[1] : at[1] + n], cached[at[2] : at[2] + n]
    d, e, f = cached[at[3] : at[3] + n], cached[at[4] : at[4] + n], cached[at[5] : at[5] + n]
    v, w, x = weights[first], weights[first + 1], weights[first + 2]
    y, z, u = weights[first + 3], weights[first + 4], weights[first + 5]
    for j in range(n):
        total = sums[j]
        total += v * a[j]
        total += w * b[j]
        total += x * c[j]
        total += y * d[j]
        total += z * e[j]
        total += u * f[j]
        sums[j] = total


@inlined
def _add_one(sums: Pixels, cached: Pixels, at: int, weight: float) -> None:
    """Adds one weighted pixel to each sum."""
    n = sums.size
    a = cached[at : at + n]
    for j in range(n):
        sums[j] += weight * a[j]


@inlined
def _copy_row(cached: Pixels, pixels: Pixels, columns: Pixels, radius: int, cval: float) -> None:
    """Copies a row and its border."""
    n = pixels.size
    inside = cached[radius : radius + n]
    for j in range(n):
        inside[j] = pixels[j]
    for j in range(radius):
        left, right = columns[j], columns[radius + n + j]
        cached[j] = cval if left < 0 else pixels[left]
        cached[radius + n + j] = cval if right < 0 else pixels[right]


@kernel(
    *[
        void(
            reads(dtype),
            writes(dtype),
            reads(int64),
            reads(int64),
            reads(int64),
            int64,
            reads(int64),
            reads(int64),
            reads(float64),
            reads(int64),
            float64,
            boolean,
            reads(dtype),
        )
        for dtype in (float32, float64)
    ]
)
def _edges(
    source: Pixels,
    result: Pixels,
    planes: Pixels,
    rows: Pixels,
    columns: Pixels,
    radius: int,
    shape: Pixels,
    taps: Pixels,
    weights: Pixels,
    ends: Pixels,
    cval: float,
    magnitude: bool,
    divisor: Pixels,
) -> None:
    """The edges of an image of `shape` (depth, height, width).

    `taps` has the (plane, row, column) of each weight in its window, and `ends` the number of weights up to the end of each
    axis. `planes`, `rows` and `columns` are the pixels of each axis with its border.
    """
    depth, height, width = shape
    deep = planes.size - depth + 1
    wide = width + 2 * radius
    count = max(1, min(height, _CACHED_PX // (deep * wide) - 2 * radius))
    tall = count + 2 * radius
    cached = np.empty(deep * tall * wide)
    at = (taps[0::3] * tall + taps[1::3]) * wide + taps[2::3]
    now = np.empty_like(at)
    sums = np.empty(width)
    along = np.empty(width, source.dtype)
    total = np.empty(width, source.dtype)
    for plane in range(depth):
        for top in range(0, height, count):
            n = min(count, height - top)
            for p in range(deep):
                for i in range(n + 2 * radius):
                    start = (p * tall + i) * wide
                    z, y = planes[plane + p], rows[top + i]
                    if z < 0 or y < 0:
                        cached[start : start + wide] = cval
                    else:
                        row = (z * height + y) * width
                        _copy_row(cached[start : start + wide], source[row : row + width], columns, radius, cval)
            for i in range(n):
                for k in range(at.size):
                    now[k] = at[k] + i * wide
                total[:] = 0
                first = 0
                for end in ends:
                    sums[:] = 0
                    while first + 6 <= end:
                        _add_six(sums, cached, now[first:], weights, first)
                        first += 6
                    while first < end:
                        _add_one(sums, cached, now[first], weights[first])
                        first += 1
                    for j in range(width):
                        along[j] = sums[j]
                    if magnitude:
                        for j in range(width):
                            total[j] += along[j] * along[j]
                    else:
                        for j in range(width):
                            total[j] += along[j]
                row = (plane * height + top + i) * width
                done = result[row : row + width]
                if magnitude:
                    for j in range(width):
                        done[j] = np.sqrt(total[j]) / divisor[0]
                else:
                    for j in range(width):
                        done[j] = total[j]


def _window(ndim: int, axis: int, edge: Any, smooth: Any) -> NDArray[np.float64]:
    """The weights of one axis as they lie over the image: those of a convolution, reversed."""

    def along(weights: Any, dim: int) -> NDArray[np.float64]:
        shape = [1] * ndim
        shape[dim] = -1
        return np.reshape(weights, shape)

    window = along(edge, axis)
    for dim in sorted(set(range(ndim)) - {axis}):
        window = window * along(smooth, dim)
    return np.flip(np.asarray(window, dtype=np.float64))


def _filtered(image: NDArray[Any], axis: Any, mode: str, cval: float, edge: Any, smooth: Any) -> NDArray[Any]:
    """`skimage.filters.edges._generic_edge_filter` of an image of two or three axes."""
    ndim = image.ndim
    axes: Sequence[int] = range(ndim) if axis is None else [axis] if np.ndim(axis) == 0 else axis
    image = image if image.dtype.kind == "f" else img_as_float(image)
    radius = np.size(edge) // 2
    taps: list[NDArray[np.int64]] = []
    weights: list[NDArray[np.float64]] = []
    ends: list[int] = []
    for filtered in axes:
        window = _window(ndim, filtered, edge, smooth)
        used = np.abs(window) > np.finfo(float).eps  # SciPy's own test for zero
        positions = np.argwhere(used)
        taps.append(np.pad(positions, ((0, 0), (3 - ndim, 0))))
        weights.append(window[used])
        ends.append(len(positions) + (ends[-1] if ends else 0))
    shape = (1,) * (3 - ndim) + image.shape
    result = np.empty_like(image)
    _edges(
        image.reshape(-1),
        result.reshape(-1),
        extended(shape[0], radius if ndim == 3 else 0, mode),
        extended(shape[1], radius, mode),
        extended(shape[2], radius, mode),
        radius,
        np.array(shape),
        np.concatenate(taps).reshape(-1),
        np.concatenate(weights),
        np.array(ends),
        float(cval),
        len(axes) > 1,
        np.sqrt([ndim], dtype=image.dtype),
    )
    return result


def _family(smooth: Any, edge: Any = (1, 0, -1)) -> tuple[Callable[..., NDArray[Any]], ...]:
    """A filter of any axes, a filter of the first axis, and a filter of the second."""

    def magnitude(image: NDArray[Any], mask: None, *, axis: Any, mode: str, cval: float) -> NDArray[Any]:
        return _filtered(image, axis, mode, cval, edge, smooth)

    def horizontal(image: NDArray[Any], mask: None) -> NDArray[Any]:
        return _filtered(image, 0, "reflect", 0.0, edge, smooth)

    def vertical(image: NDArray[Any], mask: None) -> NDArray[Any]:
        return _filtered(image, 1, "reflect", 0.0, edge, smooth)

    return magnitude, horizontal, vertical


sobel, sobel_h, sobel_v = _family(SOBEL_SMOOTH)
scharr, scharr_h, scharr_v = _family(SCHARR_SMOOTH)
prewitt, prewitt_h, prewitt_v = _family(PREWITT_SMOOTH)
farid, farid_h, farid_v = _family(farid_smooth, farid_edge)
