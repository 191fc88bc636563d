"""Images padded with pixels of their opposite side, for functions with `mode="wrap"`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Shape, Shapes, View, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Local
from lepton_celery.catalogue.results import dtype_of
from lepton_celery.grid import Region


class WrapPad:
    """The image with `arguments["halo"]` pixels of its opposite side added before and after each axis."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return tuple(n + 2 * h for n, h in zip(images[0], arguments["halo"], strict=True))

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        """A region of the right size, to predict time and memory; the pixels read may lie on both sides of the image."""
        shape = images[0]
        return [Region((0,) * len(shape), tuple(min(n, size) for n, size in zip(shape, region.shape, strict=True)))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


@declare(Local("lepton.wrap_pad", geometry=WrapPad(), reads_itself=True, dtype=dtype_of("image"), cost_ns=1.0))
def wrap_pad(image: View, halo: Sequence[int], where: Where) -> Array:
    """The region `where.region` of the padded image."""
    region = where.region
    result = np.empty(region.shape, image.dtype)
    axes = [list(_stretches(*axis)) for axis in zip(region.start, region.stop, halo, image.shape, strict=True)]
    for stretches in product(*axes):
        to = tuple(slice(offset, offset + stop - start) for offset, start, stop in stretches)
        result[to] = image.read(Region(tuple(s[1] for s in stretches), tuple(s[2] for s in stretches)))
    return result


def _stretches(start: int, stop: int, halo: int, n: int) -> Iterator[tuple[int, int, int]]:
    """One axis of a region of the padded image, as intervals of the image: (offset in the region, start, stop)."""
    position = start
    while position < stop:
        first = (position - halo) % n
        length = min(stop - position, n - first)
        yield position - start, first, first + length
        position += length
