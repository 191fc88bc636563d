"""Geometries (how the pixels of a result depend on the pixels of its images) and rules for block shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Shape, Shapes
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

HaloRule = Callable[[Arguments], int | tuple[int, ...]]
"""Complete arguments -> halo in pixels: one number for all axes, or one per axis."""


class Geometry(Protocol):
    """How the pixels of a result depend on the pixels of its images."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        """Shape of the result for images of these shapes."""

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        """The region of each image that `region` of the result depends on."""

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        """`region` of the result, cut from the array that the function returned for the regions `read`."""


@dataclass(frozen=True)
class Stencil:
    """The result and all images have one shape, and a pixel depends on the pixels at most `halo` away along each axis."""

    halo: int | HaloRule = 0
    """A number of pixels for all axes, or a function of the arguments."""
    formula: str = "0"
    """The halo in words, for the catalogue's table: `int(truncate * sigma + 0.5)`."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        if any(shape != images[0] for shape in images):
            listed = " and ".join(str(shape) for shape in images)
            raise InputError(f"images of shapes {listed} do not match; all images of one function need the same shape")
        return images[0]

    def halo_px(self, ndim: int, arguments: Arguments) -> tuple[int, ...]:
        """Pixels read on each side of each axis."""
        try:
            halo = self.halo if isinstance(self.halo, int) else self.halo(arguments)
        except InputError:
            raise
        except (OverflowError, ValueError, ZeroDivisionError) as error:  # of an infinity, NaN or 0 among the arguments
            raise InputError(f"the arguments give no number of pixels to read around a block: {error}") from error
        return (halo,) * ndim if isinstance(halo, int) else halo

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        halo = self.halo_px(region.ndim, arguments)
        return [region.expand(halo, shape) for shape in images]

    def computes(self, region: Region, images: Shapes, arguments: Arguments) -> Region:
        """The region of the result that the function returns for `region`: all pixels that it reads."""
        return reduce(Region.union, self.reads(region, images, arguments), region)

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result if read[0] == region else result[region.within(read[0])]


POINTWISE = Stencil()
"""A pixel depends only on the pixels at the same position."""


class Broadcast(Stencil):
    """A pixel depends on the pixels at its position; images are broadcast against each other as NumPy broadcasts arrays."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        try:
            return np.broadcast_shapes(*images)
        except ValueError:
            listed = " and ".join(str(tuple(shape)) for shape in images)
            raise InputError(
                f"images of shapes {listed} do not match; axes are compared from the last to the first, and lengths match "
                "if they are equal or one of them is 1"
            ) from None

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        return [_aligned(region, shape) for shape in images]

    def computes(self, region: Region, images: Shapes, arguments: Arguments) -> Region:
        return region

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def _aligned(region: Region, shape: Shape) -> Region:
    """The part of an image of `shape` that is broadcast to `region`; axes are matched from the last to the first."""
    first = region.ndim - len(shape)
    start = tuple(0 if n == 1 else a for a, n in zip(region.start[first:], shape, strict=True))
    stop = tuple(1 if n == 1 else z for z, n in zip(region.stop[first:], shape, strict=True))
    return Region(start, stop)


BROADCAST = Broadcast()
"""Pixel by pixel, for images whose shapes NumPy can broadcast."""


class Whole:
    """A pixel may depend on all pixels, so the function gets the whole image."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return images[0]

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        return [Region.whole(shape) for shape in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.slices]


BlockRule = Callable[[Shape, Shape, Arguments], Shape]
"""(image shape, block shape that the planner prefers, arguments) -> block shape of an entry's own stage."""


def one_block(shape: Shape, wanted: Shape, arguments: Arguments) -> Shape:
    """One block, the whole image."""
    return shape


def any_block(shape: Shape, wanted: Shape, arguments: Arguments) -> Shape:
    """The block shape that the planner prefers."""
    return wanted


@dataclass(frozen=True)
class ColourOverLabels:
    """An RGB image from an image of shape `(...)` or `(..., 3)` and labels of shape `(...)`, with a halo."""

    halo: int | HaloRule = 0

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        image, labels = images
        if image[: len(labels)] != labels or image[len(labels) :] not in ((), (3,)):
            raise InputError(
                f"image of shape {image} and labels of shape {labels} do not match; "
                f"the image needs shape {labels} or {(*labels, 3)}"
            )
        return (*labels, 3)

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        image, labels = images
        ndim = len(labels)
        plane = Region(region.start[:ndim], region.stop[:ndim])
        wide = plane.expand(Stencil(self.halo).halo_px(ndim, arguments), labels)
        coloured = Region((*wide.start, 0), (*wide.stop, 3)) if len(image) > ndim else wide
        return [coloured, wide]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        labels = read[1]
        ndim = labels.ndim
        plane = Region(region.start[:ndim], region.stop[:ndim])
        return result[(*plane.within(labels), slice(region.start[ndim], region.stop[ndim]))]
