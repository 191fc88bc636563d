"""Interpolation between pixels: the steps with which `skimage.transform` resizes and warps.

Coordinates are computed for the whole image, with the operations of SciPy and scikit-image, and then counted from the
block's first pixel. That origin is a whole number not greater than the coordinate, so the difference is exact, and so are
the interpolation weights, which depend on its fraction.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Partial, Partials, Shape, Shapes, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Local, Reduction
from lepton_celery.catalogue.results import dtype_of, given_dtype, value_like
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region

MODES = {
    "constant": "grid-constant",
    "edge": "nearest",
    "symmetric": "reflect",
    "reflect": "mirror",
    "wrap": "grid-wrap",
}
"""The boundary modes of `skimage.transform`, and their names in `scipy.ndimage`."""
_PAD_PX = 12
"""Pixels that SciPy adds around an image before it computes spline coefficients, in modes without an exact boundary."""
_SLAB_PX = 1 << 16
"""Pixels that are interpolated at a time, which bounds the memory of their coordinates."""


@dataclass(frozen=True)
class WarpOptions:
    """The parameters of `skimage.transform.warp` besides the image, the mapping and the new shape."""

    order: int | None = None
    mode: str = "constant"
    cval: float = 0
    clip: bool = True
    preserve_range: bool = False

    @classmethod
    def of(cls, arguments: Arguments) -> Self:
        return cls(**{name: arguments[name] for name in cls.__dataclass_fields__ if name in arguments})


def ndimage_mode(mode: Any) -> str:
    """SciPy's name of a boundary mode of `skimage.transform`."""
    if mode not in MODES:
        raise InputError(f"mode {mode!r}; give one of {', '.join(MODES)}")
    return MODES[mode]


def spline_order(order: Any, dtype: DType) -> int:
    """The order of the interpolation; None stands for 0 for bool and 1 for other images."""
    if order is None:
        return 0 if dtype.kind == "b" else 1
    if order not in range(6) or (dtype.kind == "b" and order):
        raise InputError(f"order {order!r} for an image of {dtype}; give 0 to 5, for bool 0")
    return int(order)


def as_float(image: Lazy, preserve_range: bool, build: Build) -> Lazy:
    """The node of an image converted as by `skimage._shared.utils.convert_to_float`."""
    if image.dtype.kind == "f":
        return image
    return (
        build("numpy.astype", x=image, dtype="float64") if preserve_range else build("util.img_as_float", image=image)
    )


# ------------------------------------------------------------------------------------------------ spline coefficients


def coefficients(image: Lazy, order: int, mode: str, cval: float, build: Build) -> tuple[Lazy, int]:
    """The image that SciPy interpolates (spline coefficients if `order` is above 1) and the width of its padding.

    A coefficient depends on whole lines of pixels, so they are computed axis by axis, in blocks as long as the image.
    """
    if order < 2:
        return image, 0
    pad = _PAD_PX if mode in ("nearest", "grid-constant") else 0
    if pad and mode == "nearest":
        image = build("numpy.pad", array=image, pad_width=pad, mode="edge")
    elif pad:
        image = build("numpy.pad", array=image, pad_width=pad, mode="constant", constant_values=cval)
    return build("ndimage.spline_filter", input=image, order=order, output="float64", mode=mode), pad


# ------------------------------------------------------------------------------------------------ regions read


