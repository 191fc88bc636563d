"""Halos of functions of Euclidean distances, and SciPy's distances in an image without background."""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Reduction
from lepton_celery.catalogue.results import value_of
from lepton_celery.catalogue.shared.halos import per_axis
from lepton_celery.catalogue.shared.values import merge_any
from lepton_celery.errors import InputError


@declare(Reduction("lepton.any_pixel", merge=merge_any, result=value_of(bool), cost_ns=1.0))
def any_pixel(image: Array, value: bool) -> Partial:
    """Whether any pixel of a block, converted to bool, is `value`."""
    return {"any": np.array([bool((image.astype(bool) == value).any())])}


def distance_to_phantom(where: Where, spacing: Any) -> Array:
    """The distance to index (-1, 0, 0, …) of the whole image, which SciPy returns if the image has no background."""
    region = where.region
    squares: Array = np.zeros(())
    for axis, scale in enumerate(per_axis(1 if spacing is None else spacing, region.ndim, None, "spacing")):
        offset = np.arange(region.start[axis], region.stop[axis], dtype=np.float64) + (axis == 0)
        squares = squares[..., np.newaxis] + np.square(offset * scale)
    distance: Array = np.sqrt(squares)
    return distance


def distance_formula(length: str) -> str:
    """The halo of `distance_halo`, in words."""
    return f"floor({length} / spacing) + 1 per axis"


def distance_halo(length: str) -> Callable[[Arguments], tuple[int, ...]]:
    """The halo of pixels up to the distance `arguments[length]`, one pixel wider because rounded distances may be equal."""

    def halo(arguments: Arguments) -> tuple[int, ...]:
        image = arguments.get("image", arguments.get("label_image"))
        assert image is not None
        spacing = 1 if arguments["spacing"] is None else arguments["spacing"]
        scales = per_axis(spacing, len(image.shape), None, "spacing")
        if not all(scale > 0 for scale in scales):
            raise InputError(f"spacing {spacing} has lengths that are not positive; give the size of a pixel per axis")
        return tuple(max(0, floor(float(arguments[length]) / scale)) + 1 for scale in scales)

    return halo


def check_distance(length: str) -> Callable[[Arguments], None]:
    """A check of the arguments that `distance_halo` uses."""

    def check(arguments: Arguments) -> None:
        distance_halo(length)(arguments)

    return check
