"""NumPy's functions that rearrange pixels: permuted and flipped axes, padding, rolling, tiling and repetition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shape, Shapes, View, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local, resolve
from lepton_celery.catalogue.results import dtype_of
from lepton_celery.catalogue.shared.select import pairs_per_axis
from lepton_celery.catalogue.sizes import MAX_PICKED_PX
from lepton_celery.errors import InputError
from lepton_celery.grid import Region
from lepton_celery.limits import MAX_AXES

# ------------------------------------------------------------------------------------------------ turning


class Turned:
    """The image's axes, permuted and flipped.

    `arguments["axes"]` has the image's axis of each axis of the result, or None for a new axis of length 1. Axes of the
    image that are left out have length 1. `arguments["flips"]` has the axes of the image that are flipped.
    """

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return tuple(1 if axis is None else images[0][axis] for axis in arguments["axes"])

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        start, stop = [0] * len(images[0]), [1] * len(images[0])
        for result_axis, axis in enumerate(arguments["axes"]):
            if axis is not None:
                ends = region.start[result_axis], region.stop[result_axis]
                if axis in arguments["flips"]:
                    ends = images[0][axis] - ends[1], images[0][axis] - ends[0]
                start[axis], stop[axis] = ends
        return [Region(tuple(start), tuple(stop))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


@declare(Local("lepton.turn", geometry=Turned(), dtype=dtype_of("image"), cost_ns=1.5))
def turn(image: Array, axes: Sequence[int | None], flips: Sequence[int]) -> Array:
    """Permute and flip the image's axes as `Turned` describes."""
    remaining = [axis for axis in axes if axis is not None]
    dropped = tuple(axis for axis in range(image.ndim) if axis not in remaining)
    turned: Array = np.flip(image, tuple(flips)).transpose(*dropped, *remaining)[(0,) * len(dropped)]
    return turned[tuple(None if axis is None else slice(None) for axis in axes)]


def turned(image: Lazy, function: Callable[[Array], Array], build: Build) -> Lazy:
    """The node of a function that only permutes and flips axes, found from its effect on an image of two pixels per axis."""
    moved = [function(positions) for positions in np.indices([min(n, 2) for n in image.shape])]
    axes: list[int | None] = []
    flips = []
    for result_axis, n in enumerate(moved[0].shape):
        steps = [int(np.diff(positions, axis=result_axis).flat[0]) for positions in moved] if n == 2 else []
        axes.append(next((axis for axis, step in enumerate(steps) if step), None))
        flips += [axis for axis, step in enumerate(steps) if step < 0]
    if not axes:
        raise InputError(f"an image of shape {image.shape} would lose all its axes; keep at least one")
    if axes == list(range(image.ndim)) and not flips:
        return image
    return build("lepton.turn", image=image, axes=tuple(axes), flips=tuple(flips))


def _turning(name: str, image: str, **options: Any) -> Composite:
    """The entry of a NumPy function that only permutes and flips axes."""

    def expand(arguments: Arguments, build: Build) -> Lazy:
        rest = {key: value for key, value in arguments.items() if key != image}
        for key, value in rest.items():
            if isinstance(value, tuple | list) and len(value) > MAX_AXES:
                raise InputError(f"{key} has {len(value):,} items; an image has at most {MAX_AXES} axes")
        return turned(arguments[image], lambda small: resolve(f"numpy.{name}")(small, **rest), build)

    return Composite(f"numpy.{name}", images=(image,), dtype_kinds="biufe", expand=expand, gives="image", **options)


# ------------------------------------------------------------------------------------------------ picking

Rule = tuple[Any, ...]
"""The change along an axis: () for none, else a NumPy function and its arguments, such as `("pad", 2, 3, "edge")`."""
_BEFORE, _AFTER = -1, -2
"""Indices that mark the pixels that a constant pad adds before and after an axis."""


@lru_cache(maxsize=16)
def _picked(rule: Rule, n: int) -> Array:
    """The image index of each pixel along the result's axis: NumPy's function, applied to the indices of `n` pixels."""
    pixels = np.arange(n)
    if not rule:
        return pixels
    name, *rest = rule
    longer = {"pad": lambda: n + rest[0] + rest[1], "tile": lambda: n * rest[0], "repeat": lambda: n * max(rest[0])}
    if name in longer and (length := longer[name]()) > max(MAX_PICKED_PX, 4 * n):
        raise InputError(f"an axis of {n:,} pixels would have {length:,}; at most {MAX_PICKED_PX:,} are allowed here")
    if name == "pad":
        before, after, mode = rest
        values = {"constant_values": (_BEFORE, _AFTER)} if mode == "constant" else {}
        return np.pad(pixels, (before, after), mode=mode, **values)
    picked: Array = getattr(np, name)(pixels, *rest)
    return picked


