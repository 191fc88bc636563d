"""`numpy.reshape` and `numpy.ravel`: the same pixels in raster order, in an image of another shape."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shape, Shapes, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.results import dtype_of
from lepton_celery.errors import InputError
from lepton_celery.grid import Region


class Fold(NamedTuple):
    """Neighbouring axes of the image, and those of the result that hold the same pixels."""

    of_image: slice
    of_result: slice


def folds(image: Shape, result: Shape) -> Iterator[Fold]:
    """The shortest runs of axes whose pixels remain among themselves; both shapes have the same number of pixels, not 0."""
    i = r = 0
    while i < len(image) or r < len(result):
        i_start, r_start = i, r
        i, r = min(i + 1, len(image)), min(r + 1, len(result))
        while (pixels := math.prod(image[i_start:i])) != (reshaped := math.prod(result[r_start:r])):
            if pixels < reshaped:
                i += 1
            else:
                r += 1
        yield Fold(slice(i_start, i), slice(r_start, r))


def _raster(index: Sequence[int], lengths: Shape) -> int:
    """The position of a pixel in raster order."""
    position = 0
    for pixel, length in zip(index, lengths, strict=True):
        position = position * length + pixel
    return position


def _box(start: Shape, stop: Shape, lengths: Shape, image: Shape) -> tuple[Shape, Shape]:
    """Start and stop in the image of the rows that hold a region of the result, along the axes of one fold."""
    if not image:
        return (), ()
    ends = _raster(start, lengths), _raster([n - 1 for n in stop], lengths)
    first, last = (tuple(map(int, np.unravel_index(end, image))) for end in ends)
    cut = next((axis for axis, (a, b) in enumerate(zip(first, last, strict=True)) if a != b), len(image))
    whole = image[cut + 1 :]  # the pixels run on from one row to the next
    return (*first[: cut + 1], *(0 for _ in whole)), (*(n + 1 for n in last[: cut + 1]), *whole)


class Reshaped:
    """The image in the shape `arguments["shape"]`. A block reads the rows of the image in which its pixels lie."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return tuple(arguments["shape"])

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        start: list[int] = []
        stop: list[int] = []
        for of_image, of_result in folds(images[0], arguments["shape"]):
            lengths = arguments["shape"][of_result]
            first, last = _box(region.start[of_result], region.stop[of_result], lengths, images[0][of_image])
            start += first
            stop += last
        return [Region(tuple(start), tuple(stop))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


@declare(Local("lepton.reshape", geometry=Reshaped(), wants_where=True, dtype=dtype_of("image"), cost_ns=3.0))
def reshape(image: Array, shape: Shape, where: Where) -> Array:
    """The region `where.result` of the reshaped image."""
    assert where.result is not None
    region, read = where.result, where.region
    parts = list(folds(where.shape, shape))
    flat = image.reshape([math.prod(read.shape[of_image]) for of_image, _ in parts])
    for axis, (of_image, of_result) in enumerate(parts):
        first = _raster(read.start[of_image], where.shape[of_image])
        flat = _picked(
            flat, axis, _positions(region.start[of_result], region.stop[of_result], shape[of_result]) - first
        )
    return flat.reshape(region.shape)


def _positions(start: Shape, stop: Shape, lengths: Shape) -> Array:
    """The positions in raster order of a region's pixels."""
    positions = np.zeros(1, np.int64)
    for first, last, length in zip(start, stop, lengths, strict=True):
        positions = np.add.outer(positions * length, np.arange(first, last)).ravel()
    return positions


def _picked(image: Array, axis: int, positions: Array) -> Array:
    """The pixels at these positions along an axis; a view if they are neighbours."""
    if positions[-1] - positions[0] == positions.size - 1:
        return image[(slice(None),) * axis + (slice(int(positions[0]), int(positions[-1]) + 1),)]
    return image.take(positions, axis)


def reshaped(image: Lazy, shape: Shape, build: Build) -> Lazy:
    """The node of an image in another shape of as many pixels."""
    if shape == tuple(image.shape):
        return image
    kept = [n for n in image.shape if n != 1]
    if kept == [n for n in shape if n != 1]:  # a view in NumPy, whose pixels remain in their order in memory
        axes = iter([axis for axis, n in enumerate(image.shape) if n != 1])
        return build("lepton.turn", image=image, axes=tuple(None if n == 1 else next(axes) for n in shape), flips=())
    return build("lepton.reshape", image=image, shape=shape)


def _check_order(name: str, arguments: Arguments) -> None:
    if arguments["order"] != "C":
        raise InputError(f"numpy.{name} with order={arguments['order']!r} is not supported here; leave it out")


@declare(Composite("numpy.reshape", images=("a",), dtype_kinds="biufe", example={"shape": (-1,)}, gives="image"))
def _expand_reshape(arguments: Arguments, build: Build) -> Lazy:
    _check_order("reshape", arguments)
    image, given = arguments["a"], arguments["shape"]
    if arguments.get("copy") is False:
        raise InputError("numpy.reshape with copy=False is not supported here; leave it out")
    wanted = np.broadcast_to(np.zeros((), image.dtype), image.shape).reshape(given).shape  # refuses what does not fit
    if not wanted:
        raise InputError(f"an image of shape {image.shape} would lose all its axes; keep at least one")
    return reshaped(image, wanted, build)


@declare(Composite("numpy.ravel", images=("a",), dtype_kinds="biufe", gives="image"))
def _expand_ravel(arguments: Arguments, build: Build) -> Lazy:
    _check_order("ravel", arguments)
    image = arguments["a"]
    return reshaped(image, (math.prod(image.shape),), build)
