"""How far functions reach: radii from their parameters, and the short form of an entry for a function with a halo.

The formulas were measured against scikit-image 0.26; each is proven again by the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.catalogue.entries import Local
from lepton_celery.catalogue.geometry import Stencil, Whole, one_block
from lepton_celery.errors import InputError


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
    ndim = len(arguments["image"].shape)
    sigmas = per_axis(arguments[sigma], ndim, arguments.get("channel_axis"), sigma)
    return tuple(gaussian_radius(s, arguments.get("truncate", 4.0)) for s in sigmas)


def footprint_halo(footprint: Any, ndim: int) -> tuple[int, ...]:
    """Reach of a footprint, or of a sequence of (footprint, times) applied in turn; the 3-cross when None."""
    if footprint is None:
        return (1,) * ndim
    parts = [(footprint, 1)] if isinstance(footprint, np.ndarray) else footprint
    halo = [0] * ndim
    for part, times in parts:
        shape = np.shape(part)
        if len(shape) != ndim:
            raise InputError(f"footprint of shape {shape} for an image of {ndim} axes; give a footprint of {ndim} axes")
        halo = [h + (n // 2) * int(times) for h, n in zip(halo, shape, strict=True)]
    return tuple(halo)


def mirrored(reach: Sequence[int], shape: tuple[int, ...], mode: Any) -> None:
    """Refuse a window that SciPy's n-dimensional filters would look for outside an image that they mirror.

    With mode='reflect' and a reach of four lengths of an axis, they read memory before the image (SciPy 1.17).
    """
    if mode == "reflect" and any(n > 1 and h >= 4 * n for h, n in zip(reach, shape, strict=True)):
        raise InputError(
            f"the window reaches {tuple(reach)} pixels, four times an image of shape {shape} or more, and SciPy reads "
            "outside the image then; use a smaller window, or another mode than 'reflect'"
        )


def footprint_radius(passes: int) -> Callable[[Arguments], tuple[int, ...]]:
    def halo(arguments: Arguments) -> tuple[int, ...]:
        shape = arguments["image"].shape
        once = footprint_halo(arguments["footprint"], len(shape))
        mirrored(once, shape, arguments.get("mode"))
        return tuple(passes * h for h in once)

    return halo


def constant(radius: int) -> Callable[[Arguments], int]:
    return lambda arguments: radius


def local(name: str, halo: Any = 0, formula: str = "", **options: Any) -> Local:
    """The entry of a function of scikit-image that runs on blocks as it is.

    Args:
        name: module and function, `filters.gaussian`.
        halo: pixels it reaches, or a function that finds them from its arguments.
        formula: the halo in words, where it is a function.
        options: fields of `Local`.
    """
    radius = constant(halo) if isinstance(halo, int) else halo
    words = formula or (str(halo) if isinstance(halo, int) else "")
    options.setdefault("source", f"skimage.{name}")
    return Local(name=name, geometry=options.pop("geometry", Stencil(radius, words)), **options)


def whole(name: str, **options: Any) -> Local:
    """The entry of a function of scikit-image that has to see the whole image: it runs as one block, in its own stage."""
    return local(name, geometry=options.pop("geometry", Whole()), own_stage=one_block, **options)


def leave_out(**advice: str) -> Callable[[Arguments], None]:
    """A check that refuses parameters that must keep their defaults (None or False), with advice what to do instead."""

    def check(arguments: Arguments) -> None:
        for name, instead in advice.items():
            value = arguments[name]
            if value is not None and value is not False:
                raise InputError(f"{name} was given, which is not supported here; {instead}")

    return check
