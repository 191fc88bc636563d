"""Shape and dtype of a local result, found by trying the function on a few pixels.

This also shows a wrong parameter when the graph is built, and not in a worker.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Shape
from lepton_celery.catalogue.geometry import Geometry
from lepton_celery.catalogue.results import DTypeRule
from lepton_celery.grid import Region

_PROBE_PX = 6
"""Pixels along each axis of the result that is tried."""


class Probed(Protocol):
    """The part of an entry that probing needs."""

    @property
    def geometry(self) -> Geometry: ...

    @property
    def dtype(self) -> DTypeRule | None: ...

    def complete(self, arguments: Arguments) -> dict[str, Any]: ...

    def evaluate(self, arguments: Arguments) -> Array: ...


def probe(entry: Probed, arguments: Arguments, images: Mapping[str, Lazy]) -> tuple[Shape, DType]:
    """Shape and dtype of the result; `images` are the arguments that are lazy images."""
    complete = entry.complete(arguments)
    shapes = [image.shape for image in images.values()]
    if not shapes:
        result = entry.evaluate({name: _sample(value, None) for name, value in arguments.items()})
        return result.shape, result.dtype
    shape = entry.geometry.result_shape(shapes, complete)
    if entry.dtype is not None:
        return shape, entry.dtype(complete)
    corner = Region((0,) * len(shape), tuple(min(n, _PROBE_PX) for n in shape))
    reads = dict(zip(images, entry.geometry.reads(corner, shapes, complete), strict=True))
    # a halo of hundreds of pixels changes no dtype, and the function's own boundary mode takes care of a small image
    sample = {name: _sample(value, _small(reads.get(name))) for name, value in arguments.items()}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return shape, entry.evaluate(sample).dtype


def _small(region: Region | None) -> Shape | None:
    return None if region is None else tuple(min(n, 4 * _PROBE_PX) for n in region.shape)


def _sample(value: Any, shape: Shape | None) -> Any:
    """Pixels to try a function on: a ramp, because some functions return early for constant images."""
    if not hasattr(value, "gives"):
        return value
    if shape is None:
        sample: Array = np.ones(value.shape, value.dtype)
        return sample[()]
    ramp = np.arange(int(np.prod(shape))).reshape(shape) % 101
    if value.dtype.kind == "f":
        return (ramp / 101).astype(value.dtype)  # some functions take floats from 0 to 1 only
    return (ramp % 2 if value.dtype.kind == "b" else ramp).astype(value.dtype)
