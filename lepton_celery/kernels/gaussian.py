"""Gaussian smoothing: a symmetric kernel along one axis after the other.

The order of arithmetic is that of `NI_Correlate1D` in SciPy: the middle pixel first, then the pairs of pixels at the same
distance, each added up and multiplied by its weight, from the farthest pair to the nearest, all in double precision. The
result of each axis is rounded to the image's dtype. Pixels side by side are computed at the same time, which does not change
the order for any of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numba import float32, float64, int64, void
from numpy.typing import NDArray

from lepton_celery.kernels.border import extended
from lepton_celery.kernels.compiled import Pixels, inlined, kernel, reads, writes

_STRIP = 512
"""Number of neighbouring pixels that are computed together. The pixels that they depend on stay in the second-level cache,
and the lines of a strip, in double precision, take less memory than a block."""


@inlined
def _copy(to: Pixels, pixels: Pixels) -> None:
    for j in range(to.size):
        to[j] = pixels[j]


@inlined
def _four_pairs(sums: Pixels, line: Pixels, near: int, far: int, step: int, weights: Pixels, tap: int) -> None:
    n = sums.size
    a0, b0 = line[near : near + n], line[far : far + n]
    a1, b1 = line[near + step : near + step + n], line[far - step : far - step + n]
    a2, b2 = line[near + 2 * step : near + 2 * step + n], line[far - 2 * step : far - 2 * step + n]
    a3, b3 = line[near + 3 * step : near + 3 * step + n], line[far - 3 * step : far - 3 * step + n]
    w0, w1, w2, w3 = weights[tap], weights[tap + 1], weights[tap + 2], weights[tap + 3]
    for j in range(n):
        total = sums[j]
        total += (a0[j] + b0[j]) * w0
        total += (a1[j] + b1[j]) * w1
        total += (a2[j] + b2[j]) * w2
        total += (a3[j] + b3[j]) * w3
        sums[j] = total


@inlined
def _pair(sums: Pixels, line: Pixels, near: int, far: int, weight: float) -> None:
    n = sums.size
    a, b = line[near : near + n], line[far : far + n]
    for j in range(n):
        sums[j] += (a[j] + b[j]) * weight


@inlined
def _correlate(sums: Pixels, line: Pixels, first: int, step: int, weights: Pixels) -> None:
    """Sets `sums` to weighted sums of pixels that are `step` apart in `line`, the first of them from `first` on."""
    radius, n = weights.size - 1, sums.size
    middle = line[first + radius * step : first + radius * step + n]
    weight = weights[radius]
    for j in range(n):
        sums[j] = middle[j] * weight
    near, far, tap = first, first + 2 * radius * step, 0
    while tap + 4 <= radius:
        _four_pairs(sums, line, near, far, step, weights, tap)
        near, far, tap = near + 4 * step, far - 4 * step, tap + 4
    while tap < radius:
        _pair(sums, line, near, far, weights[tap])
        near, far, tap = near + step, far - step, tap + 1


@kernel(
    *[
        void(reads(dtype), writes(dtype), int64, int64, int64, reads(float64), reads(int64), float64)
        for dtype in (float32, float64)
    ]
)
def _along(
    source: Pixels, result: Pixels, outer: int, length: int, inner: int, weights: Pixels, index: Pixels, cval: float
) -> None:
    """Filters an image of shape (outer, length, inner) along its middle axis; `source` and `result` may be one array."""
    radius = weights.size - 1
    strips = -(-inner // _STRIP)
    width = -(-inner // strips)
    line = np.empty((length + 2 * radius) * width)
    sums = np.empty(max(width, _STRIP))
    for plane in range(outer):
        base = plane * length * inner
        for left in range(0, inner, width):
            n = min(width, inner - left)
            whole = n == inner  # contiguous rows are one long row
            for i in range(length + 2 * radius):
                if whole and radius <= i < radius + length:
                    continue
                to, k = i * n, index[i]
                if k < 0:
                    line[to : to + n] = cval
                else:
                    start = base + k * inner + left
                    _copy(line[to : to + n], source[start : start + n])
            if whole:
                _copy(line[radius * n : (radius + length) * n], source[base : base + length * n])
            chunk = _STRIP if whole else n
            for first in range(0, length * n, chunk):
                m = min(chunk, length * n - first)
                part = sums[:m]
                _correlate(part, line, first, n, weights)
                start = base + first if whole else base + first // n * inner + left
                _copy(result[start : start + m], part)


@lru_cache(maxsize=64)
def _half(sigma: float, truncate: float, order: int = 0) -> NDArray[np.float64]:
    """SciPy's weights from one end to the middle, taken from its response to an impulse."""
    from scipy.ndimage import gaussian_filter1d

    radius = int(truncate * sigma + 0.5)
    point = np.zeros(2 * radius + 1)
    point[radius] = 1.0
    weights = gaussian_filter1d(point, sigma, order=order, mode="constant", truncate=truncate)
    half: NDArray[np.float64] = np.ascontiguousarray(weights[: radius + 1])
    half.flags.writeable = False
    return half


