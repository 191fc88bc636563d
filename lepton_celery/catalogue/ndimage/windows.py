"""Parameters of SciPy's filters per axis, and the halos that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.catalogue.geometry import HaloRule
from lepton_celery.catalogue.shared.halos import check_mirroring, gaussian_radius
from lepton_celery.errors import ArgumentRuntimeError, InputError

WINDOW = "size // 2 + |origin| per axis"
"""The halo of a window, in words."""


def axes_of(arguments: Arguments) -> tuple[int, ...]:
    """The axes that the function filters, as non-negative numbers."""
    ndim = len(arguments["input"].shape)
    axes: Any = arguments.get("axes")
    listed: Iterable[Any] = range(ndim) if axes is None else [axes] if np.isscalar(axes) else axes
    if any(not -ndim <= axis < ndim for axis in listed):
        raise InputError(f"axes={axes} for an image of {ndim} axes; give axes from {-ndim} to {ndim - 1}")
    return tuple(int(axis) % ndim for axis in listed)


def axis_of(arguments: Arguments) -> int:
    """The only axis that the function filters, as a non-negative number."""
    return axes_of({**arguments, "axes": arguments["axis"]})[0]


def per_axis(value: Any, arguments: Arguments, name: str, rest: Any = 0) -> list[Any]:
    """One value, or one per filtered axis, as a list with one per axis of the image; `rest` for axes not filtered."""
    axes = axes_of(arguments)
    values = list(value) if np.iterable(value) and not isinstance(value, str) else [value] * len(axes)
    if len(values) != len(axes):
        raise ArgumentRuntimeError(
            f"{name}={value} has {len(values)} members for {len(axes)} axes; give one for each axis"
        )
    result = [rest] * len(arguments["input"].shape)
    for axis, member in zip(axes, values, strict=True):
        result[axis] = member
    return result


def _widths(value: Any, arguments: Arguments, name: str, rest: float = 0) -> list[Any]:
    """`per_axis` for halos. If the filtered axes are not ascending, each has the greatest value, because SciPy takes the
    order of `axes` into account in some places only."""
    values, axes = per_axis(value, arguments, name, rest), axes_of(arguments)
    if list(axes) == sorted(axes):
        return values
    return [max(map(abs, values)) if axis in axes else rest for axis in range(len(values))]


def window_shape(arguments: Arguments) -> Any:
    """Shape of the window, or its length on all axes. SciPy uses footprint, else structure, else size."""
    for name in ("footprint", "structure"):
        if arguments.get(name) is not None:
            return np.shape(arguments[name])
    if arguments["size"] is None:
        raise InputError("the window has no size; give size or footprint")
    return arguments["size"]


def reach(shape: Any, arguments: Arguments, origin: str = "origin") -> tuple[int, ...]:
    """The halo of a window of this shape."""
    sizes, origins = _widths(shape, arguments, "size", 1), _widths(arguments[origin], arguments, origin)
    halo = tuple(int(size) // 2 + abs(int(shift)) for size, shift in zip(sizes, origins, strict=True))
    if "axis" not in arguments:  # SciPy's filters of one axis mirror as often as needed
        check_mirroring(halo, arguments["input"].shape, arguments.get("mode"))
    return halo


def window_halo(passes: int = 1) -> HaloRule:
    """The halo of a function that filters `passes` times with its window."""
    return lambda arguments: tuple(passes * h for h in reach(window_shape(arguments), arguments))


def along_axis(halo: Callable[[Arguments], tuple[int, ...]]) -> HaloRule:
    """The halo of a function that filters along one axis."""
    return lambda arguments: halo({**arguments, "axes": (axis_of(arguments),)})


def weights_halo(arguments: Arguments) -> tuple[int, ...]:
    """The halo of a function with the arguments `weights` and `origin`."""
    return reach(np.shape(arguments["weights"]), arguments)


def size_halo(arguments: Arguments) -> tuple[int, ...]:
    """The halo of a function with the arguments `size` and `origin`."""
    return reach(arguments["size"], arguments)


def gaussian_halo(arguments: Arguments, radius: Arguments | None = None) -> tuple[int, ...]:
    """The radii of a gaussian per axis. The argument `radius` is for the axes in `radius` or, without it, in `arguments`."""
    truncate, given = arguments.get("truncate", 4.0), arguments.get("radius")
    sigmas = _widths(arguments["sigma"], arguments, "sigma")
    radii = [None] * len(sigmas) if given is None else _widths(given, radius or arguments, "radius")
    return tuple(
        0 if s <= 1e-15 else gaussian_radius(s, truncate) if r is None else int(r)
        for s, r in zip(sigmas, radii, strict=True)
    )


def gaussian_laplace_halo(arguments: Arguments) -> tuple[int, ...]:
    """The halo of `gaussian_laplace`, whose argument `radius` is for all axes, filtered or not."""
    return gaussian_halo(arguments, radius={**arguments, "axes": None})


def gaussian_gradient_halo(arguments: Arguments) -> tuple[int, ...]:
    """The halo of `gaussian_gradient_magnitude`, which smooths along all axes and differentiates along `axes`."""
    return gaussian_halo({**arguments, "axes": None})


def _structure_shape(structure: Any) -> Any:
    return 3 if structure is None else np.shape(structure)


def structure_halo(passes: int) -> HaloRule:
    """The halo of a binary function that filters `passes` times in each iteration."""

    def halo(arguments: Arguments) -> tuple[int, ...]:
        once = reach(_structure_shape(arguments["structure"]), arguments)
        return tuple(passes * int(arguments["iterations"]) * h for h in once)

    return halo


def hit_or_miss_halo(arguments: Arguments) -> tuple[int, ...]:
    """The wider of the halos of both structures."""
    hit, miss = arguments["structure1"], arguments["structure2"]
    second = "origin1" if arguments["origin2"] is None else "origin2"
    first = reach(_structure_shape(hit), arguments, "origin1")
    other = reach(_structure_shape(hit if miss is None else miss), arguments, second)
    return tuple(map(max, first, other))
