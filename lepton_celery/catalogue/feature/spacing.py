"""The last steps of `skimage.feature.peak_local_max` and `corner_peaks`: the strongest peaks, at a minimum distance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import ValueFunction

Candidates = dict[str, Array]
"""Raster indices of peaks (`position`), ascending, and their values (`value`)."""


@declare(
    ValueFunction(
        "lepton.points",
        values=("candidates",),
        result=lambda arguments: ((-1, len(arguments["shape"])), np.dtype(np.int64)),
    )
)
def points(candidates: Candidates, shape: Sequence[int], num_peaks: float, min_distance: float, p_norm: float) -> Array:
    """The last step of `skimage.feature.peak_local_max`: sort by value, then enforce the minimum distance."""
    from skimage._shared.coord import ensure_spacing

    order = np.argsort(-candidates["value"], kind="stable")
    coordinates: Array = np.transpose(np.unravel_index(candidates["position"][order], tuple(shape)))
    if min_distance > 1:
        most = int(num_peaks) if np.isfinite(num_peaks) else None
        coordinates = ensure_spacing(coordinates, spacing=min_distance, p_norm=p_norm, max_out=most)
    return coordinates[: int(num_peaks)] if len(coordinates) > num_peaks else coordinates


@declare(
    ValueFunction(
        "lepton.spaced_corners",
        values=("coordinates",),
        result=lambda arguments: ((-1, arguments["coordinates"].shape[1]), np.dtype(np.int64)),
    )
)
def spaced_corners(coordinates: Array, min_distance: float, num_peaks: float, p_norm: float) -> Array:
    """The last step of `skimage.feature.corner_peaks`: drop every corner that is near an earlier one."""
    from scipy.spatial import cKDTree

    if len(coordinates):
        tree = cKDTree(coordinates)
        rejected: set[int] = set()
        for index, point in enumerate(coordinates):
            if index not in rejected:
                rejected.update(set(tree.query_ball_point(point, r=min_distance, p=p_norm)) - {index})
        coordinates = np.delete(coordinates, tuple(rejected), axis=0)[: None if np.isinf(num_peaks) else num_peaks]
    return coordinates
