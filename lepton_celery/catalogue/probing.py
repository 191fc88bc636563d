"""The shape and dtype of a `Local`'s result, found by calling the function on a few pixels.

A wrong parameter thereby raises an error when the graph is built, not in a worker.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Shape
from lepton_celery.catalogue.geometry import Geometry
from lepton_celery.catalogue.results import UNKNOWN, DTypeRule, sample_of, type_from
from lepton_celery.catalogue.sizes import for_asking
from lepton_celery.grid import Region

_PROBE_PX = 6
"""Length of each axis of the test result, in pixels."""


class Probed(Protocol):
    """The attributes and methods of an entry that `probe` uses."""

    @property
    def geometry(self) -> Geometry: ...

    @property
    def dtype(self) -> DTypeRule | None: ...

    def complete(self, arguments: Arguments) -> dict[str, Any]: ...

    def evaluate(self, arguments: Arguments) -> Array: ...


def probe(entry: Probed, arguments: Arguments, images: Mapping[str, Lazy]) -> tuple[Shape, DType]:
    """The shape and dtype of the result; `images` are the arguments that are lazy images."""
    complete = entry.complete(arguments)
    shapes = [image.shape for image in images.values()]
    if not shapes:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return type_from([entry.evaluate(_samples(arguments, length)) for length in UNKNOWN])
    shape = entry.geometry.result_shape(shapes, complete)
    if entry.dtype is not None:
        return shape, entry.dtype(complete)
    corner = Region((0,) * len(shape), tuple(min(n, _PROBE_PX) for n in shape))
    reads = dict(zip(images, entry.geometry.reads(corner, shapes, complete), strict=True))
    # the dtype does not depend on the halo, and the function handles images smaller than its halo
    asked = {name: for_asking(name, value) for name, value in arguments.items()}
    sample = {name: _sample(value, _small(reads.get(name))) for name, value in asked.items()}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return shape, entry.evaluate(sample).dtype


def _samples(arguments: Arguments, unknown: int) -> dict[str, Any]:
    """Test values, with this length in place of unknown ones."""
    return {name: _sample(value, None, unknown) for name, value in arguments.items()}


def _small(region: Region | None) -> Shape | None:
    return None if region is None else tuple(min(n, 4 * _PROBE_PX) for n in region.shape)


def _sample(value: Any, shape: Shape | None, unknown: int = UNKNOWN[0]) -> Any:
    """A test image: a ramp, because some functions return early for constant images."""
    if not hasattr(value, "gives"):
        return value
    if shape is None:
        sample = sample_of(value.shape, value.dtype, unknown)
        return sample[()].item() if value.weak else sample[()]
    ramp = np.arange(int(np.prod(shape))).reshape(shape) % 101
    if value.dtype.kind == "f":
        return (ramp / 101).astype(value.dtype)  # some functions accept only floats from 0 to 1
    return (ramp % 2 if value.dtype.kind == "b" else ramp).astype(value.dtype)
