"""Geometries of results with an axis more or less than their images, and of functions along whole lines of pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shape, Shapes
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Local
from lepton_celery.catalogue.geometry import BlockRule, HaloRule, Stencil
from lepton_celery.grid import Region


@dataclass(frozen=True)
class LeadingAxis:
    """The result has a new first axis of `length`; all images have one shape."""

    length: Callable[[Shapes], int]

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return (self.length(images), *Stencil().result_shape(images, arguments))

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        return [Region(region.start[1:], region.stop[1:]) for _ in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.start[0] : region.stop[0]]


@dataclass(frozen=True)
class TrailingAxis:
    """The result has a new last axis: `length` numbers per pixel. All images have one shape."""

    length: Callable[[Shapes, Arguments], int]
    halo: int | HaloRule = 0
    formula: str = "0"

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return (*Stencil().result_shape(images, arguments), self.length(images, arguments))

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        pixels = Region(region.start[:-1], region.stop[:-1])
        halo = Stencil(self.halo).halo_px(pixels.ndim, arguments)
        return [pixels.expand(halo, shape) for shape in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        pixels = Region(region.start[:-1], region.stop[:-1])
        return result[(*pixels.within(read[0]), slice(region.start[-1], region.stop[-1]))]


class WithoutTrailing:
    """The result and the other images lack the last axis of the first image; a pixel depends on a whole line along it."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return images[0][:-1]

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        numbers = Region((*region.start, 0), (*region.stop, images[0][-1]))
        return [numbers, *(region for _ in images[1:])]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


class Lines:
    """A pixel depends on its whole line along `arguments["axis"]`."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return images[0]

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        axis = arguments["axis"]
        halo = tuple(n if other == axis else 0 for other, n in enumerate(images[0]))
        return [region.expand(halo, images[0])]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.within(read[0])]


MIN_ROW_PX = 256
"""Pixels of a row below which a strip of columns is not made narrower: each row is read from other pages of the file."""


def strips(shape: Shape, wanted: Shape, arguments: Arguments) -> Shape:
    """Blocks as long as the image along `arguments["axis"]`, and shorter than wanted along other axes in return."""
    axis = arguments["axis"]
    block = list(wanted)
    block[axis] = shape[axis]
    others = [other for other in range(len(block)) if other != axis]
    least = [1] * (len(block) - 1) + [min(wanted[-1], MIN_ROW_PX)]
    while math.prod(block) > math.prod(wanted):
        longest = max(others, key=lambda other: block[other], default=axis)
        if longest == axis or block[longest] <= least[longest]:
            break
        block[longest] = -(-block[longest] // 2)
    return tuple(block)


def uncut(axes: int) -> BlockRule:
    """Blocks as long as the image along the last `axes` axes."""

    def rule(shape: Shape, wanted: Shape, arguments: Arguments) -> Shape:
        return (*wanted[:-axes], *shape[-axes:])

    return rule


@declare(Local("lepton.cumulative_sum", geometry=Lines(), own_stage=strips, cost_ns=8.0))
def cumulative_sum(image: Array, axis: int, dtype: str) -> Array:
    """`np.cumsum` along an axis."""
    sums: Array = image.cumsum(axis=axis, dtype=dtype)
    return sums


def integral(image: Lazy, build: Build, dtype: str = "float64") -> Lazy:
    """The integral image: cumulative sums along one axis after the other, in NumPy's order."""
    for axis in range(image.ndim):
        image = build("lepton.cumulative_sum", image=image, axis=axis, dtype=dtype)
    return image
