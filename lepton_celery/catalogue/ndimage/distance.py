"""`scipy.ndimage.distance_transform_edt`: the distance of each pixel from the background, and the nearest such pixel.

SciPy looks for the nearest pixel along the first axis, then among the results of a line along the second axis, and so on. So
do we, one axis after the other in blocks as long as the image, with SciPy's arithmetic: of equally near pixels we choose the
same one. An image between two axes has, for each pixel, the raster index of the pixel found so far, or -1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Shape, Where
from lepton_celery.catalogue.declare import declare, leave_out
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.results import always
from lepton_celery.catalogue.shared.axes import Lines, strips
from lepton_celery.catalogue.shared.halos import per_axis
from lepton_celery.errors import InputError
from lepton_celery.grid import Region
from lepton_celery.kernels import Kernel

_TINY, _HUGE = 1e-75, 1e75
"""Lengths of a pixel between which no product of three distances underflows or overflows."""


def _index_dtype(shape: Shape) -> DType:
    """The dtype of raster indices of an image."""
    return np.dtype(np.int32 if np.prod(shape, dtype=np.float64) < 1 << 31 else np.int64)


def _is_contiguous(arguments: Arguments) -> bool:
    image = arguments["image"]
    return bool(image.size and image.flags.c_contiguous and (arguments["axis"] or image.dtype == bool))


def _trials() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(31)
    for shape, axis in (((30, 40), 0), ((30, 40), 1), ((6, 7, 8), 1), ((6, 7, 8), 2)):
        whole = tuple(n + 5 for n in shape)
        start = tuple(0 if other == axis else 3 for other in range(len(shape)))
        whole = (*whole[:axis], shape[axis], *whole[axis + 1 :])
        where = Where(Region(start, tuple(a + n for a, n in zip(start, shape, strict=True))), whole)
        for share in (0.0, 0.02, 0.5):
            for sampling in ((1.0, 1.0, 1.0), (0.3, 0.7, 1.1)):
                image = rng.random(shape) >= share
                if axis:
                    indices = rng.integers(0, int(np.prod(whole[:axis])), shape, np.int32)
                    image = np.where(image, np.int32(-1), indices)
                yield {"image": image, "axis": axis, "sampling": sampling[: len(shape)], "where": where}


@declare(
    Local(
        "lepton.nearest_along",
        geometry=Lines(),
        own_stage=strips,
        wants_where=True,
        dtype=lambda arguments: _index_dtype(arguments["image"].shape),
        kernel=Kernel("lepton_celery.kernels.distance.nearest_along", _is_contiguous, _trials),
        cost_ns=15.0,
    )
)
def nearest_along(image: Array, axis: int, sampling: Sequence[float], where: Where) -> Array:
    """The raster index, along the axes up to `axis`, of the nearest pixel of background on them; -1 if there is none.

    For axis 0 the image is False on the background; for later axes it is the result for the axis before.
    """
    length, dtype = image.shape[axis], _index_dtype(where.shape)
    lines = np.moveaxis(image, axis, -1)
    lines = lines.reshape(-1, length)
    if axis == 0:
        found = np.where(lines, -1, np.arange(length))
        squares = np.zeros(lines.shape)
    else:
        found = lines.astype(np.int64)
        squares = np.moveaxis(_squares(image, axis, sampling, where), axis, -1).reshape(-1, length)
    stack, count = _envelopes(squares, found >= 0, sampling[axis])
    pixel = _walked(squares, sampling[axis], stack, count)
    rows = np.arange(len(found))[:, np.newaxis]
    before = 0 if axis == 0 else found[rows, pixel]
    nearest = np.where(count[:, np.newaxis] > 0, before * length + pixel, -1).astype(dtype)
    moved = np.moveaxis(image, axis, -1).shape
    return np.ascontiguousarray(np.moveaxis(nearest.reshape(moved), -1, axis))


def _squares(found: Array, axes: int, sampling: Sequence[float], where: Where) -> Array:
    """The squared distance, along the first `axes` axes, of each pixel from the one with this raster index on them."""
    offsets = np.unravel_index(np.maximum(found, 0), where.shape[:axes])
    total = np.zeros(found.shape)
    for axis, along in enumerate(offsets):
        here = np.arange(where.region.start[axis], where.region.stop[axis])
        here = here.reshape([-1 if other == axis else 1 for other in range(found.ndim)])
        there = np.where(found < 0, -(axis == 0), along)  # SciPy's result without background: index (-1, 0, 0, …)
        total += np.square((there - here) * sampling[axis])
    return total


def _envelopes(squares: Array, has_nearest: Array, scale: float) -> tuple[Array, Array]:
    """The pixels of each line whose parabolas form the lower envelope, and their number."""
    lines, length = squares.shape
    stack = np.zeros((lines, length), np.int64)
    top = np.full(lines, -1)
    for pixel in range(length):
        new = np.flatnonzero(has_nearest[:, pixel])
        left = new[top[new] >= 1]
        while left.size:
            last, other = stack[left, top[left]], stack[left, top[left] - 1]
            a, b = (last - other) * scale, (pixel - last) * scale
            c = a + b
            hides = c * squares[left, last] - b * squares[left, other] - a * squares[left, pixel] - a * b * c > 0
            left = left[hides]
            top[left] -= 1
            left = left[top[left] >= 1]
        top[new] += 1
        stack[new, top[new]] = pixel
    return stack, top + 1


def _walked(squares: Array, scale: float, stack: Array, count: Array) -> Array:
    """The pixel of the envelope that is nearest to each pixel of a line."""
    lines, length = squares.shape
    nearest = np.zeros((lines, length), np.int64)
    at = np.zeros(lines, np.int64)

    def distance(rows: Array, member: Array, pixel: int) -> Array:
        there = stack[rows, member]
        total: Array = squares[rows, there] + np.square((there - pixel) * scale)
        return total

    for pixel in range(length):
        left = np.flatnonzero(at < count - 1)
        while left.size:
            left = left[distance(left, at[left], pixel) > distance(left, at[left] + 1, pixel)]
            at[left] += 1
            left = left[at[left] < count[left] - 1]
        nearest[:, pixel] = stack[np.arange(lines), at]
    return nearest


def _distance_trials() -> Iterator[dict[str, Any]]:
    for trial in _trials():
        if trial["axis"]:
            whole = trial["where"].shape
            nearest = np.where(trial["image"] < 0, trial["image"], trial["image"] * (whole[-1] - 1) % np.prod(whole))
            yield {"nearest": nearest.astype(np.int32), "sampling": trial["sampling"], "where": trial["where"]}


@declare(
    Local(
        "lepton.distance_to",
        images=("nearest",),
        wants_where=True,
        dtype=always(np.float64),
        kernel=Kernel(
            "lepton_celery.kernels.distance.distance_to",
            lambda arguments: arguments["nearest"].size > 0 and arguments["nearest"].flags.c_contiguous,
            _distance_trials,
        ),
        cost_ns=10.0,
    )
)
def distance_to(nearest: Array, sampling: Sequence[float], where: Where) -> Array:
    """The distance of each pixel from the one with this raster index."""
    distances: Array = np.sqrt(_squares(nearest, nearest.ndim, sampling, where))
    return distances


@declare(Local("lepton.coordinate", images=("nearest",), wants_where=True, dtype=always(np.int32), cost_ns=5.0))
def coordinate(nearest: Array, axis: int, where: Where) -> Array:
    """The position along an axis of the pixel with this raster index; SciPy's (-1, 0, 0, …) if there is no background."""
    along = np.unravel_index(np.maximum(nearest, 0), where.shape)[axis]
    return np.where(nearest < 0, -(axis == 0), along).astype(np.int32)


