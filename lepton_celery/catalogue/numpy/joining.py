"""NumPy's functions that join images along a new axis (`stack`) or an existing one (`concatenate`, `vstack`, …)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Shape, Shapes
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.numpy.rearrange import axis_of, turned
from lepton_celery.errors import InputError
from lepton_celery.grid import Region


class Stack:
    """Images of one shape, joined along the new axis `arguments["axis"]`."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        first = images[0]
        if any(shape != first for shape in images):
            raise InputError(
                f"images of shapes {' and '.join(map(str, images))} do not match; stack images of one shape"
            )
        axis = self._axis(images, arguments)
        return (*first[:axis], len(images), *first[axis:])

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        axis = self._axis(images, arguments)
        start, stop = (ends[:axis] + ends[axis + 1 :] for ends in (region.start, region.stop))
        return [Region(start, stop)] * len(images)

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        # the result is larger than the region only along the new axis
        ends = zip(region.start, region.stop, result.shape, strict=True)
        return result[tuple(slice(None) if n == stop - start else slice(start, stop) for start, stop, n in ends)]

    def _axis(self, images: Shapes, arguments: Arguments) -> int:
        axis, ndim = int(arguments["axis"]), len(images[0]) + 1
        if not -ndim <= axis < ndim:
            raise InputError(f"axis={axis} for images of {ndim - 1} axes; give one from {-ndim} to {ndim - 1}")
        return axis % ndim


def _images_of(name: str, sequence: str, arguments: Arguments) -> list[Any]:
    """The members of a sequence of images; refused unless there are images and nothing else."""
    members = [value for key, value in arguments.items() if key.startswith(f"{sequence}.")]
    if not members or not all(hasattr(member, "shape") for member in members):
        raise InputError(f"numpy.{name} needs a sequence of images; give arrays, lepton.open(…) or lazy results")
    return members


def _check_stack(arguments: Arguments) -> None:
    _images_of("stack", "arrays", arguments)


class Joined:
    """Images joined along `arguments["axis"]`, along which they have `arguments["lengths"]` pixels."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        axis = arguments["axis"]
        return (*images[0][:axis], sum(arguments["lengths"]), *images[0][axis + 1 :])

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        axis = arguments["axis"]
        return [
            Region(
                (*region.start[:axis], start, *region.start[axis + 1 :]),
                (*region.stop[:axis], stop, *region.stop[axis + 1 :]),
            )
            for start, stop in _stretches(region.start[axis], region.stop[axis], arguments["lengths"])
        ]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def _stretches(start: int, stop: int, lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The interval of each image that falls into [start, stop) of the joined image; it may be empty."""
    for n in lengths:
        yield max(start, 0), max(min(stop, n), max(start, 0))
        start, stop = start - n, stop - n


def _joined_dtype(arguments: Arguments) -> DType:
    return np.result_type(*(value.dtype for name, value in arguments.items() if name.startswith("arrays.")))


@declare(Local("lepton.join", images=(), sequences=("arrays",), geometry=Joined(), dtype=_joined_dtype, cost_ns=1.0))
def join(arrays: Sequence[Array], axis: int, lengths: Sequence[int]) -> Array:
    """Concatenate regions of the images, of which some may be empty."""
    return np.concatenate(arrays, axis=axis)


def _joined(images: Sequence[Lazy], axis: int, build: Build) -> Lazy:
    """The node of images joined along an axis."""
    axis = axis_of(axis, images[0].ndim)
    across = {(*image.shape[:axis], *image.shape[axis + 1 :]) for image in images}
    if len(across) > 1 or len({image.ndim for image in images}) > 1:
        shapes = " and ".join(str(image.shape) for image in images)
        raise InputError(f"images of shapes {shapes} do not fit together; only axis {axis} may differ")
    lengths = tuple(image.shape[axis] for image in images)
    members = {f"arrays.{number}": image for number, image in enumerate(images)}
    return build("lepton.join", **members, axis=axis, lengths=lengths)


def _joining(
    name: str,
    sequence: str,
    join_axis: Callable[[Arguments, int], int],
    with_axes: Callable[[Array], Array],
) -> Composite:
    """The entry of a NumPy function that joins images; `with_axes` adds the axes that an image lacks."""

    def expand(arguments: Arguments, build: Build) -> Lazy:
        images = _images_of(name, sequence, arguments)
        if arguments.get("dtype") is not None or arguments.get("casting", "same_kind") != "same_kind":
            raise InputError(f"numpy.{name}: dtype and casting are not supported here; use .astype on the result")
        images = [turned(image, with_axes, build) for image in images]
        return _joined(images, join_axis(arguments, images[0].ndim), build)

    return Composite(f"numpy.{name}", images=(), sequences=(sequence,), expand=expand, gives="image")


def _as_columns(image: Array) -> Array:
    return image[:, np.newaxis] if image.ndim == 1 else image


ENTRIES = (
    Local("numpy.stack", images=(), sequences=("arrays",), geometry=Stack(), check=_check_stack, cost_ns=1.0),
    _joining("concatenate", "arrays", lambda arguments, ndim: int(arguments["axis"]), np.asarray),
    _joining("vstack", "tup", lambda arguments, ndim: 0, np.atleast_2d),
    _joining("hstack", "tup", lambda arguments, ndim: 0 if ndim == 1 else 1, np.atleast_1d),
    _joining("dstack", "tup", lambda arguments, ndim: 2, np.atleast_3d),
    _joining("column_stack", "tup", lambda arguments, ndim: 1, _as_columns),
)
