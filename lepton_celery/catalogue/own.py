"""`lepton.map_blocks` and `lepton.map_overlap`: the user's own functions on blocks and on overlapping windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Shape, Shapes, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.results import always
from lepton_celery.catalogue.shared.functions import OwnFunction, callable_of, name_of
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

BLENDS = ("average", "max", "hann", "gaussian")
"""Ways of blending overlapping windows. An array of weights is allowed too."""

_PAD = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "constant": "constant"}
"""NumPy's names of SciPy's boundary modes."""

Parameters = Sequence[tuple[str, Any]]
"""Names and values of the other arguments of the user's function."""

# ------------------------------------------------------------------------------------------------ blocks


@declare(
    Local(
        "lepton.map_blocks",
        images=(),
        sequences=("images",),
        own_functions=("function",),
        geometry=Stencil(lambda arguments: tuple(arguments["halo"]), "as given"),
        wants_where=True,
        cost_ns=50.0,
    )
)
def map_block(
    images: Sequence[Array],
    function: OwnFunction,
    parameters: Parameters,
    halo: Sequence[int],
    mode: str | None,
    where: Where | None = None,
) -> Array:
    """Call `function` on a block and its halo, padded at the image's edges if there is a boundary `mode`."""
    pads = [(0, 0)] * images[0].ndim
    if where is not None and mode in _PAD:
        edges = zip(halo, where.region.start, where.region.stop, where.shape, strict=True)
        pads = [(h * (start == 0), h * (stop == n)) for h, start, stop, n in edges]
        images = [np.pad(image, pads, mode=_PAD[mode]) for image in images]  # type: ignore[call-overload]
    result = np.asarray(callable_of(function)(*images, **dict(parameters)))
    if result.shape != images[0].shape:
        raise InputError(
            f"{name_of(function)} gave shape {result.shape} for a block of shape {images[0].shape}; "
            "map_blocks needs functions that keep the shape"
        )
    return result[tuple(slice(before, n - after) for (before, after), n in zip(pads, result.shape, strict=True))]


# ------------------------------------------------------------------------------------------------ windows


def window_starts(n: int, window: int, overlap: int) -> list[int]:
    """The first pixel of each window along an axis: every `window - overlap` pixels; the last window ends at the edge."""
    if n <= window:
        return [0]
    step = window - overlap
    return [*range(0, n - window, step), n - window]


class Windows:
    """A pixel depends on all windows that cover it; the windows are the same for any blocks."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        spatial = images[0][: len(arguments["window"])]
        return (*spatial, arguments["channels"]) if arguments["channels"] else spatial

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        start, stop = [], []
        lengths = zip(images[0], arguments["window"], arguments["overlap"], strict=False)
        for axis, (n, window, overlap) in enumerate(lengths):
            covering = [
                first
                for first in window_starts(n, window, overlap)
                if first < region.stop[axis] and first + window > region.start[axis]
            ]
            start.append(covering[0])
            stop.append(min(n, covering[-1] + window))
        channels = images[0][len(start) :]
        return [Region((*start, *(0 for _ in channels)), (*stop, *channels))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        ndim = len(read[0].start)
        spatial = min(ndim, region.ndim)
        inside = [
            slice(a - o, b - o)
            for a, b, o in zip(region.start[:spatial], region.stop[:spatial], read[0].start[:spatial], strict=True)
        ]
        if result.ndim > len(inside):
            inside.append(slice(region.start[-1], region.stop[-1]))
        return result[tuple(inside[: result.ndim])]


@declare(
    Local(
        "lepton.map_overlap",
        own_functions=("function",),
        geometry=Windows(),
        wants_where=True,
        dtype=always(np.float64),
        cost_ns=200.0,
    )
)
def map_windows(
    image: Array,
    function: OwnFunction,
    parameters: Parameters,
    window: Sequence[int],
    overlap: Sequence[int],
    blend: str | Array,
    channels: int,
    where: Where | None = None,
) -> Array:
    """Call `function` on every window that lies completely in `image`, and blend the results where windows overlap.

    Every block adds up windows in raster order, so a pixel has the same sum in every block.
    """
    spatial = len(window)
    origin = where.region.start[:spatial] if where is not None else (0,) * spatial
    whole = where.shape[:spatial] if where is not None else image.shape[:spatial]
    greatest = isinstance(blend, str) and blend == "max"
    total: Array | None = None
    weight = np.zeros(image.shape[:spatial])
    for start, stop in _windows_in(origin, image.shape[:spatial], whole, window, overlap):
        covered = tuple(slice(a - o, b - o) for a, b, o in zip(start, stop, origin, strict=True))
        values = _predicted(np.ascontiguousarray(image[covered]), function, parameters, spatial, channels)
        if total is None:
            total = np.full(image.shape[:spatial] + values.shape[spatial:], -np.inf if greatest else 0.0)
        if greatest:
            np.maximum(total[covered], values, out=total[covered])
            continue
        weights = _weights(blend, tuple(b - a for a, b in zip(start, stop, strict=True)))
        total[covered] += values * (weights[..., np.newaxis] if channels else weights)
        weight[covered] += weights
    assert total is not None
    if greatest:
        return total
    with np.errstate(invalid="ignore", divide="ignore"):  # the weight is 0 only at pixels that are trimmed
        return total / (weight[..., np.newaxis] if channels else weight)


def _windows_in(
    origin: Sequence[int], shape: Sequence[int], whole: Sequence[int], window: Sequence[int], overlap: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Starts and stops of the windows that lie completely in the part of the image at `origin`, in raster order."""
    axes = []
    for first, length, n, size, shared in zip(origin, shape, whole, window, overlap, strict=True):
        starts = window_starts(n, size, shared)
        ends = [(start, min(n, start + size)) for start in starts]
        axes.append([(start, stop) for start, stop in ends if start >= first and stop <= first + length])
    for spans in product(*axes):
        yield tuple(a for a, _ in spans), tuple(b for _, b in spans)


def _predicted(pixels: Array, function: OwnFunction, parameters: Parameters, spatial: int, channels: int) -> Array:
    """The function's values for one window, checked for their shape."""
    values = np.asarray(callable_of(function)(pixels, **dict(parameters)))
    wanted = pixels.shape[:spatial] + ((channels,) if channels else ())
    if values.shape != wanted:
        raise InputError(
            f"{name_of(function)} gave shape {values.shape} for a window of shape {pixels.shape}; "
            f"map_overlap with channels={channels or None} needs {wanted}"
        )
    return values


def _weights(blend: str | Array, shape: tuple[int, ...]) -> Array:
    """The weight of each pixel of a window, greater than 0."""
    if not isinstance(blend, str):
        return blend[tuple(slice(n) for n in shape)]
    weights = np.ones(shape)
    for axis, n in enumerate(shape):
        position = (np.arange(n) + 0.5) / n
        if blend == "hann":
            along = np.sin(np.pi * position) ** 2
        elif blend == "gaussian":
            along = np.exp(-0.5 * ((position - 0.5) / 0.125) ** 2)
        else:
            continue
        weights = weights * along.reshape([-1 if other == axis else 1 for other in range(len(shape))])
    return weights
