"""Halos of functions, computed from their parameters, and checks of boundary modes.

The exactness tests verify each formula against scikit-image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Shape
from lepton_celery.errors import InputError

GAUSSIAN = "int(truncate * sigma + 0.5) per axis"
"""The halo of a gaussian, in words."""


MAX_RADIUS_PX = 1 << 18
"""The greatest radius of a gaussian, in pixels. A graph is built with a few pixels, which take a second with such a one."""


def gaussian_radius(sigma: float, truncate: float = 4.0) -> int:
    """Radius of SciPy's gaussian kernel, `scipy.ndimage.gaussian_filter1d`.

    Raises:
        InputError: it is greater than `MAX_RADIUS_PX`.
    """
    radius = int(truncate * float(sigma) + 0.5)
    if radius > MAX_RADIUS_PX:
        raise InputError(
            f"sigma={sigma:g} reaches {radius:,} pixels; at most {MAX_RADIUS_PX:,} are allowed: give a smaller sigma"
        )
    return radius


def per_axis(value: Any, ndim: int, channel_axis: int | None, name: str) -> list[float]:
    """Expand a scalar or one number per spatial axis to one number per axis of the array, 0 along the channels."""
    spatial = ndim - (channel_axis is not None)
    values = [float(v) for v in np.atleast_1d(value)]
    values = values * spatial if np.isscalar(value) else values
    if channel_axis is not None and len(values) == spatial:
        values.insert(channel_axis % ndim, 0.0)
    if len(values) != ndim:
        raise InputError(f"{name} {value} has {len(values)} numbers for an image of {spatial} axes; give one per axis")
    return values


def gaussian_halo(arguments: Arguments, sigma: str = "sigma") -> tuple[int, ...]:
    """The radii of a gaussian per axis; `sigma` names the argument with its standard deviations."""
    ndim = len(arguments["image"].shape)
    sigmas = per_axis(arguments[sigma], ndim, arguments.get("channel_axis"), sigma)
    return tuple(gaussian_radius(s, arguments.get("truncate", 4.0)) for s in sigmas)


def footprint_halo(footprint: Any, ndim: int) -> tuple[int, ...]:
    """The halo of a footprint, or of a sequence of (footprint, times) applied in turn; None is a cross of 3 pixels."""
    if footprint is None:
        return (1,) * ndim
    steps = [(footprint, 1)] if isinstance(footprint, np.ndarray) else footprint
    halo = [0] * ndim
    for step, times in steps:
        shape = np.shape(step)
        if len(shape) != ndim:
            raise InputError(f"footprint of shape {shape} for an image of {ndim} axes; give a footprint of {ndim} axes")
        halo = [h + (n // 2) * int(times) for h, n in zip(halo, shape, strict=True)]
    return tuple(halo)


def footprint_passes(passes: int) -> Callable[[Arguments], tuple[int, ...]]:
    """The halo of a function that filters `passes` times with `arguments["footprint"]`."""

    def halo(arguments: Arguments) -> tuple[int, ...]:
        shape = arguments["image"].shape
        once = footprint_halo(arguments["footprint"], len(shape))
        check_mirroring(once, shape, arguments.get("mode"))
        return tuple(passes * h for h in once)

    return halo


def check_mirroring(reach: Sequence[int], shape: Shape, mode: Any) -> None:
    """Refuse a window for which SciPy's n-dimensional filters would read outside the image.

    If mode='reflect' and the window reaches at least four times the length of an axis, SciPy 1.17 reads memory before it.
    """
    if mode == "reflect" and any(n > 1 and h >= 4 * n for h, n in zip(reach, shape, strict=True)):
        raise InputError(
            f"the window reaches {tuple(reach)} pixels, at least four times an axis of the image of shape {shape}, so SciPy "
            "would read outside the image; use a smaller window, or a mode other than 'reflect'"
        )


def check_mode(arguments: Arguments) -> None:
    """Refuse modes that wrap only some axes; the planner supports `wrap` on all axes."""
    mode = arguments.get("mode")
    if mode == "grid-wrap":
        raise InputError("mode='grid-wrap' is not supported here; use mode='wrap'")
    if not isinstance(mode, str | None) and any(str(axis_mode).endswith("wrap") for axis_mode in mode):
        raise InputError(f"mode={mode} wraps some axes, which is not supported here; use mode='wrap' for all axes")
