"""How far functions reach: halos from their parameters, and checks of the boundary modes that a halo depends on.

The formulas were measured against scikit-image 0.26; the exactness tests prove each of them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Shape
from lepton_celery.errors import InputError

GAUSSIAN = "int(truncate * sigma + 0.5) per axis"
"""The halo of a gaussian, in words."""


def gaussian_radius(sigma: float, truncate: float = 4.0) -> int:
    """Radius of SciPy's gaussian kernel, `scipy.ndimage.gaussian_filter1d`."""
    return int(truncate * float(sigma) + 0.5)


def per_axis(value: Any, ndim: int, channel_axis: int | None, name: str) -> list[float]:
    """A scalar or one number per spatial axis, as one number per axis of the array (0 along the channels)."""
    spatial = ndim - (channel_axis is not None)
    values = [float(v) for v in np.atleast_1d(value)]
    values = values * spatial if np.isscalar(value) else values
    if channel_axis is not None and len(values) == spatial:
        values.insert(channel_axis % ndim, 0.0)
    if len(values) != ndim:
        raise InputError(f"{name} {value} has {len(values)} numbers for an image of {spatial} axes; give one per axis")
    return values


def gaussian_halo(arguments: Arguments, sigma: str = "sigma") -> tuple[int, ...]:
    """Radii of a gaussian whose standard deviations are the argument `sigma`."""
    ndim = len(arguments["image"].shape)
    sigmas = per_axis(arguments[sigma], ndim, arguments.get("channel_axis"), sigma)
    return tuple(gaussian_radius(s, arguments.get("truncate", 4.0)) for s in sigmas)


def footprint_halo(footprint: Any, ndim: int) -> tuple[int, ...]:
    """Reach of a footprint, or of a sequence of (footprint, times) applied in turn; None stands for the 3-cross."""
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
    """The halo of a function that goes over the image this many times with `arguments["footprint"]`."""

    def halo(arguments: Arguments) -> tuple[int, ...]:
        shape = arguments["image"].shape
        once = footprint_halo(arguments["footprint"], len(shape))
        check_mirroring(once, shape, arguments.get("mode"))
        return tuple(passes * h for h in once)

    return halo


def check_mirroring(reach: Sequence[int], shape: Shape, mode: Any) -> None:
    """Refuse a window for which SciPy's n-dimensional filters would read outside an image that they mirror.

    With mode='reflect' and a reach of four lengths of an axis, they read memory before the image (SciPy 1.17).
    """
    if mode == "reflect" and any(n > 1 and h >= 4 * n for h, n in zip(reach, shape, strict=True)):
        raise InputError(
            f"the window reaches {tuple(reach)} pixels, four times an image of shape {shape} or more, and SciPy reads "
            "outside the image then; use a smaller window, or another mode than 'reflect'"
        )


def check_mode(arguments: Arguments) -> None:
    """Refuse modes that wrap some axes only: the planner reads from the opposite side for `wrap` on all axes."""
    mode = arguments.get("mode")
    if mode == "grid-wrap":
        raise InputError("mode='grid-wrap' is not supported here; use mode='wrap'")
    if not isinstance(mode, str | None) and any(str(axis_mode).endswith("wrap") for axis_mode in mode):
        raise InputError(f"mode={mode} wraps some axes, which is not supported here; use mode='wrap' for all axes")
