"""Pixels at places between pixels: the steps that `skimage.transform` resizes and warps with, one part each.

Places are found over the whole image, by the operations that SciPy and scikit-image find them by, and then moved to where
the block's pixels begin. That origin is a whole number no greater than the place, so the difference is exact, and so are
the weights that follow from its fraction.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, Where
from lepton_celery.catalogue.entries import Build, Entry, Local, Reduction
from lepton_celery.catalogue.numpy.rearrange import padded
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region

MODES = {
    "constant": "grid-constant",
    "edge": "nearest",
    "symmetric": "reflect",
    "reflect": "mirror",
    "wrap": "grid-wrap",
}
"""What `scipy.ndimage` calls the boundary modes of `skimage.transform`."""
_PAD_PX = 12
"""Pixels that SciPy puts around an image before it finds spline coefficients, in modes without an exact boundary."""
_SLAB_PX = 1 << 16
"""Pixels found at a time, so that their coordinates take little memory."""


def ndimage_mode(mode: Any) -> str:
    """SciPy's name of a boundary mode of `skimage.transform`."""
    if mode not in MODES:
        raise InputError(f"mode {mode!r}; give one of {', '.join(MODES)}")
    return MODES[mode]


def spline_order(order: Any, dtype: np.dtype[Any]) -> int:
    """The order of the interpolation, 0 for bool and 1 for other images where it is None."""
    if order is None:
        return 0 if dtype.kind == "b" else 1
    if order not in range(6) or (dtype.kind == "b" and order):
        raise InputError(f"order {order!r} for an image of {dtype}; give 0 to 5, for bool 0")
    return int(order)


def as_float(image: Any, preserve_range: bool, build: Build) -> Any:
    """The node of an image converted as `skimage._shared.utils.convert_to_float` does."""
    if image.dtype.kind == "f":
        return image
    return (
        build("numpy.astype", x=image, dtype="float64") if preserve_range else build("util.img_as_float", image=image)
    )


# ------------------------------------------------------------------------------------------------ spline coefficients


def coefficients(image: Any, order: int, mode: str, cval: float, build: Build) -> tuple[Any, int]:
    """The image that SciPy interpolates, and the pixels it has been padded with: above order 1 spline coefficients.

    Each follows from whole lines of pixels, so they are found axis by axis, in blocks as long as the image.
    """
    if order < 2:
        return image, 0
    pad = _PAD_PX if mode in ("nearest", "grid-constant") else 0
    if pad:
        image = padded(image, pad, "edge" if mode == "nearest" else "constant", cval, build)
    return build("ndimage.spline_filter", input=image, order=order, output="float64", mode=mode), pad


# ------------------------------------------------------------------------------------------------ what is read


