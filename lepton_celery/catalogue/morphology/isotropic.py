"""`skimage.morphology.isotropic_*`: erosion and dilation by a Euclidean distance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.results import always
from lepton_celery.catalogue.shared.distance import (
    check_distance,
    distance_formula,
    distance_halo,
    distance_to_phantom,
)

_DILATES = {"erosion": (False,), "dilation": (True,), "opening": (False, True), "closing": (True, False)}
"""The passes of each function: whether each of them dilates."""


@declare(
    Local(
        "lepton.isotropic",
        values=("has_target",),
        geometry=Stencil(distance_halo("radius"), distance_formula("radius")),
        wants_where=True,
        dtype=always(bool),
        cost_ns=40.0,
    )
)
def isotropic(image: Array, radius: float, spacing: Any, dilates: bool, has_target: bool, where: Where) -> Array:
    """`isotropic_erosion` or `isotropic_dilation` of a block.

    `has_target` says whether the whole image has a pixel to measure distances to. A block without one is then beyond reach.
    """
    from scipy.ndimage import distance_transform_edt

    measured = np.logical_not(image) if dilates else image
    if not measured.all():
        distance = distance_transform_edt(measured, sampling=spacing)
    elif has_target:
        distance = np.full(image.shape, np.inf)
    else:
        distance = distance_to_phantom(where, spacing)
    result: Array = np.less_equal(distance, radius) if dilates else np.greater(distance, radius)
    return result


def _expand(passes: Sequence[bool]) -> Callable[[Arguments, Build], Lazy]:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        image: Lazy = arguments["image"]
        for dilates in passes:
            has_target = build("lepton.any_pixel", image=image, value=dilates)
            options = {"radius": arguments["radius"], "spacing": arguments["spacing"], "dilates": dilates}
            image = build("lepton.isotropic", image=image, has_target=has_target, **options)
        return image

    return expand


ENTRIES = tuple(
    Composite(
        f"morphology.isotropic_{name}",
        check=check_distance("radius"),
        expand=_expand(passes),
        gives="image",
        example={"radius": 3},
    )
    for name, passes in _DILATES.items()
)