def _lengths(arguments: Arguments) -> list[float]:
    """The length of a pixel along each axis."""
    sampling = arguments["sampling"]
    return per_axis(1 if sampling is None else sampling, len(arguments["input"].shape), None, "sampling")


def _results(arguments: Arguments) -> int:
    return 2 if arguments["return_distances"] and arguments["return_indices"] else 0


def _check(arguments: Arguments) -> None:
    leave_out(distances="the distances are returned", indices="the indices are returned")(arguments)
    if not (arguments["return_distances"] or arguments["return_indices"]):
        raise InputError("return_distances=False leaves nothing to return; leave it out, or add return_indices=True")
    if not all(_TINY < length < _HUGE for length in _lengths(arguments)):
        raise InputError(f"sampling={arguments['sampling']!r}; give lengths of a pixel from {_TINY} to {_HUGE}")


@declare(Composite("ndimage.distance_transform_edt", images=("input",), check=_check, returns=_results, gives="image"))
def _expand(arguments: Arguments, build: Build) -> Lazy:
    image, sampling = arguments["input"], tuple(_lengths(arguments))
    nearest = image if image.dtype == bool else build("numpy.not_equal", x1=image, x2=0)
    for axis in range(image.ndim):
        nearest = build("lepton.nearest_along", image=nearest, axis=axis, sampling=sampling)
    wants_indices = arguments.get("result_index", int(not arguments["return_distances"]))
    if not wants_indices:
        return build("lepton.distance_to", nearest=nearest, sampling=sampling)
    along = [build("lepton.coordinate", nearest=nearest, axis=axis) for axis in range(image.ndim)]
    return build("numpy.stack", **{f"arrays.{axis}": position for axis, position in enumerate(along)})
