"""`skimage.util`: conversions of dtype and range, maps of labels, comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Refused, resolve
from lepton_celery.catalogue.shared.halos import local

_CONVERSIONS = {
    "img_as_float": ("float64", 0.5),
    "img_as_float32": ("float32", 0.5),
    "img_as_float64": ("float64", 0.5),
    "img_as_ubyte": ("uint8", 1.0),
    "img_as_uint": ("uint16", 1.0),
    "img_as_int": ("int16", 1.0),
    "img_as_bool": ("bool", 0.5),
}


def narrowed(image: Array, to: str, extent: Array) -> Array:
    """Source: `skimage.util.img_as_ubyte` and its like, of a block and one more pixel, the greatest of the image.

    Integers that need fewer bits are scaled down, unless the greatest pixel of the image fits already.
    """
    converted: Array = resolve(f"skimage.util.{to}")(np.append(image.ravel(), extent[1]))
    return converted[:-1].reshape(image.shape)


def converted(image: Array, to: str) -> Array:
    """Source: `skimage.util.img_as_ubyte` and its like, where each pixel stands for itself."""
    result: Array = resolve(f"skimage.util.{to}")(image)
    return result


def _expand_conversion(to: str, dtype: np.dtype[Any]) -> Callable[[Arguments, Build], Any]:
    def expand(arguments: Arguments, build: Build) -> Any:
        image = arguments["image"]
        if dtype.kind in "iu" and image.dtype.kind in "iu" and image.dtype.itemsize >= dtype.itemsize:
            return build("lepton.narrowed", image=image, to=to, extent=build("lepton.extent", image=image))
        return build("lepton.converted", image=image, to=to)

    return expand


def _conversion(name: str, dtype: str, cost_ns: float) -> Entry:
    source = f"skimage.util.{name}"
    if np.dtype(dtype).kind not in "iu":
        return local(f"util.{name}", cost_ns=cost_ns)
    expand = _expand_conversion(name, np.dtype(dtype))
    return Composite(name=f"util.{name}", source=source, expand=expand, gives="image", cost_ns=cost_ns)


def compare(
    image0: Array, image1: Array, method: str = "diff", n_tiles: Sequence[int] = (8, 8), where: Where | None = None
) -> Array:
    """Source: `skimage.util.compare_images`; the tiles of a checkerboard are those of the whole image."""
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
    """The tile in which each pixel of an axis lies; `count` or more: in none."""
    step = int(where.shape[axis] / count)
    pixels = np.arange(where.region.start[axis], where.region.stop[axis])
    return pixels // step if step else np.full(pixels.shape, count)


def _refused(name: str, images: tuple[str, ...], reason: str, instead: str) -> Refused:
    return Refused(name=f"util.{name}", source=f"skimage.util.{name}", images=images, reason=reason, instead=instead)


def entries() -> list[Entry]:
    """Conversions."""
    here = "lepton_celery.catalogue.util"
    windows = "its result has more axes than the image and repeats pixels"
    places = "it takes a shape and no image"
    return [
        *[_conversion(name, dtype, cost) for name, (dtype, cost) in _CONVERSIONS.items()],
        Local(name="lepton.converted", source=f"{here}.converted", cost_ns=1.0),
        Local(name="lepton.narrowed", source=f"{here}.narrowed", values=("extent",), cost_ns=2.0),
        local("util.invert", cost_ns=1.5),
        local(
            "util.map_array",
            images=("input_arr",),
            dtype_kinds="iu",
            samples={"input_arr": "labels"},
            example={"input_vals": np.arange(5), "output_vals": np.arange(5) * 0.5},
            cost_ns=15.0,
        ),
        local("util.compare_images", images=("image0", "image1"), function=compare, wants_where=True, cost_ns=1.0),
        _refused(
            "random_noise",
            ("image",),
            "its random numbers are drawn in one stream over the whole image, which blocks cannot take up in between",
            "numpy.random.default_rng(seed) to store an image of noise, and add that",
        ),
        _refused("montage", ("arr_in",), "its result is a sheet of many images", "numpy.stack"),
        _refused("view_as_blocks", ("arr_in",), windows, "transform.downscale_local_mean for means of blocks"),
        _refused("view_as_windows", ("arr_in",), windows, "a filter of that window, such as ndimage.percentile_filter"),
        _refused("label_points", (), "it takes coordinates and no image", "skimage.util.label_points itself"),
        _refused("regular_grid", (), places, "skimage.util.regular_grid itself"),
        _refused("regular_seeds", (), places, "skimage.util.regular_seeds itself"),
        _refused(
            "unique_rows",
            ("ar",),
            "rows of the whole image are compared",
            "numpy.unique(…, axis=0) of the computed image",
        ),
        _refused(
            "apply_parallel",
            ("array",),
            "it takes any function and pads the image's true border, which changes pixels there",
            "the function of this catalogue itself: every one of them runs in blocks",
        ),
    ]
