"""`skimage.util`: conversions of dtypes, mapped labels, comparisons, crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, resolve
from lepton_celery.catalogue.shared.select import pairs_per_axis
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import InputError

# ------------------------------------------------------------------------------------------------ conversions

_CONVERSIONS = {
    "img_as_float": ("float64", 0.5),
    "img_as_float32": ("float32", 0.5),
    "img_as_float64": ("float64", 0.5),
    "img_as_ubyte": ("uint8", 1.0),
    "img_as_uint": ("uint16", 1.0),
    "img_as_int": ("int16", 1.0),
    "img_as_bool": ("bool", 0.5),
}
"""Dtype and nanoseconds per pixel."""


@declare(Local("lepton.narrowed", values=("extent",), cost_ns=2.0))
def narrowed(image: Array, to: str, extent: Extent) -> Array:
    """Run `skimage.util.{to}` on a block and the greatest pixel of the whole image.

    scikit-image scales integers down to fewer bits only if the greatest pixel of its input does not fit.
    """
    converted: Array = resolve(f"skimage.util.{to}")(np.append(image.ravel(), extent[1]))
    return converted[:-1].reshape(image.shape)


@declare(Local("lepton.converted", cost_ns=1.0))
def converted(image: Array, to: str) -> Array:
    """Run `skimage.util.{to}`, if it converts each pixel independently."""
    result: Array = resolve(f"skimage.util.{to}")(image)
    return result


def _expand_conversion(to: str, dtype: DType) -> Callable[[Arguments, Build], Lazy]:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        image = arguments["image"]
        if dtype.kind in "iu" and image.dtype.kind in "iu" and image.dtype.itemsize >= dtype.itemsize:
            return build("lepton.narrowed", image=image, to=to, extent=build("lepton.extent", image=image))
        return build("lepton.converted", image=image, to=to)

    return expand


def _conversion(name: str, dtype: str, cost_ns: float) -> Entry:
    if np.dtype(dtype).kind not in "iu":
        return Local(f"util.{name}", cost_ns=cost_ns)
    expand = _expand_conversion(name, np.dtype(dtype))
    return Composite(f"util.{name}", expand=expand, gives="image", cost_ns=cost_ns)


# ------------------------------------------------------------------------------------------------ comparisons


@declare(Local("util.compare_images", images=("image0", "image1"), wants_where=True, cost_ns=1.0))
def compare(
    image0: Array, image1: Array, method: str = "diff", n_tiles: Sequence[int] = (8, 8), where: Where | None = None
) -> Array:
    """`skimage.util.compare_images`, with a checkerboard of the whole image's tiles."""
    from skimage.util import compare_images, img_as_float

    if method != "checkerboard" or where is None:
        result: Array = compare_images(image0, image1, method=method, n_tiles=n_tiles)
        return result
    rows, columns = (_tiles_of(axis, where, n_tiles[axis]) for axis in (0, 1))
    first = (rows[:, None] + columns) % 2 == 0
    first &= (rows < n_tiles[0])[:, None] & (columns < n_tiles[1])
    board: Array = img_as_float(image0).copy()
    other = img_as_float(image1)
    board[~first] = other[~first]
    return board


def _tiles_of(axis: int, where: Where, count: int) -> Array:
    """The index of each pixel's tile along an axis; `count` or more for pixels outside all tiles."""
    step = int(where.shape[axis] / count)
    pixels = np.arange(where.region.start[axis], where.region.stop[axis])
    return pixels // step if step else np.full(pixels.shape, count)


# ------------------------------------------------------------------------------------------------ crops


@declare(Composite("util.crop", images=("ar",), example={"crop_width": 1}, gives="image"))
def _expand_crop(arguments: Arguments, build: Build) -> Lazy:
    image, width = arguments["ar"], arguments["crop_width"]
    index = []
    for (before, after), n in zip(pairs_per_axis(width, image.ndim, "crop_width"), image.shape, strict=True):
        whole = isinstance(before, Integral) and isinstance(after, Integral)
        if not whole or before < 0 or after < 0 or before + after >= n:
            raise InputError(
                f"crop_width {width!r} for an image of shape {image.shape}; give whole numbers that leave pixels"
            )
        index.append((before, n - after, 1))
    return build("lepton.select", image=image, index=tuple(index))


ENTRIES: tuple[Entry, ...] = (
    *(_conversion(name, dtype, cost) for name, (dtype, cost) in _CONVERSIONS.items()),
    Local("util.invert", cost_ns=1.5),
    Local(
        "util.map_array",
        images=("input_arr",),
        dtype_kinds="iu",
        samples={"input_arr": "labels"},
        example={"input_vals": np.arange(5), "output_vals": np.arange(5) * 0.5},
        cost_ns=15.0,
    ),
)
