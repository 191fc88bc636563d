"""Results that have an axis more than their images, and functions that go along whole lines of pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.entries import Build, Entry, Local
from lepton_celery.catalogue.geometry import BlockRule, Stencil, no_halo
from lepton_celery.grid import Region

Shapes = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class LeadingAxis:
    """The result has one axis more, before those of its images, which lie pixel over pixel."""

    length: Callable[[Shapes], int]

    def result_shape(self, images: Shapes, arguments: Arguments) -> tuple[int, ...]:
        return (self.length(images), *Stencil().result_shape(images, arguments))

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        return [Region(region.start[1:], region.stop[1:]) for _ in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.start[0] : region.stop[0]]


@dataclass(frozen=True)
class TrailingAxis:
    """The result has one axis more, behind those of its images: `length` figures for each pixel."""

    length: Callable[[Shapes, Arguments], int]
    halo: Callable[[Arguments], int | tuple[int, ...]] = no_halo
    formula: str = "0"

    def result_shape(self, images: Shapes, arguments: Arguments) -> tuple[int, ...]:
        return (*Stencil().result_shape(images, arguments), self.length(images, arguments))

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        pixels = Region(region.start[:-1], region.stop[:-1])
        halo = Stencil(self.halo).halo_px(pixels.ndim, arguments)
        return [pixels.expand(halo, shape) for shape in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        pixels = Region(region.start[:-1], region.stop[:-1])
        return result[(*pixels.within(read[0]), slice(region.start[-1], region.stop[-1]))]


@dataclass(frozen=True)
class WithoutTrailing:
    """The result lacks the last axis of the first image, of figures for each pixel; further images have none either."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> tuple[int, ...]:
        return images[0][:-1]

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        figures = Region((*region.start, 0), (*region.stop, images[0][-1]))
        return [figures, *(region for _ in images[1:])]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


@dataclass(frozen=True)
class Lines:
    """Pixels depend on the whole line along `arguments["axis"]` that they are in."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> tuple[int, ...]:
        return images[0]

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        axis = arguments["axis"]
        halo = tuple(n if at == axis else 0 for at, n in enumerate(images[0]))
        return [region.expand(halo, images[0])]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.within(read[0])]


def strips(shape: tuple[int, ...], wanted: tuple[int, ...], arguments: Arguments) -> tuple[int, ...]:
    """Blocks as long as the image along `arguments["axis"]` and, for that, narrower along the other axes."""
    axis = arguments["axis"]
    block = list(wanted)
    block[axis] = shape[axis]
    while math.prod(block) > math.prod(wanted):
        longest = max((at for at in range(len(block)) if at != axis), key=lambda at: block[at], default=axis)
        if longest == axis or block[longest] == 1:
            break
        block[longest] = -(-block[longest] // 2)
    return tuple(block)


def uncut(axes: int) -> BlockRule:
    """Blocks that have the last `axes` axes in one piece."""

    def rule(shape: tuple[int, ...], wanted: tuple[int, ...], arguments: Arguments) -> tuple[int, ...]:
        return (*wanted[:-axes], *shape[-axes:])

    return rule


def _cumulative_sum(image: Array, axis: int) -> Array:
    found: Array = image.cumsum(axis=axis, dtype=np.float64)
    return found


def integral(image: Any, build: Build) -> Any:
    """`skimage.transform.integral_image` of a float image: sums that are carried on from pixel to pixel, axis by axis."""
    for axis in range(len(image.shape)):
        image = build("lepton.cumulative_sum", image=image, axis=axis)
    return image


def split_channels(image: Any, channel_axis: int | None, build: Build) -> list[Any]:
    """An image for each channel; the image itself where it has none."""
    if channel_axis is None:
        return [image]
    at = channel_axis % len(image.shape)
    whole = [(0, n, 1) for n in image.shape]
    return [
        build("lepton.select", image=image, index=(*whole[:at], channel, *whole[at + 1 :]))
        for channel in range(image.shape[at])
    ]


def entries() -> list[Entry]:
    """Parts that go along lines."""
    return [
        Local(
            name="lepton.cumulative_sum",
            source="lepton_celery.catalogue.shared.axes._cumulative_sum",
            dtype_kinds="f",
            geometry=Lines(),
            own_stage=strips,
            cost_ns=5.0,
        )
    ]
