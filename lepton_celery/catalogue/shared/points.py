"""`lepton.points_to_mask`: an image of bool that is True at given points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Drawn
from lepton_celery.errors import InputError
from lepton_celery.grid import Region


def _check(arguments: Arguments) -> None:
    points, shape = arguments["points"], tuple(arguments["shape"])
    if not shape or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
        raise InputError(f"shape {shape} has no pixels; give a length of at least 1 per axis")
    if hasattr(points, "gives"):
        if len(points.shape) != 2 or points.shape[1] not in (-1, len(shape)):
            raise InputError(f"points of shape {points.shape} for an image of shape {shape}; give {len(shape)} columns")
        return
    positions(np.asarray(points), shape)


def positions(points: Array, shape: Sequence[int]) -> Array:
    """The points as whole numbers, one column per axis.

    Raises:
        InputError: a point is not a position of whole pixels in an image of `shape`.
    """
    if points.size == 0:
        return np.zeros((0, len(shape)), np.int64)
    if points.ndim != 2 or points.shape[1] != len(shape) or points.dtype.kind not in "iu":
        raise InputError(
            f"points of shape {points.shape} and dtype {points.dtype} for an image of shape {tuple(shape)}; "
            f"give whole numbers in {len(shape)} columns, one per axis"
        )
    outside = ((points < 0) | (points >= np.array(shape))).any(axis=1)
    if outside.any():
        raise InputError(
            f"point {points[outside][0].tolist()} is outside an image of shape {tuple(shape)}; give positions inside it"
        )
    return points.astype(np.int64)


@declare(Drawn("lepton.points_to_mask", values=("points",), check=_check, cost_ns=0.5))
def points_to_mask(points: Array, shape: Sequence[int], where: Where | None = None) -> Array:
    """The region's pixels, True at the points."""
    region = Region.whole(shape) if where is None else where.region
    inside = positions(np.asarray(points), shape) - np.array(region.start)
    inside = inside[((inside >= 0) & (inside < np.array(region.shape))).all(axis=1)]
    mask = np.zeros(region.shape, bool)
    mask[tuple(inside.T)] = True
    return mask
