"""NumPy's basic indexing of lazy images: `image[10:20, ::2, 3]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shape, Shapes
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Local
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

Item = int | Sequence[int]
"""The index along one axis: a position, or [start, stop, step]."""


class Select:
    """Basic indexing with positive steps: `arguments["index"]` has an int or `[start, stop, step]` per axis."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return tuple(len(range(*item)) for item in arguments["index"] if not isinstance(item, int))

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        start, stop = [], []
        remaining = iter(zip(region.start, region.stop, strict=True))
        for item in arguments["index"]:
            if isinstance(item, int):
                start.append(item)
                stop.append(item + 1)
                continue
            (a, z), (first, _, step) = next(remaining), item
            start.append(first + a * step)
            stop.append(first + (z - 1) * step + 1 if z > a else first + a * step)
        return [Region(tuple(start), tuple(stop))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def check_index(arguments: Arguments) -> None:
    """Refuse an index outside the image."""
    index, shape = arguments["index"], arguments["image"].shape
    fits = len(index) == len(shape)
    for item, n in zip(index, shape, strict=False):
        start, stop, step = (item, item + 1, 1) if isinstance(item, int) else item
        fits = fits and 0 <= start < stop <= n and step >= 1
    if not fits:
        raise InputError(
            f"index {index} for an image of shape {shape}; give a whole number or [start, stop, step] inside it per axis"
        )


@declare(Local("lepton.select", dtype_kinds="biufe", geometry=Select(), check=check_index, cost_ns=0.5))
def select(image: Array, index: Sequence[Item]) -> Array:
    """The selected pixels; `image` begins at the first of them."""
    picked: Array = image[tuple(0 if isinstance(item, int) else slice(None, None, item[2]) for item in index)]
    return picked


def split_channels(image: Lazy, channel_axis: int | None, build: Build) -> list[Lazy]:
    """An image for each channel; the image itself if it has no channels."""
    if channel_axis is None:
        return [image]
    axis = channel_axis % len(image.shape)
    whole = [(0, n, 1) for n in image.shape]
    return [
        build("lepton.select", image=image, index=(*whole[:axis], channel, *whole[axis + 1 :]))
        for channel in range(image.shape[axis])
    ]


def pairs_per_axis(value: Any, ndim: int, name: str) -> list[tuple[Any, Any]]:
    """A pair per axis, from any form that `numpy.pad` accepts."""
    try:
        return [(before, after) for before, after in np.broadcast_to(np.asarray(value), (ndim, 2)).tolist()]
    except ValueError:
        raise InputError(
            f"{name} {value!r} for an image of {ndim} axes; give a number, a pair, or a pair per axis"
        ) from None
