"""An image that goes on at its opposite side: what functions with `mode="wrap"` see beyond the edge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, View, Where
from lepton_celery.catalogue.entries import Entry, Local
from lepton_celery.grid import Region


@dataclass(frozen=True)
class WrapPad:
    """The image with `arguments["halo"]` pixels of its opposite side put before and behind each axis."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return tuple(n + 2 * h for n, h in zip(images[0], arguments["halo"], strict=True))

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        """A region of as many pixels; which ones it really reads may lie on both sides of the image."""
        shape = images[0]
        return [Region((0,) * len(shape), tuple(min(n, size) for n, size in zip(shape, region.shape, strict=True)))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def wrap_pad(image: View, halo: Sequence[int], where: Where) -> Array:
    """`where.region` of the padded image."""
    region = where.region
    result = np.empty(region.shape, image.dtype)
    axes = [list(_pieces(*axis)) for axis in zip(region.start, region.stop, halo, image.shape, strict=True)]
    for pieces in product(*axes):
        to = tuple(slice(at, at + stop - start) for at, start, stop in pieces)
        result[to] = image.read(Region(tuple(p[1] for p in pieces), tuple(p[2] for p in pieces)))
    return result


def _pieces(start: int, stop: int, halo: int, n: int) -> Iterator[tuple[int, int, int]]:
    """One axis of a region of the padded image, as stretches of the image: (where it goes, start, stop)."""
    at = start
    while at < stop:
        first = (at - halo) % n
        length = min(stop - at, n - first)
        yield at - start, first, first + length
        at += length


def entries() -> list[Entry]:
    """The padding; a part of the planner's vocabulary, not for users."""
    return [
        Local(
            name="lepton.wrap_pad",
            source="lepton_celery.catalogue.shared.wrap.wrap_pad",
            function=wrap_pad,
            geometry=WrapPad(),
            reads_itself=True,
            dtype=lambda arguments: arguments["image"].dtype,
            cost_ns=1.0,
        )
    ]
