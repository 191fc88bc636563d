"""`scipy.ndimage.distance_transform_cdt`: chamfer distances, which two raster scans of the whole image find."""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.catalogue.declare import leave_out, whole
from lepton_celery.catalogue.results import always
from lepton_celery.errors import InputError


def _check(arguments: Arguments) -> None:
    leave_out(
        return_indices="the nearest pixel can lie anywhere; compute indices on the whole image",
        distances="the distances are returned",
        indices="the distances are returned",
    )(arguments)
    if not arguments["return_distances"]:
        raise InputError("return_distances=False leaves nothing to return; leave it out")


_METRICS = {"metric": ("chessboard", "taxicab", "cityblock", "manhattan")}

ENTRIES = (
    whole(
        "ndimage.distance_transform_cdt",
        images=("input",),
        check=_check,
        choices=_METRICS,
        dtype=always(np.int32),
        cost_ns=10.0,
    ),
)
