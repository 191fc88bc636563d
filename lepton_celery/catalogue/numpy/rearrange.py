"""NumPy's functions that put pixels in other places and change none: turned, cropped, padded, rolled, repeated, joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product
from numbers import Integral
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, View, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, resolve
from lepton_celery.catalogue.geometry import Geometry
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

# ------------------------------------------------------------------------------------------------ turning


@dataclass(frozen=True)
class Turned:
    """Axes in another order and direction: `arguments["axes"]` has the image's axis for each axis of the result, None for
    one of length 1 that is its own; `arguments["flips"]` the image's axes that run backwards. The image's axes that are in
    no place of the result have length 1."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return tuple(1 if axis is None else images[0][axis] for axis in arguments["axes"])

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        start, stop = [0] * len(images[0]), [1] * len(images[0])
        for at, axis in enumerate(arguments["axes"]):
            if axis is not None:
                ends = region.start[at], region.stop[at]
                if axis in arguments["flips"]:
                    ends = images[0][axis] - ends[1], images[0][axis] - ends[0]
                start[axis], stop[axis] = ends
        return [Region(tuple(start), tuple(stop))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def turn(image: Array, axes: Sequence[int | None], flips: Sequence[int]) -> Array:
    """The image with its axes as `Turned` has them."""
    kept = [axis for axis in axes if axis is not None]
    gone = tuple(axis for axis in range(image.ndim) if axis not in kept)
    turned: Array = np.flip(image, tuple(flips)).transpose(*gone, *kept)[(0,) * len(gone)]
    return turned[tuple(None if axis is None else slice(None) for axis in axes)]


def turned(image: Any, function: Callable[[Array], Array], build: Build) -> Any:
    """The node of a function that only turns axes, found by what it does to an image of two pixels per axis."""
    places = [function(places) for places in np.indices([min(n, 2) for n in image.shape])]
    axes: list[int | None] = []
    flips = []
    for at, n in enumerate(places[0].shape):
        steps = [int(np.diff(place, axis=at).flat[0]) for place in places] if n == 2 else []
        axes.append(next((axis for axis, step in enumerate(steps) if step), None))
        flips += [axis for axis, step in enumerate(steps) if step < 0]
    if not axes:
        raise InputError(f"an image of shape {image.shape} would lose all its axes; leave it one")
    if axes == list(range(image.ndim)) and not flips:
        return image
    return build("lepton.turn", image=image, axes=tuple(axes), flips=tuple(flips))


def _turning(name: str, image: str, **options: Any) -> Composite:
    """The entry of a function of NumPy that only turns axes."""
    source = f"numpy.{name}"

    def expand(arguments: Arguments, build: Build) -> Any:
        rest = {key: value for key, value in arguments.items() if key != image}
        return turned(arguments[image], lambda small: resolve(source)(small, **rest), build)

    return Composite(name=source, source=source, images=(image,), expand=expand, gives="image", **options)


# ------------------------------------------------------------------------------------------------ picking

Rule = tuple[Any, ...]
"""What becomes of an axis: () for nothing, else a function of NumPy and its arguments: `("pad", 2, 3, "edge")`."""
_BEFORE, _BEHIND = -1, -2


@lru_cache(maxsize=16)
def _picked(rule: Rule, n: int) -> Array:
    """The pixel of an axis of `n` pixels that each pixel of the result is, from NumPy itself."""
    places = np.arange(n)
    if not rule:
        return places
    name, *rest = rule
    if name == "pad":
        before, behind, mode = rest
        values = {"constant_values": (_BEFORE, _BEHIND)} if mode == "constant" else {}
        return np.pad(places, (before, behind), mode=mode, **values)
    found: Array = getattr(np, name)(places, *rest)
    return found


def _axis_picks(region: Region, shape: Sequence[int], rules: Sequence[Rule]) -> list[Array]:
    ends = zip(region.start, region.stop, shape, rules, strict=True)
    return [_picked(rule, n)[start:stop] for start, stop, n, rule in ends]


@dataclass(frozen=True)
class Picked:
    """Each axis by itself has pixels of the image's axis in another order, as `arguments["rules"]` say."""

    scattered: bool = False
    """Pixels may lie far apart, for a function that reads for itself; the region is one of as many pixels."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return tuple(_picked(rule, n).size for rule, n in zip(arguments["rules"], images[0], strict=True))

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
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


def pick(image: Array, rules: Sequence[Rule], fills: Sequence[Sequence[Any]], where: Where) -> Array:
    """`where.result` of the image with pixels picked by the rules; `fills` has a pair of values per padded axis."""
    assert where.result is not None
    picks = _axis_picks(where.result, where.shape, rules)
    local = [np.maximum(p - start, 0) for p, start in zip(picks, where.region.start, strict=True)]
    result = image[np.ix_(*local)]
    for axis, pair in enumerate(fills):
        for mark, value in zip((_BEFORE, _BEHIND), pair, strict=True):
            place = np.flatnonzero(picks[axis] == mark)
            result[(slice(None),) * axis + (place,)] = value
    return result


def pick_pieces(image: View, rules: Sequence[Rule], where: Where) -> Array:
    """`where.region` of the image with pixels picked by the rules, read piece by piece."""
    result = np.empty(where.region.shape, image.dtype)
    picks = _axis_picks(where.region, image.shape, rules)
    for pieces in product(*(list(_pieces(p)) for p in picks)):
        read = image.read(Region(tuple(int(p.min()) for _, p in pieces), tuple(int(p.max()) + 1 for _, p in pieces)))
        result[tuple(to for to, _ in pieces)] = read[np.ix_(*(p - p.min() for _, p in pieces))]
    return result


def _pieces(picks: Array) -> Iterator[tuple[slice, Array]]:
    """Where to put which pixels of an axis: all of them at a time, or stretches of neighbours where they lie far apart."""
    cuts = [0, picks.size]
    if np.ptp(picks) >= 2 * picks.size:
        cuts[1:1] = (np.flatnonzero(np.abs(np.diff(picks)) > picks.size) + 1).tolist()
    for start, stop in pairwise(cuts):
        yield slice(start, stop), picks[start:stop]


def _pairs(value: Any, ndim: int, name: str) -> list[tuple[Any, Any]]:
    """A pair per axis, from all the forms that NumPy takes."""
    try:
        return [(before, behind) for before, behind in np.broadcast_to(np.asarray(value), (ndim, 2)).tolist()]
    except ValueError:
        raise InputError(
            f"{name} {value!r} for an image of {ndim} axes; give a number, a pair, or a pair per axis"
        ) from None


_PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


def _expand_pad(arguments: Arguments, build: Build) -> Any:
    image, mode, width = arguments["array"], arguments["mode"], arguments["pad_width"]
    known = {"array", "pad_width", "mode", *({"constant_values"} if mode == "constant" else ())}
    if mode in ("reflect", "symmetric") and arguments.get("reflect_type", "even") == "even":
        known.add("reflect_type")
    if mode not in _PAD_MODES or set(arguments) - known:
        given = {key: value for key, value in arguments.items() if key not in ("array", "pad_width")}
        raise InputError(
            f"numpy.pad with {given}; give mode {', '.join(_PAD_MODES)}, and constant_values for constant only"
        )
    pairs = _pairs(width, image.ndim, "pad_width")
    if not all(isinstance(n, int) and n >= 0 for pair in pairs for n in pair):
        raise InputError(f"pad_width {width!r}; give whole numbers of at least 0")
    rules = tuple(("pad", *pair, mode) if any(pair) else () for pair in pairs)
    if mode == "wrap":
        return build("lepton.pick_pieces", image=image, rules=rules)
    fills: tuple[Any, ...] = ()
    if mode == "constant":
        values = arguments.get("constant_values", 0)
        fills = tuple(tuple(map(np.asarray, pair)) for pair in _pairs(values, image.ndim, "constant_values"))
        np.pad(np.zeros((1,) * image.ndim, image.dtype), 1, constant_values=values)  # raises where it cannot hold them
    return build("lepton.pick", image=image, rules=rules, fills=fills)


def padded(image: Any, width: int, mode: str, value: float, build: Build) -> Any:
    """The node of an image with `width` pixels put around it: `mode` is `edge`, or `constant` with that value."""
    values = {"constant_values": value} if mode == "constant" else {}
    return build("numpy.pad", array=image, pad_width=width, mode=mode, **values)


def _expand_roll(arguments: Arguments, build: Build) -> Any:
    image, axis = arguments["a"], arguments["axis"]
    if axis is None and image.ndim > 1:
        raise InputError(
            "numpy.roll without an axis rolls the flattened image, whose rows blocks do not follow; give axis"
        )
    shifts = [0] * image.ndim
    for shift, at in np.broadcast(arguments["shift"], 0 if axis is None else axis):
        shifts[_axis(at, image.ndim)] += int(shift)
    rules = tuple(("roll", shift % n) if shift % n else () for shift, n in zip(shifts, image.shape, strict=True))
    return build("lepton.pick_pieces", image=image, rules=rules)


def _expand_tile(arguments: Arguments, build: Build) -> Any:
    image, reps = arguments["A"], [int(n) for n in np.atleast_1d(arguments["reps"])]
    if min(reps) < 1:
        raise InputError(f"numpy.tile with reps {arguments['reps']} leaves no pixel; give whole numbers of at least 1")
    added = tuple(range(len(reps) - image.ndim))
    image = build("numpy.expand_dims", a=image, axis=added) if added else image
    reps = [1] * (image.ndim - len(reps)) + reps
    return build("lepton.pick_pieces", image=image, rules=tuple(("tile", n) if n > 1 else () for n in reps))


def _expand_repeat(arguments: Arguments, build: Build) -> Any:
    image, axis = arguments["a"], arguments["axis"]
    if axis is None and image.ndim > 1:
        raise InputError("numpy.repeat without an axis flattens the image, whose rows blocks do not follow; give axis")
    repeats = np.atleast_1d(arguments["repeats"])
    if repeats.min() < 1 and not repeats.sum():
        raise InputError(f"numpy.repeat with repeats {arguments['repeats']} leaves no pixel; give at least one above 0")
    rules: list[Rule] = [()] * image.ndim
    at = 0 if axis is None else _axis(axis, image.ndim)
    rules[at] = ("repeat", tuple(repeats.tolist()))
    _picked(rules[at], image.shape[at])  # raises where they are not as many as pixels
    return build("lepton.pick", image=image, rules=tuple(rules), fills=())


def _axis(axis: Any, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise InputError(f"axis {axis} for an image of {ndim} axes; give one from {-ndim} to {ndim - 1}")
    return int(axis) % ndim


def _expand_crop(arguments: Arguments, build: Build) -> Any:
    image, width = arguments["ar"], arguments["crop_width"]
    pairs = _pairs(width, image.ndim, "crop_width")
    index = []
    for (before, behind), n in zip(pairs, image.shape, strict=True):
        whole = isinstance(before, Integral) and isinstance(behind, Integral)
        if not whole or before < 0 or behind < 0 or before + behind >= n:
            raise InputError(
                f"crop_width {width!r} for an image of shape {image.shape}; give whole numbers that leave pixels"
            )
        index.append((before, n - behind, 1))
    return build("lepton.select", image=image, index=tuple(index))


# ------------------------------------------------------------------------------------------------ joining


@dataclass(frozen=True)
class Joined:
    """Images one behind the other along `arguments["axis"]`, of which they have `arguments["lengths"]` pixels."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        axis = arguments["axis"]
        return (*images[0][:axis], sum(arguments["lengths"]), *images[0][axis + 1 :])

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        axis = arguments["axis"]
        return [
            Region(
                (*region.start[:axis], start, *region.start[axis + 1 :]),
                (*region.stop[:axis], stop, *region.stop[axis + 1 :]),
            )
            for start, stop in _joined_ends(region.start[axis], region.stop[axis], arguments["lengths"])
        ]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def _joined_ends(start: int, stop: int, lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The stretch of each image that lies in `start`..`stop` of all of them; empty where there is none."""
    for n in lengths:
        yield max(start, 0), max(min(stop, n), max(start, 0))
        start, stop = start - n, stop - n


def join(arrays: Sequence[Array], axis: int, lengths: Sequence[int]) -> Array:
    """Parts of the images, some of them empty, one behind the other."""
    return np.concatenate(arrays, axis=axis)


def _joined_dtype(arguments: Arguments) -> np.dtype[Any]:
    return np.result_type(*(value.dtype for name, value in arguments.items() if name.startswith("arrays.")))


def joined(images: Sequence[Any], axis: int, build: Build) -> Any:
    """The node of images one behind the other along an axis."""
    axis = _axis(axis, images[0].ndim)
    across = {(*image.shape[:axis], *image.shape[axis + 1 :]) for image in images}
    if len(across) > 1 or len({image.ndim for image in images}) > 1:
        shapes = " and ".join(str(image.shape) for image in images)
        raise InputError(f"images of shapes {shapes} do not fit together; only axis {axis} may differ")
    lengths = tuple(image.shape[axis] for image in images)
    members = {f"arrays.{at}": image for at, image in enumerate(images)}
    return build("lepton.join", **members, axis=axis, lengths=lengths)


def _joining(name: str, sequence: str, axis_of: Callable[[Arguments, int], int], least: Any) -> Composite:
    """The entry of a function of NumPy that joins images, each first given the axes that the function `least` gives it."""

    def expand(arguments: Arguments, build: Build) -> Any:
        images = [value for key, value in arguments.items() if key.startswith(f"{sequence}.")]
        if not images or not all(hasattr(image, "shape") for image in images):
            raise InputError(f"numpy.{name} wants a sequence of images; give lepton.open(…) or results of functions")
        if arguments.get("dtype") is not None or arguments.get("casting", "same_kind") != "same_kind":
            raise InputError(f"numpy.{name}: dtype and casting are not supported here; use .astype on the result")
        images = [turned(image, least, build) for image in images]
        return joined(images, axis_of(arguments, images[0].ndim), build)

    source = f"numpy.{name}"
    return Composite(name=source, source=source, images=(), sequences=(sequence,), expand=expand, gives="image")


def _as_columns(image: Array) -> Array:
    return image[:, np.newaxis] if image.ndim == 1 else image


# ------------------------------------------------------------------------------------------------ entries


def _composite(name: str, source: str, image: str, expand: Any, **example: Any) -> Composite:
    return Composite(name=name, source=source, images=(image,), example=example, expand=expand, gives="image")


def _part(name: str, geometry: Geometry, **options: Any) -> Local:
    options.setdefault("dtype", lambda arguments: arguments["image"].dtype)
    source = f"lepton_celery.catalogue.numpy.rearrange.{name}"
    return Local(name=f"lepton.{name}", source=source, geometry=geometry, **options)


def _at_least_two_axes(arguments: Arguments) -> None:
    if arguments["m"].ndim < 2:
        raise InputError(f"an image of shape {arguments['m'].shape} has one axis; give one of at least two")


def entries() -> list[Entry]:
    """Rearrangements."""
    return [
        _part("turn", Turned(), cost_ns=1.5),
        _part("pick", Picked(), wants_where=True, cost_ns=3.0),
        _part("pick_pieces", Picked(scattered=True), reads_itself=True, cost_ns=3.0),
        _part("join", Joined(), images=(), sequences=("arrays",), dtype=_joined_dtype, cost_ns=1.0),
        _turning("flip", "m"),
        _turning("fliplr", "m", check=_at_least_two_axes),
        _turning("flipud", "m"),
        _turning("rot90", "m", check=_at_least_two_axes),
        _turning("transpose", "a"),
        _turning("swapaxes", "a", example={"axis1": 0, "axis2": -1}),
        _turning("moveaxis", "a", example={"source": 0, "destination": -1}),
        _turning("squeeze", "a"),
        _turning("expand_dims", "a", example={"axis": -1}),
        _composite("numpy.pad", "numpy.pad", "array", _expand_pad, pad_width=2),
        _composite("numpy.roll", "numpy.roll", "a", _expand_roll, shift=3, axis=0),
        _composite("numpy.tile", "numpy.tile", "A", _expand_tile, reps=2),
        _composite("numpy.repeat", "numpy.repeat", "a", _expand_repeat, repeats=2, axis=0),
        _composite("util.crop", "skimage.util.crop", "ar", _expand_crop, crop_width=1),
        _joining("concatenate", "arrays", lambda arguments, ndim: int(arguments["axis"]), np.asarray),
        _joining("vstack", "tup", lambda arguments, ndim: 0, np.atleast_2d),
        _joining("hstack", "tup", lambda arguments, ndim: 0 if ndim == 1 else 1, np.atleast_1d),
        _joining("dstack", "tup", lambda arguments, ndim: 2, np.atleast_3d),
        _joining("column_stack", "tup", lambda arguments, ndim: 1, _as_columns),
    ]
