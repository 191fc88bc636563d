"""`scipy.ndimage.distance_transform_edt`: the distance of each pixel from the background.

No fixed halo is enough for every image, so each block extends its halo as needed: distances computed with a halo are upper
bounds of the true distances, and they are exact if the halo is as wide as the greatest of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, View, Where
from lepton_celery.catalogue.declare import declare, leave_out
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.geometry import Stencil, any_block
from lepton_celery.catalogue.promise import IDENTICAL, Promise, within
from lepton_celery.catalogue.results import always
from lepton_celery.catalogue.shared.distance import distance_to_phantom
from lepton_celery.catalogue.shared.halos import per_axis
from lepton_celery.errors import InputError

FIRST_HALO_PX = 32
"""Initial halo of a block."""


@declare(
    Local(
        "lepton.distance",
        images=("input",),
        values=("has_background",),
        geometry=Stencil(FIRST_HALO_PX, f"{FIRST_HALO_PX}, more where distances are greater"),
        own_stage=any_block,
        reads_itself=True,
        dtype=always(np.float64),
        cost_ns=60.0,
    )
)
def distance(input: View, sampling: Any, has_background: bool, where: Where) -> Array:
    """Run `scipy.ndimage.distance_transform_edt` on a block and a halo as wide as its greatest distance.

    `has_background` says whether the whole image has background pixels.
    """
    from scipy.ndimage import distance_transform_edt

    region = where.region
    if not has_background:
        return distance_to_phantom(where, sampling)
    lengths = per_axis(1 if sampling is None else sampling, region.ndim, None, "sampling")
    halo = [FIRST_HALO_PX] * region.ndim
    while True:
        wide = region.expand(halo, where.shape)
        pixels = input.read(wide)
        if pixels.all():
            halo = [2 * h for h in halo]
            continue
        distances: Array = distance_transform_edt(pixels, sampling)[region.within(wide)]
        halo = [math.ceil(distances.max() / length) for length in lengths]
        if wide.contains(region.expand(halo, where.shape)):
            return distances


def _promise(arguments: Arguments) -> Promise:
    sampling = arguments["sampling"]
    if sampling is None or all(float(length).is_integer() for length in np.atleast_1d(sampling)):
        return IDENTICAL
    return within(4, "unless sampling is whole numbers, distances to equally near pixels may be rounded differently")


def _check(arguments: Arguments) -> None:
    leave_out(
        return_indices="the nearest pixel can lie in any block; compute indices on the whole image",
        distances="the distances are returned",
        indices="the distances are returned",
    )(arguments)
    if not arguments["return_distances"]:
        raise InputError("return_distances=False leaves nothing to return; leave it out")
    sampling = arguments["sampling"]
    if sampling is not None:
        lengths = per_axis(sampling, len(arguments["input"].shape), None, "sampling")
        if not all(0 < length < math.inf for length in lengths):
            raise InputError(f"sampling={sampling!r}; give lengths of a pixel above 0")


@declare(Composite("ndimage.distance_transform_edt", images=("input",), promise=_promise, check=_check, gives="image"))
def _expand(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["input"]
    has_background = build("lepton.any_pixel", image=image, value=False)
    return build("lepton.distance", input=image, sampling=arguments["sampling"], has_background=has_background)
