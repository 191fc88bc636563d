"""Functions of the user's own, on blocks and on overlapping windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Where
from lepton_celery.catalogue.entries import Entry, Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

BLENDS = ("average", "max", "hann", "gaussian")
"""How overlapping windows are merged, besides an array of weights."""

_PAD = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "constant": "constant"}
"""SciPy's names of boundary modes, and NumPy's."""

# ------------------------------------------------------------------------------------------------ names of functions


def path_of(function: Callable[..., Any] | str) -> Callable[..., Any] | str:
    """`package.module:function`, by which workers find it; a lambda or local function stays what it is."""
    if isinstance(function, str):
        load(function)
        return function
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    path = f"{module}:{name}"
    importable = module not in ("", "__main__", None) and name.isidentifier()
    return path if importable and load(path) is function else function


@cache
def load(path: str) -> Callable[..., Any]:
    """The function at `package.module:function`; who calls this has seen to it that the path may be loaded.

    Raises:
        InputError: there is none.
    """
    module, _, name = path.partition(":")
    try:
        function: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"there is no function {path!r}: {error}; give package.module:function") from error
    if not callable(function):
        raise InputError(f"{path!r} is {type(function).__name__}, not a function")
    return function


def check_allowed(path: str, allowed: Sequence[str]) -> None:
    """Refuse a function that no pattern of the allow-list names.

    Raises:
        InputError: it is not allowed.
    """
    if not any(fnmatchcase(path, pattern) for pattern in allowed):
        listed = ", ".join(allowed) if allowed else "nothing"
        raise InputError(
            f"workers may not call {path!r}: allowed_functions has {listed}; "
            f"add {path!r} to it on the workers and where jobs are submitted"
        )


def called(function: Callable[..., Any] | str) -> Callable[..., Any]:
    return load(function) if isinstance(function, str) else function


# ------------------------------------------------------------------------------------------------ blocks


def map_block(
    images: Sequence[Array],
    function: Callable[..., Any] | str,
    parameters: Sequence[tuple[str, Any]],
    halo: Sequence[int],
    mode: str | None,
    where: Where | None = None,
) -> Array:
    """`function` of one block and its halo; where the block is at the image's edge, the halo is made by `mode`."""
    pads = [(0, 0)] * images[0].ndim
    if where is not None and mode in _PAD:
        edges = zip(halo, where.region.start, where.region.stop, where.shape, strict=True)
        pads = [(h * (start == 0), h * (stop == n)) for h, start, stop, n in edges]
        images = [np.pad(image, pads, mode=_PAD[mode]) for image in images]  # type: ignore[call-overload]
    result = np.asarray(called(function)(*images, **dict(parameters)))
    if result.shape != images[0].shape:
        raise InputError(
            f"{name_of(function)} gave shape {result.shape} for a block of shape {images[0].shape}; "
            "map_blocks wants functions that keep the shape"
        )
    return result[tuple(slice(before, n - after) for (before, after), n in zip(pads, result.shape, strict=True))]


def name_of(function: Callable[..., Any] | str) -> str:
    return function if isinstance(function, str) else getattr(function, "__qualname__", repr(function))


def _halo(arguments: Arguments) -> tuple[int, ...]:
    return tuple(arguments["halo"])


# ------------------------------------------------------------------------------------------------ windows


def window_starts(n: int, window: int, overlap: int) -> list[int]:
    """Where windows begin along one axis: every `window - overlap` pixels; the last ends with the image."""
    if n <= window:
        return [0]
    step = window - overlap
    return [*range(0, n - window, step), n - window]


