"""`skimage.morphology`: erosion, dilation and the functions composed of them, gray and binary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.entries import Local, resolve
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.halos import footprint_passes
from lepton_celery.errors import InputError

_PASSES = {"erosion": 1, "dilation": 1, "opening": 2, "closing": 2, "white_tophat": 2, "black_tophat": 2}
"""The number of erosions and dilations that each function consists of."""
_BINARY = ("erosion", "dilation", "opening", "closing")
_STENCILS = {
    1: Stencil(footprint_passes(1), "footprint // 2"),
    2: Stencil(footprint_passes(2), "2 * (footprint // 2)"),
}
"""The geometry for each number of passes."""


def _steps(footprint: Any) -> Sequence[tuple[Any, int]]:
    """A footprint as a sequence of (footprint, number of times), which are applied in turn."""
    return [(footprint, 1)] if footprint is None or isinstance(footprint, np.ndarray) else footprint


def _check_times(arguments: Arguments) -> None:
    for _, times in _steps(arguments["footprint"]):
        if times < 1:
            raise InputError(
                f"a footprint that is applied {times} times has no bounded reach here; give a number of at least 1"
            )


def _check_binary(arguments: Arguments) -> None:
    """`_check_times`, and a repeated footprint must fit into the image: otherwise SciPy writes past the image's end."""
    _check_times(arguments)
    shape = arguments["image"].shape
    for step, times in _steps(arguments["footprint"]):
        if times > 1 and any(n < size + (size % 2 == 0) for n, size in zip(shape, np.shape(step), strict=False)):
            raise InputError(
                f"a footprint of shape {np.shape(step)} that is applied {times} times does not fit into an image of "
                f"shape {shape}; use morphology.erosion, dilation, opening or closing, which take it"
            )


def _gray(name: str) -> Callable[..., Array]:
    """The function of scikit-image, which here refuses NaN under a rectangular footprint.

    For rectangles SciPy computes a running minimum of each row, and how far a NaN spreads depends on all pixels before it.
    """

    def function(image: Array, footprint: Any = None, **options: Any) -> Array:
        steps = [step for step, _ in _steps(footprint)]
        rectangles = any(step is not None and np.size(step) > 1 and np.all(step) for step in steps)
        if rectangles and image.dtype.kind == "f" and np.isnan(image).any():
            raise InputError(
                f"the image has NaN, and how far {name} spreads it under a rectangular footprint depends on the whole "
                "image; fill NaN first, or use another footprint such as a disk"
            )
        return np.asarray(resolve(f"skimage.{name}")(image, footprint, **options))

    return function


ENTRIES = (
    *(
        Local(
            f"morphology.{name}",
            geometry=_STENCILS[passes],
            function=_gray(f"morphology.{name}"),
            check=_check_times,
            cost_ns=5.0 * passes,
        )
        for name, passes in _PASSES.items()
    ),
    *(
        Local(
            f"morphology.binary_{name}",
            geometry=_STENCILS[_PASSES[name]],
            check=_check_binary,
            cost_ns=9.0 * _PASSES[name],
        )
        for name in _BINARY
    ),
)
