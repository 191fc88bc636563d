"""How the pixels of a result depend on the pixels of its images, and which blocks a function needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

ROW_PX = 64
"""Pixels in a group; measured with OpenBLAS 0.3.30: 4 for float64, 8 for float32."""
WIDE_PX = 16384
"""Length of a row up to which one kernel of BLAS adds float32; longer rows go through another."""


class Geometry(Protocol):
    """How the pixels of a result depend on the pixels of its images."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        """Shape of the result for images of these shapes."""

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        """The region of each image from which `region` of the result follows."""

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        """`region`, cut from what the function returned for the regions read."""


def no_halo(arguments: Arguments) -> int:
    """Halo of a pointwise function."""
    return 0


@dataclass(frozen=True)
class Stencil:
    """Result and images have one shape; a pixel depends on those within `halo` pixels."""

    halo: Callable[[Arguments], int | tuple[int, ...]] = no_halo
    formula: str = "0"
    """The halo in words, for the catalogue's table: `int(truncate * sigma + 0.5)`."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        if any(shape != images[0] for shape in images):
            listed = " and ".join(str(shape) for shape in images)
            raise InputError(f"images of shapes {listed} do not match; all images of one function need the same shape")
        return images[0]

    def halo_px(self, ndim: int, arguments: Arguments) -> tuple[int, ...]:
        """Pixels read on each side of each axis."""
        halo = self.halo(arguments)
        return (halo,) * ndim if isinstance(halo, int) else halo

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        halo = self.halo_px(region.ndim, arguments)
        return [region.expand(halo, shape) for shape in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result if read[0] == region else result[region.within(read[0])]


POINTWISE = Stencil()
"""Each pixel depends on the pixel at the same position only."""


@dataclass(frozen=True)
class Whole:
    """Every pixel may depend on all pixels; the function sees the whole image at once."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return images[0]

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        return [Region.whole(shape) for shape in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.slices]


BlockRule = Callable[[tuple[int, ...], tuple[int, ...], Arguments], tuple[int, ...]]
"""(image shape, block shape wanted, arguments) -> the block shape that a function's own stage must have."""


def one_block(shape: tuple[int, ...], wanted: tuple[int, ...], arguments: Arguments) -> tuple[int, ...]:
    """The whole image as one block."""
    return shape


def any_block(shape: tuple[int, ...], wanted: tuple[int, ...], arguments: Arguments) -> tuple[int, ...]:
    """Whatever the planner chooses."""
    return wanted


@dataclass(frozen=True)
class ColourOverLabels:
    """A picture `(..., 3)` from an image `(...)` or `(..., 3)` and labels `(...)`, with a halo."""

    halo: Callable[[Arguments], int] = no_halo

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        image, labels = images
        if image[: len(labels)] != labels or image[len(labels) :] not in ((), (3,)):
            raise InputError(
                f"image of shape {image} and labels of shape {labels} do not match; "
                f"the image wants shape {labels} or {(*labels, 3)}"
            )
        return (*labels, 3)

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        image, labels = images
        ndim = len(labels)
        plane = Region(region.start[:ndim], region.stop[:ndim])
        wide = plane.expand((self.halo(arguments),) * ndim, labels)
        coloured = Region((*wide.start, 0), (*wide.stop, 3)) if len(image) > ndim else wide
        return [coloured, wide]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        labels = read[1]
        ndim = labels.ndim
        plane = Region(region.start[:ndim], region.stop[:ndim])
        return result[(*plane.within(labels), slice(region.start[ndim], region.stop[ndim]))]


@dataclass(frozen=True)
class Select:
    """NumPy's basic indexing with positive steps: `arguments["index"]` has an int or `[start, stop, step]` per axis."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return tuple(len(range(*item)) for item in arguments["index"] if not isinstance(item, int))

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        start, stop = [], []
        kept = iter(zip(region.start, region.stop, strict=True))
        for item in arguments["index"]:
            if isinstance(item, int):
                start.append(item)
                stop.append(item + 1)
                continue
            (a, z), (first, _, step) = next(kept), item
            start.append(first + a * step)
            stop.append(first + (z - 1) * step + 1 if z > a else first + a * step)
        return [Region(tuple(start), tuple(stop))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def check_index(arguments: Arguments) -> None:
    """Refuse an index that is not inside the image."""
    index, shape = arguments["index"], arguments["image"].shape
    fits = len(index) == len(shape)
    for item, n in zip(index, shape, strict=False):
        start, stop, step = (item, item + 1, 1) if isinstance(item, int) else item
        fits = fits and 0 <= start < stop <= n and step >= 1
    if not fits:
        raise InputError(
            f"index {index} for an image of shape {shape}; give a whole number or [start, stop, step] inside it per axis"
        )


def select(image: Array, index: Sequence[Any]) -> Array:
    """The picked pixels of an image that begins at the first of them."""
    picked: Array = image[tuple(0 if isinstance(item, int) else slice(None, None, item[2]) for item in index)]
    return picked
