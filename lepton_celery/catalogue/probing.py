"""Shape and dtype of a local result, found by trying the function on a few pixels.

This also shows a wrong parameter when the graph is built, and not in a worker.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Shape
from lepton_celery.catalogue.geometry import Geometry
from lepton_celery.catalogue.results import DTypeRule
from lepton_celery.errors import LeptonError
from lepton_celery.grid import Region

_PROBE_PX = 6
"""Pixels along each axis of the result that is tried."""


class SourceRefuses(Exception):
    """The library function that an entry stands for raised an error on a few pixels; the message is the function's."""


class Probed(Protocol):
    """The part of an entry that probing needs."""

    @property
    def geometry(self) -> Geometry: ...

    @property
    def dtype(self) -> DTypeRule | None: ...

    @property
    def function(self) -> Callable[..., Array] | None: ...

    @property
    def own_functions(self) -> tuple[str, ...]: ...

    def complete(self, arguments: Arguments) -> dict[str, Any]: ...

    def evaluate(self, arguments: Arguments) -> Array: ...


def probe(entry: Probed, arguments: Arguments, images: Mapping[str, Lazy]) -> tuple[Shape, DType]:
    """Shape and dtype of the result; `images` are the arguments that are lazy images."""
    complete = entry.complete(arguments)
    shapes = [image.shape for image in images.values()]
    if not shapes:
        result = _tried(entry, {name: _sample(value, None) for name, value in arguments.items()})
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
        return shape, _tried(entry, sample).dtype


def _tried(entry: Probed, arguments: Arguments) -> Array:
    """The function's result.

    Raises:
        SourceRefuses: scikit-image, SciPy or NumPy raised an error. Errors of this package's own code stay as they are.
    """
    try:
        return entry.evaluate(arguments)
    except LeptonError:
        raise
    except Exception as error:
        if entry.function is None or (not entry.own_functions and _is_raised_outside(error)):
            raise SourceRefuses(str(error)) from error
        raise


def _is_raised_outside(error: BaseException) -> bool:
    """Whether the code that raised the error lies outside this package."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    package = __name__.partition(".")[0]
    return traceback is not None and not str(traceback.tb_frame.f_globals.get("__name__")).startswith(f"{package}.")


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