def span(low: float, high: float, n: int, order: int, mode: str) -> tuple[int, int]:
    """The range of pixels, on an axis of `n`, from which coordinates from `low` to `high` are interpolated.

    For a coordinate outside the image, it reaches from the edge to the pixel that `mode` takes instead.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0, n
    reach = order // 2 + 2
    first, last = math.floor(low) - reach, math.floor(high) + reach
    if first < 0 or last > n - 1:
        mirrored = mode in ("mirror", "reflect")
        if mode == "grid-wrap" or (mirrored and first < 0 and last > n - 1):
            return 0, n
        if mirrored and first < 0:
            last = max(last, reach - first)
        elif mirrored:
            first = min(first, 2 * (n - 1) - last - reach)
    start = min(max(first, 0), n - 1)
    return start, max(min(last, n - 1), start) + 1


def interpolated(
    image: Array, coordinates: Sequence[Array], order: int, mode: str, cval: float, dtype: DType | str
) -> Array:
    """`scipy.ndimage.map_coordinates` at coordinates given per axis of the image, as arrays that are broadcast."""
    from scipy.ndimage import map_coordinates

    shape = np.broadcast_shapes(*(along.shape for along in coordinates))
    result = np.empty(shape, dtype)
    for rows in slabs(shape):
        of_rows = [along[rows] if along.shape[0] > 1 else along for along in coordinates]
        grid = np.stack(np.broadcast_arrays(*of_rows))
        map_coordinates(image, grid, output=result[rows], order=order, mode=mode, cval=cval, prefilter=False)
    return result


def slabs(shape: Sequence[int]) -> Iterator[slice]:
    """Slices of the first axis, of about `_SLAB_PX` pixels each."""
    step = max(1, _SLAB_PX // max(1, math.prod(shape[1:])))
    return (slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step))


# ------------------------------------------------------------------------------------------------ zooming


def _zoom_coordinates(start: int, stop: int, n: int, out: int, pad: int) -> Array:
    """Coordinates of the pixels `start` to `stop` if `n` pixels become `out`, as in `scipy.ndimage.zoom` with grid_mode."""
    return (np.arange(start, stop, dtype=np.float64) + 0.5) * (n / out) - 0.5 + pad


class Zoomed:
    """The image, which has a padding of `arguments["pad"]` pixels, resized to `arguments["shape"]`."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return tuple(arguments["shape"])

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        pad, order, mode = (arguments[name] for name in ("pad", "order", "mode"))
        ends = []
        for start, stop, n, out in zip(region.start, region.stop, images[0], arguments["shape"], strict=True):
            along = _zoom_coordinates(start, stop, n - 2 * pad, out, pad)
            ends.append(span(along[0], along[-1], n, order, mode))
        return [Region(*zip(*ends, strict=True))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


@declare(Local("lepton.zoom", geometry=Zoomed(), wants_where=True, dtype=given_dtype, cost_ns=25.0))
def zoom(
    image: Array, shape: Sequence[int], order: int, mode: str, cval: float, pad: int, dtype: str, where: Where
) -> Array:
    """`where.result` of the resized image, as in `scipy.ndimage.zoom` with grid_mode."""
    assert where.result is not None
    axes = zip(where.result.start, where.result.stop, where.shape, shape, where.region.start, strict=True)
    local = [_zoom_coordinates(start, stop, n - 2 * pad, out, pad) - origin for start, stop, n, out, origin in axes]
    return interpolated(image, np.ix_(*local), order, mode, cval, dtype)


# ------------------------------------------------------------------------------------------------ clipping


def merge_range(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The least and the greatest pixel other than NaN, and whether there is a NaN."""
    low, high, has_nan = np.stack([partial["range"] for _, partial in partials], axis=1)
    return np.array([np.fmin.reduce(low), np.fmax.reduce(high), has_nan.any()], low.dtype)


@declare(Reduction("lepton.range", merge=merge_range, result=value_like("image", 3), cost_ns=1.0))
def range_partial(image: Array) -> Partial:
    """The least and the greatest pixel of a block other than NaN, and whether there is a NaN."""
    low, high = image.min(), image.max()
    has_nan = bool(np.isnan(low))
    if has_nan:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            low, high = np.nanmin(image), np.nanmax(image)
    return {"range": np.array([low, high, has_nan], image.dtype)}


@declare(Local("lepton.clip_to_source", values=("extent", "reached"), dtype=dtype_of("image"), cost_ns=1.5))
def clip_to_source(image: Array, extent: Array, reached: Array | None, cval: float) -> Array:
    """`skimage.transform._warps._clip_warp_output`: the image clipped to `extent`, the range of its source.

    In mode 'constant', `reached` is the range of the image itself.
    """
    low, high, has_nan = extent
    if reached is not None and not low <= cval <= high:
        inside = has_nan or not reached[2]  # if only the image has NaN, scikit-image finds NaN as its range
        if inside and reached[0] <= cval <= reached[1]:
            value = extent.dtype.type(cval)
            low, high = min(low, value), max(high, value)
    clipped: Array = np.clip(image, np.asarray(low), np.asarray(high))
    return clipped


def clipped(image: Lazy, source: Lazy, mode: str, cval: float, build: Build) -> Lazy:
    """The node of an image clipped to the range of `source`, the image that it was computed from."""
    extent = build("lepton.range", image=source)
    reached = build("lepton.range", image=image) if mode == "constant" else None
    return build("lepton.clip_to_source", image=image, extent=extent, reached=reached, cval=cval)


def in_range(dtype: DType, mode: str = "", cval: float = 0) -> bool:
    """Whether interpolation of order 0, which copies pixels and in mode 'constant' `cval`, needs no clipping."""
    if dtype.kind in "iu" and dtype.itemsize == 8:
        return False  # SciPy copies them by way of float64
    with np.errstate(all="ignore"):
        return mode != "constant" or bool(np.array(cval).astype(dtype) == cval)