def _axis_picks(region: Region, shape: Sequence[int], rules: Sequence[Rule]) -> list[Array]:
    ends = zip(region.start, region.stop, shape, rules, strict=True)
    return [_picked(rule, n)[start:stop] for start, stop, n, rule in ends]


@dataclass(frozen=True)
class Picked:
    """Along each axis, the result has pixels of the same image axis, picked by the axis's rule in `arguments["rules"]`."""

    scattered: bool = False
    """Neighbours may come from far apart, so the function reads pixels itself, and `reads` only gives the right size."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return tuple(_picked(rule, n).size for rule, n in zip(arguments["rules"], images[0], strict=True))

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        start, stop = [], []
        for picks, n in zip(_axis_picks(region, images[0], arguments["rules"]), images[0], strict=True):
            inside = picks[picks >= 0]
            first, last = (int(inside.min()), int(inside.max())) if inside.size else (0, 0)
            if self.scattered:
                first, last = 0, min(n, picks.size) - 1
            start.append(first)
            stop.append(last + 1)
        return [Region(tuple(start), tuple(stop))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


@declare(Local("lepton.pick", geometry=Picked(), wants_where=True, dtype=dtype_of("image"), cost_ns=3.0))
def pick(image: Array, rules: Sequence[Rule], fills: Sequence[Sequence[Any]], where: Where) -> Array:
    """The region `where.result` of the rearranged image; `fills` has a pair of pad values per axis."""
    assert where.result is not None
    picks = _axis_picks(where.result, where.shape, rules)
    if fills:
        return _padded(image, picks, fills)
    picked: Array = image[np.ix_(*(p - start for p, start in zip(picks, where.region.start, strict=True)))]
    return picked


def _padded(image: Array, picks: Sequence[Array], fills: Sequence[Sequence[Any]]) -> Array:
    """The image, all of which is used unless nothing is, between the pad values of each axis in turn."""
    ends = [(int((p == _BEFORE).sum()), p.size - int((p == _AFTER).sum())) for p in picks]
    result = np.empty([p.size for p in picks], image.dtype)
    if all(start < stop for start, stop in ends):
        result[tuple(slice(*pair) for pair in ends)] = image
    for axis, (pair, (start, stop)) in enumerate(zip(fills, ends, strict=True)):
        along = np.moveaxis(result, axis, 0)
        along[:start], along[stop:] = pair
    return result


@declare(
    Local(
        "lepton.pick_scattered",
        geometry=Picked(scattered=True),
        reads_itself=True,
        dtype=dtype_of("image"),
        cost_ns=3.0,
    )
)
def pick_scattered(image: View, rules: Sequence[Rule], where: Where) -> Array:
    """The region `where.region` of the rearranged image, read run by run."""
    result = np.empty(where.region.shape, image.dtype)
    picks = _axis_picks(where.region, image.shape, rules)
    for stretches in product(*(list(_stretches(p)) for p in picks)):
        first = tuple(int(p.min()) for _, p in stretches)
        pixels = image.read(Region(first, tuple(int(p.max()) + 1 for _, p in stretches)))
        result[tuple(to for to, _ in stretches)] = pixels[np.ix_(*(p - p.min() for _, p in stretches))]
    return result


def _stretches(picks: Array) -> Iterator[tuple[slice, Array]]:
    """Slices of the result's axis and the image indices of each: one slice, or one per run if runs are far apart."""
    cuts = [0, picks.size]
    if np.ptp(picks) >= 2 * picks.size:
        cuts[1:1] = (np.flatnonzero(np.abs(np.diff(picks)) > picks.size) + 1).tolist()
    for start, stop in pairwise(cuts):
        yield slice(start, stop), picks[start:stop]


_PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


