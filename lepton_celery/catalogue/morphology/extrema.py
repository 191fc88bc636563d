"""`skimage.morphology.local_maxima` and `local_minima`: plateaus without a higher, or lower, neighbour.

A plateau may extend over many blocks. Each block finds the plateaus that have no higher neighbour in the block and its halo,
and numbers them. Plateaus of equal pixels that touch across block faces are joined like components (see `shared/labels`). A
plateau that touches an equal pixel which the other block has ruled out is no maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Where
from lepton_celery.catalogue.declare import declare, leave_out
from lepton_celery.catalogue.entries import Build, Composite, Labelling, Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.results import always
from lepton_celery.catalogue.shared.fastest import fastest
from lepton_celery.catalogue.shared.label_joining import (
    FALSE,
    OPEN,
    TRUE,
    combine_labels,
    is_edge,
    merge_labels,
    neighbourhood,
)
from lepton_celery.catalogue.shared.label_kernels import label_alone
from lepton_celery.catalogue.shared.labels import labels_begun, open_labels
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import InputError


@declare(Local("lepton.plateaus", geometry=Stencil(1, "1"), dtype=always(bool), cost_ns=8.0))
def plateaus(image: Array, near: Array, low: bool) -> Array:
    """The plateaus that have no higher neighbour (with `low`, no lower one) in the block and its halo."""
    from skimage.morphology import local_maxima, local_minima

    if image.dtype.kind == "f" and np.isnan(image).any():
        raise InputError("the image has NaN, which is neither higher nor lower than its neighbours; fill NaN first")
    find: Callable[..., Array] = local_minima if low else local_maxima
    joined = bool(near[neighbourhood(1, image.ndim)].all())
    if joined and image.size and image.min() != image.max():
        return find(image, footprint=near)
    # scikit-image surrounds the image by its least value, and a plateau of that value is no maximum; so it gets a lower one
    ranks = np.unique(image, return_inverse=True)[1].reshape(image.shape)
    wide = find(np.pad(ranks, 1, constant_values=image.size if low else -1), footprint=near)
    return wide[(slice(1, -1),) * image.ndim]


@declare(
    Labelling(
        "lepton.decide_plateaus",
        images=("image", "found"),
        wants_kernels=True,
        merge=merge_labels,
        combine=combine_labels,
        cost_ns=5.0,
    )
)
def decide_plateaus(
    image: Array,
    found: Array,
    connectivity: int | Array,
    allow_borders: bool,
    where: Where,
    at_most: float = 0,
    kernels: bool = False,
) -> tuple[Array, Partial]:
    """Decide which plateaus of a block are extrema, if they lie inside the block.

    A plateau is none if it touches an equal pixel of another block that is not in `found`. All such pixels on the faces of a
    block have one label more, whose size counts, so that any plateau with more than `at_most` = 0 is none.
    """
    labels = fastest(label_alone, {"image": found, "background": None, "connectivity": connectivity}, kernels)
    begun = labels_begun(labels)
    pixels = image.view(np.uint8) if image.dtype == bool else image
    open_numbers, partial = open_labels(labels, pixels, begun, where)
    out = np.zeros(int(begun[-1]) + 1 if begun.size else 1, bool)
    if not allow_borders:
        for axis, side in product(range(labels.ndim), (0, 1)):
            if labels.shape[axis] and is_edge(where.region, axis, side, where.shape):
                out[labels.take(-side, axis)] = True
    state = np.where(out, FALSE, TRUE).astype(np.int32)
    state[0] = 0
    state[open_numbers] = OPEN + np.arange(open_numbers.size)
    faces = {name: face for name, face in partial.items() if name.startswith("labels")}
    if any((face == 0).any() for face in faces.values()):
        others = open_numbers.size + 1
        partial["names"] = np.append(partial["names"], _name_of_another(faces, where))
        partial |= {name: np.where(face == 0, np.int32(others), face) for name, face in faces.items()}
        out, open_numbers = np.append(out, True), np.append(open_numbers, out.size)
    return state[labels], partial | {"size": out[open_numbers].astype(np.int64), "background": np.zeros(1, bool)}


def _name_of_another(faces: Partial, where: Where) -> int:
    """The raster index, in the image, of a pixel on a face that has no label."""
    for name, face in faces.items():
        if (face == 0).any():
            axis, side = map(int, name[-2:])
            local = list(np.argwhere(face == 0)[0])
            local[axis] = where.region.shape[axis] - 1 if side else 0
            position = tuple(int(p) + start for p, start in zip(local, where.region.start, strict=True))
            return int(np.ravel_multi_index(position, where.shape))
    raise AssertionError("the caller has found such a pixel")


@declare(Local("lepton.not_least", images=("image", "mask"), values=("extent",), dtype=always(bool), cost_ns=2.0))
def not_least(image: Array, mask: Array, low: bool, extent: Extent) -> Array:
    """The mask without pixels of the image's least value (with `low`, its greatest), by which scikit-image surrounds it."""
    result: Array = mask & (image != extent[int(low)])
    return result


def neighbours(footprint: Any, connectivity: int | None, ndim: int) -> Array:
    """The neighbourhood that a footprint or a connectivity describes, three pixels along each axis."""
    from skimage.morphology._util import _resolve_neighborhood

    try:
        around: Array = _resolve_neighborhood(footprint, connectivity, ndim)
    except ValueError as error:
        raise InputError(f"footprint or connectivity does not fit an image of {ndim} axes: {error}") from error
    return around.astype(bool)


def _check(arguments: Arguments) -> None:
    leave_out(indices="the result is an image; compute it and take numpy.nonzero of it")(arguments)
    around = neighbours(arguments["footprint"], arguments["connectivity"], len(arguments["image"].shape))
    if (around != np.flip(around)).any():
        raise InputError(
            "footprint is not symmetric, so that the result depends on the order in which scikit-image visits the "
            "plateaus; give a symmetric one"
        )


def _expand(low: bool) -> Callable[[Arguments, Build], Lazy]:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        image, allow_borders, footprint = arguments["image"], bool(arguments["allow_borders"]), arguments["footprint"]
        ndim = len(image.shape)
        near = neighbours(footprint, arguments["connectivity"], ndim)
        found = build("lepton.plateaus", image=image, near=near, low=low)
        connectivity = near if footprint is not None else arguments["connectivity"] or ndim
        options = {"connectivity": connectivity, "allow_borders": allow_borders, "at_most": 0}
        blocks = build("lepton.decide_plateaus", image=image, found=found, **options)
        extrema = build("lepton.where_true", ids=blocks, table=blocks)
        if not allow_borders or np.count_nonzero(near) == 1:
            return extrema
        return build("lepton.not_least", image=image, mask=extrema, low=low, extent=build("lepton.extent", image=image))

    return expand


ENTRIES = tuple(
    Composite(f"morphology.{name}", check=_check, expand=_expand(low), gives="image")
    for name, low in (("local_maxima", False), ("local_minima", True))
)
