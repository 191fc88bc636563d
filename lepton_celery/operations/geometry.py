"""How results lie over images when it is not pixel over pixel: dropped channels, slices, shrunk images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lepton_celery.errors import InputError
from lepton_celery.grid import Region
from lepton_celery.operations.spec import Arguments, Array, no_halo

ROW_PX = 64
"""Pixels in a group; measured with OpenBLAS 0.3.30: 4 for float64, 8 for float32."""
WIDE_PX = 16384
"""Length of a row up to which one kernel of BLAS adds float32; longer rows go through another."""


@dataclass(frozen=True)
class DropChannel:
    """The last axis holds channels; the result has one pixel for each set of channels.

    Rows are read from and up to multiples of `ROW_PX` pixels: a matrix product (`rgb @ weights`) goes through a row in
    groups of pixels, and BLAS adds the last ones in another order. From any other pixel on, groups would fall elsewhere.
    """

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        shape = images[0]
        if len(shape) < 2 or shape[-1] not in (3, 4):
            raise InputError(f"an image of shape {shape} has no last axis of 3 channels; give an RGB image (..., 3)")
        return shape[:-1]

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        *shape, channels = images[0]
        start, stop = list(region.start), list(region.stop)
        start[-1] -= start[-1] % ROW_PX
        stop[-1] = min(shape[-1], -(-stop[-1] // ROW_PX) * ROW_PX)
        return [Region((*start, 0), (*stop, channels))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.within(Region(read[0].start[:-1], read[0].stop[:-1]))]


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


@dataclass(frozen=True)
class Shrink:
    """A pixel of the result stands for a box of `arguments["factors"]` pixels, boxes anchored at the image's origin."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return tuple(-(-n // f) for n, f in zip(images[0], factors_of(images[0], arguments), strict=True))

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        shape = images[0]
        factors = factors_of(shape, arguments)
        return [
            Region(
                tuple(a * f for a, f in zip(region.start, factors, strict=True)),
                tuple(min(n, z * f) for z, f, n in zip(region.stop, factors, shape, strict=True)),
            )
        ]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def factors_of(shape: tuple[int, ...], arguments: Arguments) -> tuple[int, ...]:
    """One shrink factor per axis."""
    factors = arguments["factors"]
    per_axis: list[int] = [factors] * len(shape) if isinstance(factors, int) else list(factors)
    if len(per_axis) != len(shape) or any(f < 1 for f in per_axis):
        raise InputError(f"factors {factors} for an image of shape {shape}; give a whole number of at least 1 per axis")
    return tuple(int(f) for f in per_axis)
