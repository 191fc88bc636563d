"""`skimage.exposure.equalize_adapthist`: contrast limited adaptive histogram equalization (CLAHE).

The image is cut into tiles of `kernel_size` pixels from its origin on. A first stage finds each tile's map from grey level
to grey level, as an image of maps. A second stage looks up every pixel in the maps of the tiles around it and interpolates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shape, Shapes, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.geometry import ColourOverLabels
from lepton_celery.catalogue.results import always
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

LEVELS = 1 << 14
"""Grey levels that scikit-image works with, `NR_OF_GRAY`."""
TILES_PX = 1 << 20
"""Pixels of the tiles whose maps are computed as one block; a larger tile is a block of its own."""


def _tile_counts(shape: Sequence[int], tile_shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-n // k) for n, k in zip(shape, tile_shape, strict=True))


def _tile_pixels(n: int, k: int, start: int, stop: int) -> Array:
    """The pixels, along an axis of `n`, of the tiles `start` to `stop`; the last tile is filled up by reflection."""
    padded = np.pad(np.arange(n), (k // 2, (k - n % k) % k + -(-k // 2)), mode="reflect")
    return padded[k // 2 + start * k : k // 2 + stop * k]


def _tile_ends(n: int, k: int, start: int, stop: int) -> tuple[int, int]:
    """The first and the last of these pixels."""
    if (stop - start) * k >= 2 * n:  # a reflection and back shows all of them; a tile may be far larger than the image
        return 0, n - 1
    pixels = _tile_pixels(n, k, start, stop)
    return int(pixels.min()), int(pixels.max())


class TileMaps:
    """One map of `arguments["nbins"]` levels for each tile of `arguments["tile_shape"]` pixels."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return (*_tile_counts(images[0], arguments["tile_shape"]), arguments["nbins"])

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        axes = zip(images[0], arguments["tile_shape"], region.start[:-1], region.stop[:-1], strict=True)
        ends = [_tile_ends(*axis) for axis in axes]
        return [Region(tuple(first for first, _ in ends), tuple(last + 1 for _, last in ends))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[..., region.start[-1] : region.stop[-1]]


def tile_blocks(shape: Shape, wanted: Shape, arguments: Arguments) -> Shape:
    """Blocks with the maps of up to `TILES_PX` pixels of tiles, and of at least one tile."""
    *tiles, nbins = shape
    side = int(TILES_PX ** (1 / len(tiles)))
    return (*(min(n, max(1, side // k)) for n, k in zip(tiles, arguments["tile_shape"], strict=True)), nbins)


@declare(
    Local(
        "lepton.tile_maps",
        geometry=TileMaps(),
        own_stage=tile_blocks,
        wants_where=True,
        dtype=always(np.uint16),
        cost_ns=20.0,
    )
)
def tile_maps(image: Array, tile_shape: Sequence[int], clip_limit: float, nbins: int, where: Where) -> Array:
    """The maps of tiles, computed as in `skimage.exposure._adapthist._clahe`."""
    from skimage.exposure._adapthist import clip_histogram, map_histogram

    assert where.result is not None
    ndim, tiles = image.ndim, where.result.shape[:-1]
    axes = zip(where.shape, tile_shape, where.result.start[:-1], where.result.stop[:-1], strict=True)
    local = [_tile_pixels(*axis) - first for axis, first in zip(axes, where.region.start, strict=True)]
    bins = _bins(nbins)[image][np.ix_(*local)]
    cut = bins.reshape([n for pair in zip(tiles, tile_shape, strict=True) for n in pair])
    pixels = cut.transpose([*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2)]).reshape(math.prod(tiles), -1)
    size = math.prod(tile_shape)
    limit = int(np.clip(clip_limit * size, 1, None)) if clip_limit > 0 else size
    counts = np.apply_along_axis(np.bincount, -1, pixels, minlength=nbins)
    counts = np.apply_along_axis(clip_histogram, -1, counts, clip_limit=limit)
    maps: Array = map_histogram(counts, 0, LEVELS - 1, size)
    return maps.astype(np.uint16).reshape(*tiles, nbins)


def _bins(nbins: int) -> Array:
    """The bin of each grey level."""
    return np.arange(LEVELS) // (1 + LEVELS // nbins)


class Interpolated:
    """A pixel depends on its own value and on the maps of the tiles whose centres surround it."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return images[0]

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        *tiles, nbins = images[1]
        axes = list(zip(region.start, region.stop, arguments["tile_shape"], tiles, strict=True))
        first = [min(max((start + k // 2) // k - 1, 0), n - 1) for start, _, k, n in axes]
        last = [min((stop - 1 + k // 2) // k, n - 1) for _, stop, k, n in axes]
        return [region, Region((*first, 0), (*(tile + 1 for tile in last), nbins))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


@declare(
    Local(
        "lepton.interpolate_maps",
        images=("image", "maps"),
        geometry=Interpolated(),
        wants_where=True,
        dtype=always(np.uint16),
        cost_ns=90.0,
    )
)
def interpolate_maps(image: Array, maps: Array, tile_shape: Sequence[int], where: Where) -> Array:
    """The pixels mapped by the surrounding tiles' maps and interpolated, as in `skimage.exposure._adapthist._clahe`."""
    ndim, region = image.ndim, where.region
    counts = _tile_counts(where.shape, tile_shape)
    (_, read) = Interpolated().reads(region, [where.shape, (*counts, maps.shape[-1])], {"tile_shape": tile_shape})
    tiles, weights = [], []
    for axis in range(ndim):
        shifted = np.arange(region.start[axis], region.stop[axis]) + tile_shape[axis] // 2
        before, share = shifted // tile_shape[axis] - 1, (shifted % tile_shape[axis]) / tile_shape[axis]
        # beyond the border, the maps of the outermost tiles are used
        tiles.append([(before + e).clip(0, counts[axis] - 1) - read.start[axis] for e in (0, 1)])
        weights.append([1 - share, share])
    bins = _bins(maps.shape[-1])[image]
    result = np.zeros(image.shape, np.float32)
    for edge in np.ndindex(*[2] * ndim):
        around = np.ix_(*(tiles[axis][e] for axis, e in enumerate(edge)))
        mapped = maps[(*around, bins)]
        # multiplied from the last axis on, as in scikit-image
        weight: Any = 1.0
        for part in reversed(np.ix_(*(weights[axis][e] for axis, e in enumerate(edge)))):
            weight = weight * part
        result += (mapped * weight).astype(np.float32)
    return result.astype(image.dtype)


@declare(Local("lepton.grey_levels", cost_ns=4.0))
def grey_levels(image: Array) -> Array:
    """The image rounded to grey levels."""
    return np.round(image).astype(np.uint16)


@declare(Local("lepton.with_value", images=("hsv", "value"), geometry=ColourOverLabels(), cost_ns=6.0))
def with_value(hsv: Array, value: Array) -> Array:
    """An HSV image with its value channel replaced."""
    return np.concatenate([hsv[..., :2], value[..., np.newaxis]], axis=-1)


def _equalized(image: Lazy, arguments: Arguments, build: Build) -> Lazy:
    tile_shape = _tile_shape(image.shape, arguments["kernel_size"])
    options = {"tile_shape": tile_shape, "nbins": arguments["nbins"]}
    scaled = build("util.img_as_uint", image=image)
    stretched = build("exposure.rescale_intensity", image=scaled, out_range=(0, LEVELS - 1))
    grey = build("lepton.grey_levels", image=stretched)
    maps = build("lepton.tile_maps", image=grey, clip_limit=arguments["clip_limit"], **options)
    mapped = build("lepton.interpolate_maps", image=grey, maps=maps, tile_shape=tile_shape)
    dtype = "float32" if image.dtype == np.float32 else "float64"
    return build("exposure.rescale_intensity", image=build("numpy.astype", x=mapped, dtype=dtype))


def _tile_shape(shape: Shape, size: Any) -> tuple[int, ...]:
    """Pixels of a tile along each axis; an eighth of the whole image by default."""
    if size is None:
        return tuple(max(n // 8, 1) for n in shape)
    return (int(size),) * len(shape) if np.ndim(size) == 0 else tuple(int(k) for k in size)


def _is_coloured(shape: Shape) -> bool:
    """Whether scikit-image treats an image as RGB or RGBA."""
    return len(shape) == 3 and shape[-1] in (3, 4)


def _check(arguments: Arguments) -> None:
    shape, size, nbins = arguments["image"].shape, arguments["kernel_size"], arguments["nbins"]
    shape = shape[:-1] if _is_coloured(shape) else shape
    tile_shape = _tile_shape(shape, size)
    if len(tile_shape) != len(shape) or min(tile_shape) < 1:
        raise InputError(
            f"Incorrect value of `kernel_size`: {size} for an image of {len(shape)} axes (channels not counted); "
            "give a whole number of at least 1 per axis"
        )
    if not isinstance(nbins, int | np.integer) or nbins < 1:
        raise InputError(f"nbins={nbins!r} is no number of bins; give a whole number of at least 1")


@declare(Composite("exposure.equalize_adapthist", check=_check, gives="image"))
def _expand(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["image"]
    if not _is_coloured(image.shape):
        return _equalized(image, arguments, build)
    height, width, channels = image.shape
    rows, columns = (0, height, 1), (0, width, 1)
    if channels == 4:
        image = build("lepton.select", image=image, index=(rows, columns, (0, 3, 1)))
    hsv = build("color.rgb2hsv", rgb=image)
    value = _equalized(build("lepton.select", image=hsv, index=(rows, columns, 2)), arguments, build)
    return build("color.hsv2rgb", hsv=build("lepton.with_value", hsv=hsv, value=value))
