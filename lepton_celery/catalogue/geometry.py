"""How the pixels of a result depend on the pixels of its images, and which blocks a function needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lepton_celery.catalogue.arrays import Arguments, Array, Shape, Shapes
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

HaloRule = Callable[[Arguments], int | tuple[int, ...]]
"""Complete arguments -> pixels that a function reads around a block: one number, or one per axis."""


class Geometry(Protocol):
    """How the pixels of a result depend on the pixels of its images."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        """Shape of the result for images of these shapes."""

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        """The region of each image from which `region` of the result follows."""

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        """`region`, cut from what the function returned for the regions read."""


@dataclass(frozen=True)
class Stencil:
    """Result and images have one shape; a pixel depends on those within `halo` pixels."""

    halo: int | HaloRule = 0
    """Pixels read on each side of a block: a number for all axes, or a function of the arguments."""
    formula: str = "0"
    """The halo in words, for the catalogue's table: `int(truncate * sigma + 0.5)`."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        if any(shape != images[0] for shape in images):
            listed = " and ".join(str(shape) for shape in images)
            raise InputError(f"images of shapes {listed} do not match; all images of one function need the same shape")
        return images[0]

    def halo_px(self, ndim: int, arguments: Arguments) -> tuple[int, ...]:
        """Pixels read on each side of each axis."""
        halo = self.halo if isinstance(self.halo, int) else self.halo(arguments)
        return (halo,) * ndim if isinstance(halo, int) else halo

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        halo = self.halo_px(region.ndim, arguments)
        return [region.expand(halo, shape) for shape in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result if read[0] == region else result[region.within(read[0])]


POINTWISE = Stencil()
"""Each pixel depends on the pixel at the same position only."""


class Whole:
    """Every pixel may depend on all pixels; the function sees the whole image at once."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return images[0]

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        return [Region.whole(shape) for shape in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.slices]


BlockRule = Callable[[Shape, Shape, Arguments], Shape]
"""(image shape, block shape wanted, arguments) -> the block shape that a function's own stage must have."""


def one_block(shape: Shape, wanted: Shape, arguments: Arguments) -> Shape:
    """The whole image as one block."""
    return shape


def any_block(shape: Shape, wanted: Shape, arguments: Arguments) -> Shape:
    """Whatever the planner chooses."""
    return wanted


@dataclass(frozen=True)
class ColourOverLabels:
    """A picture `(..., 3)` from an image `(...)` or `(..., 3)` and labels `(...)`, with a halo."""

    halo: int | HaloRule = 0

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        image, labels = images
        if image[: len(labels)] != labels or image[len(labels) :] not in ((), (3,)):
            raise InputError(
                f"image of shape {image} and labels of shape {labels} do not match; "
                f"the image wants shape {labels} or {(*labels, 3)}"
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