def _smooth(image: NDArray[Any], sigmas: Iterable[float], mode: str, cval: float, truncate: float) -> NDArray[Any]:
    """`scipy.ndimage.gaussian_filter` of a float image, one sigma per axis."""
    result = np.empty_like(image)
    flat, source = result.reshape(-1), image.reshape(-1)
    for axis, sigma in enumerate(sigmas):
        if sigma > 1e-15:  # SciPy skips axes with less
            outer, length, inner = _around(image.shape, axis)
            weights = _half(float(sigma), float(truncate))
            index = extended(length, weights.size - 1, mode)
            _along(source, flat, outer, length, inner, weights, index, float(cval))
            source = flat
    if source is not flat:
        result[...] = image
    return result


def _around(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """The shape with the axes before `axis` as one axis, and the axes after it as another."""
    return int(np.prod(shape[:axis], dtype=np.int64)), shape[axis], int(np.prod(shape[axis + 1 :], dtype=np.int64))


def _as_float(image: NDArray[Any], preserve_range: bool) -> NDArray[Any]:
    from skimage.util import img_as_float

    if image.dtype.kind == "f":
        return image
    converted: NDArray[Any] = image.astype(float) if preserve_range else img_as_float(image)
    return converted


def _per_axis(sigma: Any, ndim: int, channel_axis: int | None) -> list[float]:
    """One sigma per axis, 0 along the channels."""
    spatial = ndim - (channel_axis is not None)
    sigmas = [float(s) for s in np.atleast_1d(sigma)]
    sigmas = sigmas * spatial if np.ndim(sigma) == 0 else sigmas
    if channel_axis is not None and len(sigmas) == spatial:
        sigmas.insert(channel_axis % ndim, 0.0)
    return sigmas


def gaussian(
    image: NDArray[Any],
    sigma: Any,
    *,
    mode: str,
    cval: float,
    preserve_range: bool,
    truncate: float,
    channel_axis: int | None,
) -> NDArray[Any]:
    """`skimage.filters.gaussian`."""
    return _smooth(_as_float(image, preserve_range), _per_axis(sigma, image.ndim, channel_axis), mode, cval, truncate)


def difference_of_gaussians(
    image: NDArray[Any],
    low_sigma: Any,
    high_sigma: Any,
    *,
    mode: str,
    cval: float,
    channel_axis: int | None,
    truncate: float,
) -> NDArray[Any]:
    """`skimage.filters.difference_of_gaussians`."""
    low = np.array(low_sigma, dtype=float, ndmin=1)
    high = low * 1.6 if high_sigma is None else np.array(high_sigma, dtype=float, ndmin=1)
    image = _as_float(image, False)
    spatial = image.ndim - (channel_axis is not None)
    less, more = (
        _smooth(image, _per_axis(sigmas * np.ones(spatial), image.ndim, channel_axis), mode, cval, truncate)
        for sigmas in (low, high)
    )
    less -= more
    return less


def gaussian_filter(
    input: NDArray[Any], sigma: Any, *, mode: str, cval: float, truncate: float, **_: Any
) -> NDArray[Any]:
    """`scipy.ndimage.gaussian_filter` of a float image."""
    return _smooth(input, _per_axis(sigma, input.ndim, None), mode, cval, truncate)


def smooth_along(image: NDArray[Any], sigma: float, axis: int, order: int) -> NDArray[Any]:
    """`catalogue.shared.smoothing.smooth_along`."""
    result = np.empty_like(image)
    outer, length, inner = _around(image.shape, axis)
    weights = _half(sigma, 4.0, order)
    index = extended(length, weights.size - 1, "reflect")
    _along(image.reshape(-1), result.reshape(-1), outer, length, inner, weights, index, 0.0)
    return result