@declare(Composite("numpy.pad", images=("array",), example={"pad_width": 2}, gives="image"))
def _expand_pad(arguments: Arguments, build: Build) -> Lazy:
    image, mode, width = arguments["array"], arguments["mode"], arguments["pad_width"]
    known = {"array", "pad_width", "mode", *({"constant_values"} if mode == "constant" else ())}
    if mode in ("reflect", "symmetric") and arguments.get("reflect_type", "even") == "even":
        known.add("reflect_type")
    if mode not in _PAD_MODES or set(arguments) - known:
        given = {key: value for key, value in arguments.items() if key not in ("array", "pad_width")}
        raise InputError(
            f"numpy.pad with {given}; give mode {', '.join(_PAD_MODES)}, and constant_values for constant only"
        )
    pairs = pairs_per_axis(width, image.ndim, "pad_width")
    if not all(isinstance(n, int) and n >= 0 for pair in pairs for n in pair):
        raise InputError(f"pad_width {width!r}; give whole numbers of at least 0")
    rules = tuple(("pad", *pair, mode) if any(pair) else () for pair in pairs)
    if mode == "wrap":
        return build("lepton.pick_scattered", image=image, rules=rules)
    fills: tuple[Any, ...] = ()
    if mode == "constant":
        values = arguments.get("constant_values", 0)
        fills = tuple(tuple(map(np.asarray, pair)) for pair in pairs_per_axis(values, image.ndim, "constant_values"))
        np.pad(np.zeros((1,) * image.ndim, image.dtype), 1, constant_values=values)  # raises if a value does not fit
    return build("lepton.pick", image=image, rules=rules, fills=fills)


@declare(Composite("numpy.roll", images=("a",), example={"shift": 3, "axis": 0}, gives="image"))
def _expand_roll(arguments: Arguments, build: Build) -> Lazy:
    image, axis = arguments["a"], arguments["axis"]
    if axis is None and image.ndim > 1:
        raise InputError("numpy.roll without axis rolls the flattened image, which is not supported here; give axis")
    shifts = [0] * image.ndim
    for shift, shifted_axis in np.broadcast(arguments["shift"], 0 if axis is None else axis):
        shifts[axis_of(shifted_axis, image.ndim)] += int(shift)
    rules = tuple(("roll", shift % n) if shift % n else () for shift, n in zip(shifts, image.shape, strict=True))
    return build("lepton.pick_scattered", image=image, rules=rules)


@declare(Composite("numpy.tile", images=("A",), example={"reps": 2}, gives="image"))
def _expand_tile(arguments: Arguments, build: Build) -> Lazy:
    image, reps = arguments["A"], [int(n) for n in np.atleast_1d(arguments["reps"])]
    if min(reps) < 1:
        raise InputError(f"numpy.tile with reps {arguments['reps']} leaves no pixel; give whole numbers of at least 1")
    added = tuple(range(len(reps) - image.ndim))
    image = build("numpy.expand_dims", a=image, axis=added) if added else image
    reps = [1] * (image.ndim - len(reps)) + reps
    return build("lepton.pick_scattered", image=image, rules=tuple(("tile", n) if n > 1 else () for n in reps))


@declare(Composite("numpy.repeat", images=("a",), example={"repeats": 2, "axis": 0}, gives="image"))
def _expand_repeat(arguments: Arguments, build: Build) -> Lazy:
    image, axis = arguments["a"], arguments["axis"]
    if axis is None and image.ndim > 1:
        raise InputError("numpy.repeat without axis flattens the image, which is not supported here; give axis")
    repeats = np.atleast_1d(arguments["repeats"])
    if repeats.min() < 1 and not repeats.sum():
        raise InputError(f"numpy.repeat with repeats {arguments['repeats']} leaves no pixel; give at least one above 0")
    rules: list[Rule] = [()] * image.ndim
    repeated = 0 if axis is None else axis_of(axis, image.ndim)
    rules[repeated] = ("repeat", tuple(repeats.tolist()))
    _picked(rules[repeated], image.shape[repeated])  # raises unless there is one number, or one per pixel
    return build("lepton.pick", image=image, rules=tuple(rules), fills=())


def axis_of(axis: Any, ndim: int) -> int:
    """The axis as a non-negative number; refused if the image does not have it."""
    if not -ndim <= axis < ndim:
        raise InputError(f"axis {axis} for an image of {ndim} axes; give one from {-ndim} to {ndim - 1}")
    return int(axis) % ndim


def _check_two_axes(arguments: Arguments) -> None:
    if arguments["m"].ndim < 2:
        raise InputError(f"an image of shape {arguments['m'].shape} has one axis; give one of at least two")


ENTRIES = (
    _turning("flip", "m"),
    _turning("fliplr", "m", check=_check_two_axes),
    _turning("flipud", "m"),
    _turning("rot90", "m", check=_check_two_axes),
    _turning("transpose", "a"),
    _turning("swapaxes", "a", example={"axis1": 0, "axis2": -1}),
    _turning("moveaxis", "a", example={"source": 0, "destination": -1}),
    _turning("squeeze", "a"),
    _turning("expand_dims", "a", example={"axis": -1}),
)