@dataclass(frozen=True)
class Windows:
    """Pixels depend on all windows that cover them; the windows lie the same way whatever the blocks are."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        spatial = images[0][: len(arguments["window"])]
        return (*spatial, arguments["channels"]) if arguments["channels"] else spatial

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        start, stop = [], []
        lengths = zip(images[0], arguments["window"], arguments["overlap"], strict=False)
        for axis, (n, window, overlap) in enumerate(lengths):
            covering = [
                at
                for at in window_starts(n, window, overlap)
                if at < region.stop[axis] and at + window > region.start[axis]
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


def map_windows(
    image: Array,
    function: Callable[..., Any] | str,
    parameters: Sequence[tuple[str, Any]],
    window: Sequence[int],
    overlap: Sequence[int],
    blend: str | Array,
    channels: int,
    where: Where | None = None,
) -> Array:
    """`function` of every window that lies in the image given, merged where windows overlap.

    Windows are added up in raster order, whatever the block, so that every block gives a pixel the same sum.
    """
    spatial = len(window)
    origin = where.region.start[:spatial] if where is not None else (0,) * spatial
    whole = where.shape[:spatial] if where is not None else image.shape[:spatial]
    total: Array | None = None
    weight = np.zeros(image.shape[:spatial])
    for start, stop in _windows_in(origin, image.shape[:spatial], whole, window, overlap):
        at = tuple(slice(a - o, b - o) for a, b, o in zip(start, stop, origin, strict=True))
        found = _predicted(np.ascontiguousarray(image[at]), function, parameters, spatial, channels)
        if total is None:
            empty = -np.inf if isinstance(blend, str) and blend == "max" else 0.0
            total = np.full(image.shape[:spatial] + found.shape[spatial:], empty)
        if isinstance(blend, str) and blend == "max":
            np.maximum(total[at], found, out=total[at])
            continue
        weights = _weights(blend, tuple(b - a for a, b in zip(start, stop, strict=True)))
        total[at] += found * (weights[..., np.newaxis] if channels else weights)
        weight[at] += weights
    assert total is not None
    if isinstance(blend, str) and blend == "max":
        return total
    with np.errstate(invalid="ignore", divide="ignore"):  # pixels of windows that lie only partly here are cut off
        return total / (weight[..., np.newaxis] if channels else weight)


def _windows_in(
    origin: Sequence[int], shape: Sequence[int], whole: Sequence[int], window: Sequence[int], overlap: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Starts and stops of the windows that lie wholly in a part of the image, in raster order."""
    axes = []
    for first, length, n, size, shared in zip(origin, shape, whole, window, overlap, strict=True):
        starts = window_starts(n, size, shared)
        axes.append([(at, min(n, at + size)) for at in starts if at >= first and min(n, at + size) <= first + length])
    for spans in product(*axes):
        yield tuple(a for a, _ in spans), tuple(b for _, b in spans)


def _predicted(
    pixels: Array,
    function: Callable[..., Any] | str,
    parameters: Sequence[tuple[str, Any]],
    spatial: int,
    channels: int,
) -> Array:
    found = np.asarray(called(function)(pixels, **dict(parameters)))
    wanted = pixels.shape[:spatial] + ((channels,) if channels else ())
    if found.shape != wanted:
        raise InputError(
            f"{name_of(function)} gave shape {found.shape} for a window of shape {pixels.shape}; "
            f"map_overlap with channels={channels or None} wants {wanted}"
        )
    return found


def _weights(blend: str | Array, shape: tuple[int, ...]) -> Array:
    """Weight of each pixel of a window, above zero everywhere."""
    if not isinstance(blend, str):
        return blend[tuple(slice(n) for n in shape)]
    weights = np.ones(shape)
    for axis, n in enumerate(shape):
        at = (np.arange(n) + 0.5) / n
        if blend == "hann":
            one = np.sin(np.pi * at) ** 2
        elif blend == "gaussian":
            one = np.exp(-0.5 * ((at - 0.5) / 0.125) ** 2)
        else:
            continue
        weights = weights * one.reshape([-1 if other == axis else 1 for other in range(len(shape))])
    return weights


def entries() -> list[Entry]:
    """What `lepton.map_blocks` and `lepton.map_overlap` make; functions are named, never sent."""
    here = "lepton_celery.catalogue.own"
    return [
        Local(
            name="lepton.map_blocks",
            source=f"{here}.map_block",
            images=(),
            sequences=("images",),
            geometry=Stencil(_halo, "as given"),
            wants_where=True,
            cost_ns=50.0,
        ),
        Local(
            name="lepton.map_overlap",
            source=f"{here}.map_windows",
            geometry=Windows(),
            wants_where=True,
            dtype=lambda arguments: np.dtype(np.float64),
            cost_ns=200.0,
        ),
    ]