def span(low: float, high: float, n: int, order: int, mode: str) -> tuple[int, int]:
    """The pixels, `start`..`stop`, of an axis of `n` that places from `low` to `high` are interpolated from.

    They are enough for the modes too: where a place is outside, they reach from the edge to what it stands for.
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
    image: Array, places: Sequence[Array], order: int, mode: str, cval: float, dtype: np.dtype[Any] | str
) -> Array:
    """`scipy.ndimage.map_coordinates` at places given per axis of the image, as arrays that are broadcast."""
    from scipy.ndimage import map_coordinates

    shape = np.broadcast_shapes(*(place.shape for place in places))
    result = np.empty(shape, dtype)
    for rows in slabs(shape):
        some = [place[rows] if place.shape[0] > 1 else place for place in places]
        grid = np.stack(np.broadcast_arrays(*some))
        map_coordinates(image, grid, output=result[rows], order=order, mode=mode, cval=cval, prefilter=False)
    return result


def slabs(shape: Sequence[int]) -> Iterator[slice]:
    """Stretches of the first axis of about `_SLAB_PX` pixels."""
    step = max(1, _SLAB_PX // max(1, math.prod(shape[1:])))
    return (slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step))


# ------------------------------------------------------------------------------------------------ zooming


def _zoom_places(start: int, stop: int, n: int, out: int, pad: int) -> Array:
    """Where the pixels `start`..`stop` of `out` lie in `n`, by the operations of `scipy.ndimage.zoom` with grid_mode."""
    return (np.arange(start, stop, dtype=np.float64) + 0.5) * (n / out) - 0.5 + pad


@dataclass(frozen=True)
class Zoomed:
    """The image, padded with `arguments["pad"]` pixels, made `arguments["shape"]` pixels large."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return tuple(arguments["shape"])

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        pad, order, mode = (arguments[name] for name in ("pad", "order", "mode"))
        ends = []
        for start, stop, n, out in zip(region.start, region.stop, images[0], arguments["shape"], strict=True):
            places = _zoom_places(start, stop, n - 2 * pad, out, pad)
            ends.append(span(places[0], places[-1], n, order, mode))
        return [Region(*zip(*ends, strict=True))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def zoom(
    image: Array, shape: Sequence[int], order: int, mode: str, cval: float, pad: int, dtype: str, where: Where
) -> Array:
    """`where.result` of the image made `shape` pixels large. Source: `scipy.ndimage.zoom`, with grid_mode."""
    assert where.result is not None
    axes = zip(where.result.start, where.result.stop, where.shape, shape, where.region.start, strict=True)
    places = [_zoom_places(start, stop, n - 2 * pad, out, pad) - origin for start, stop, n, out, origin in axes]
    return interpolated(image, np.ix_(*places), order, mode, cval, dtype)


# ------------------------------------------------------------------------------------------------ clipping


def _range_partial(image: Array) -> Partial:
    low, high = image.min(), image.max()
    has_nan = bool(np.isnan(low))
    if has_nan:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            low, high = np.nanmin(image), np.nanmax(image)
    return {"range": np.array([low, high, has_nan], image.dtype)}


def _merge_range(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """Least and greatest pixel but NaN, and whether there is a NaN."""
    low, high, has_nan = np.stack([partial["range"] for _, partial in partials], axis=1)
    return np.array([np.fmin.reduce(low), np.fmax.reduce(high), has_nan.any()], low.dtype)


def _clip(image: Array, extent: Array, reached: Array | None, cval: float) -> Array:
    """Source: `skimage.transform._warps._clip_warp_output`; `reached` is the range of the image itself, in mode constant."""
    low, high, has_nan = extent
    if reached is not None and not low <= cval <= high:
        inside = has_nan or not reached[2]  # without NaN in the input, one in the image is least and greatest
        if inside and reached[0] <= cval <= reached[1]:
            value = extent.dtype.type(cval)
            low, high = min(low, value), max(high, value)
    clipped: Array = np.clip(image, np.asarray(low), np.asarray(high))
    return clipped


def clipped(image: Any, source: Any, mode: str, cval: float, build: Build) -> Any:
    """The node of an image clipped to the range of the one it was made of, `source`."""
    extent = build("lepton.range", image=source)
    reached = build("lepton.range", image=image) if mode == "constant" else None
    return build("lepton.clip_to_source", image=image, extent=extent, reached=reached, cval=cval)


def in_range(dtype: np.dtype[Any], mode: str = "", cval: float = 0) -> bool:
    """Whether pixels picked as they are, and `cval` in mode constant, need no clipping to the range of their image."""
    if dtype.kind in "iu" and dtype.itemsize == 8:
        return False  # SciPy picks them as float64
    with np.errstate(all="ignore"):
        return mode != "constant" or bool(np.array(cval).astype(dtype) == cval)


def entries() -> list[Entry]:
    """Parts of resizing and warping; not for users."""
    here = "lepton_celery.catalogue.transform.interpolate"
    return [
        Local(
            name="lepton.zoom",
            source=f"{here}.zoom",
            geometry=Zoomed(),
            wants_where=True,
            dtype=lambda arguments: np.dtype(arguments["dtype"]),
            cost_ns=25.0,
        ),
        Reduction(
            name="lepton.range",
            source=f"{here}._range_partial",
            partial=_range_partial,
            merge=_merge_range,
            result=lambda arguments: ((3,), arguments["image"].dtype),
            cost_ns=1.0,
        ),
        Local(
            name="lepton.clip_to_source",
            source=f"{here}._clip",
            values=("extent", "reached"),
            dtype=lambda arguments: arguments["image"].dtype,
            cost_ns=1.5,
        ),
    ]
