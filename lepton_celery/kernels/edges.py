"""Edge filters: smoothed differences along one axis, or their magnitude over several axes.

The order of arithmetic is that of `skimage.filters.edges` on `scipy.ndimage.convolve`. Each axis has weights of its own. The
products with the weights are added up in double precision, in the order of the weights in memory and without those that are
zero, and rounded to the image's dtype. Squares, their sum and the square root are in the image's dtype. The kernel filters a
few rows at a time, along all axes, while they are in the cache.
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
from lepton_celery.kernels.compiled import Pixels, Volume, grouped, inlined, kernel, reads, writes

Window = tuple[Pixels, Pixels, Pixels]

_CACHED_PX = 1 << 16
"""Largest number of pixels in the copy of a few rows and their border: 512 KiB in double precision, for the cache."""


@inlined
def _add_six(sums: Pixels, cached: Pixels, starts: Pixels, weights: Pixels, first: int) -> None:
    """Adds six weighted pixels to each sum, in the order of the weights."""
    n = sums.size
    a, b, c = cached[starts[0] : starts[0] + n], cached[starts[1] : starts[1] + n], cached[starts[2] : starts[2] + n]
    d, e, f = cached[starts[3] : starts[3] + n], cached[starts[4] : starts[4] + n], cached[starts[5] : starts[5] + n]
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
def _add_one(sums: Pixels, cached: Pixels, start: int, weight: float) -> None:
    """Adds one weighted pixel to each sum."""
    n = sums.size
    a = cached[start : start + n]
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


@inlined
def _copy_rows(cached: Pixels, source: Volume, border: Sequence[Pixels], plane: int, top: int, cval: float) -> None:
    """Copies rows from `top` on of the planes from `plane` on, with their border, until `cached` is full."""
    planes, rows, columns = border
    wide = columns.size
    radius = (wide - source.shape[2]) // 2
    deep = planes.size - source.shape[0] + 1
    tall = cached.size // (deep * wide)
    for p in range(deep):
        for i in range(min(tall, rows.size - top)):
            start = (p * tall + i) * wide
            z, y = planes[plane + p], rows[top + i]
            if z < 0 or y < 0:
                cached[start : start + wide] = cval
            else:
                _copy_row(cached[start : start + wide], source[z, y], columns, radius, cval)


@kernel(
    *[
        void(
            reads(dtype, 3),
            writes(dtype, 3),
            grouped(reads(int64), reads(int64), reads(int64)),
            grouped(writes(int64), writes(float64), writes(int64)),
            float64,
            boolean,
            reads(dtype),
        )
        for dtype in (float32, float64)
    ]
)
def _edges(
    source: Volume,
    result: Volume,
    border: Sequence[Pixels],
    window: Window,
    cval: float,
    magnitude: bool,
    divisor: Pixels,
) -> None:
    """Filters a volume.

    `border` has the result of `extended` for each axis. `window` has the (plane, row, column) of each weight, the weights,
    and for each filtered axis the number of weights of the axes up to it.
    """
    depth, height, width = source.shape
    planes, _, columns = border
    positions, weights, ends = window
    deep = planes.size - depth + 1
    wide = columns.size
    radius = (wide - width) // 2
    count = max(1, min(height, _CACHED_PX // (deep * wide) - 2 * radius))
    tall = count + 2 * radius
    cached = np.empty(deep * tall * wide)
    taps = (positions[0::3] * tall + positions[1::3]) * wide + positions[2::3]
    sums = np.empty(width)
    along = np.empty(width, source.dtype)
    total = np.empty(width, source.dtype)
    now = np.empty_like(taps)
    for plane in range(depth):
        for top in range(0, height, count):
            _copy_rows(cached, source, border, plane, top, cval)
            for i in range(min(count, height - top)):
                for k in range(taps.size):
                    now[k] = taps[k] + i * wide
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
                done = result[plane, top + i]
                if magnitude:
                    for j in range(width):
                        done[j] = np.sqrt(total[j]) / divisor[0]
                else:
                    for j in range(width):
                        done[j] = total[j]


def _window(ndim: int, axis: int, edge: Any, smooth: Any) -> NDArray[np.float64]:
    """The weights of one axis for a correlation: those of the convolution, reversed."""

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
        image.reshape(shape),
        result.reshape(shape),
        (extended(shape[0], radius if ndim == 3 else 0, mode), *(extended(n, radius, mode) for n in shape[1:])),
        (np.concatenate(taps).reshape(-1), np.concatenate(weights), np.array(ends)),
        float(cval),
        len(axes) > 1,
        np.sqrt([ndim], dtype=image.dtype),
    )
    return result


def _family(smooth: Any, edge: Any = (1, 0, -1)) -> tuple[Callable[..., NDArray[Any]], ...]:
    """A filter along any axes, one along the first axis, and one along the second."""

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
