"""Edge filters: smoothed differences along one axis, or their magnitude over several.

The order of arithmetic is that of `skimage.filters.edges` on `scipy.ndimage.convolve`: each axis has a kernel of its own,
whose products are added up in double precision in the order of its weights in memory, zeros left out, and rounded to the
image's dtype; squares, their sum and the square root are in the image's dtype. All axes are done while a few rows are in
the cache, instead of one image after the other.
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

_KEPT_PX = 1 << 16
"""Pixels that are held, in double precision and with their border, while rows are worked on: half a megabyte."""


@inlined
def _six(sums: Pixels, kept: Pixels, at: Pixels, weights: Pixels, first: int) -> None:
    n = sums.size
    a, b, c = kept[at[0] : at[0] + n], kept[at[1] : at[1] + n], kept[at[2] : at[2] + n]
    d, e, f = kept[at[3] : at[3] + n], kept[at[4] : at[4] + n], kept[at[5] : at[5] + n]
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
def _one(sums: Pixels, kept: Pixels, at: int, weight: float) -> None:
    n = sums.size
    a = kept[at : at + n]
    for j in range(n):
        sums[j] += weight * a[j]


@inlined
def _keep(kept: Pixels, pixels: Pixels, columns: Pixels, radius: int, cval: float) -> None:
    """A row with its border."""
    n = pixels.size
    inside = kept[radius : radius + n]
    for j in range(n):
        inside[j] = pixels[j]
    for j in range(radius):
        left, right = columns[j], columns[radius + n + j]
        kept[j] = cval if left < 0 else pixels[left]
        kept[radius + n + j] = cval if right < 0 else pixels[right]


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
    """An image of `shape` (depth, height, width); `taps` are the (plane, row, column) of the weights within a window."""
    depth, height, width = shape
    deep = planes.size - depth + 1
    wide = width + 2 * radius
    count = max(1, min(height, _KEPT_PX // (deep * wide) - 2 * radius))
    tall = count + 2 * radius
    kept = np.empty(deep * tall * wide)
    at = (taps[0::3] * tall + taps[1::3]) * wide + taps[2::3]
    now = np.empty_like(at)
    sums = np.empty(width)
    one = np.empty(width, source.dtype)
    total = np.empty(width, source.dtype)
    for plane in range(depth):
        for top in range(0, height, count):
            n = min(count, height - top)
            for p in range(deep):
                for i in range(n + 2 * radius):
                    start = (p * tall + i) * wide
                    z, y = planes[plane + p], rows[top + i]
                    if z < 0 or y < 0:
                        kept[start : start + wide] = cval
                    else:
                        row = (z * height + y) * width
                        _keep(kept[start : start + wide], source[row : row + width], columns, radius, cval)
            for i in range(n):
                for k in range(at.size):
                    now[k] = at[k] + i * wide
                total[:] = 0
                first = 0
                for end in ends:
                    sums[:] = 0
                    while first + 6 <= end:
                        _six(sums, kept, now[first:], weights, first)
                        first += 6
                    while first < end:
                        _one(sums, kept, now[first], weights[first])
                        first += 1
                    for j in range(width):
                        one[j] = sums[j]
                    if magnitude:
                        for j in range(width):
                            total[j] += one[j] * one[j]
                    else:
                        for j in range(width):
                            total[j] += one[j]
                row = (plane * height + top + i) * width
                done = result[row : row + width]
                if magnitude:
                    for j in range(width):
                        done[j] = np.sqrt(total[j]) / divisor[0]
                else:
                    for j in range(width):
                        done[j] = total[j]


def _window(ndim: int, axis: int, edge: Any, smooth: Any) -> NDArray[np.float64]:
    """The weights of one axis as they lie over the image: those of a convolution, turned round."""

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
    for one in axes:
        window = _window(ndim, one, edge, smooth)
        used = np.abs(window) > np.finfo(float).eps  # as SciPy has it
        found = np.argwhere(used)
        taps.append(np.pad(found, ((0, 0), (3 - ndim, 0))))
        weights.append(window[used])
        ends.append(len(found) + (ends[-1] if ends else 0))
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
    """A filter of any axis, and those of the first and the second one."""

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
