"""The connected components that meet a condition: a marker image marks them, or they have few pixels.

A block decides the components that lie inside it; the others are decided when labels are joined (see `labels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array, Lazy, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Local
from lepton_celery.catalogue.results import always
from lepton_celery.catalogue.shared.labels import DECIDED
from lepton_celery.grid import Region


def components_where(
    build: Build, image: Lazy, *, connectivity: int | Array | None = None, **condition: Lazy | float
) -> Lazy:
    """A bool image: True on components with a pixel of the image `marker=`, or of at most `at_most=` pixels."""
    blocks = build(DECIDED, image=image, background=0, connectivity=connectivity, **condition)
    return build("lepton.where_true", ids=blocks, table=blocks)


def joins_neighbours(structure: Array, ndim: int) -> bool:
    """Whether a structure has three pixels per axis, is True at its centre, and is symmetric about it."""
    fits = structure.shape == (3,) * ndim
    return fits and bool(structure[(1,) * ndim]) and bool((structure == np.flip(structure)).all())


@declare(Local("lepton.filled", images=("image", "mask"), cost_ns=2.0))
def filled(image: Array, mask: Array, value: Any) -> Array:
    """The image with `value` where the mask is set."""
    result = image.copy()
    result[mask] = value
    return result


@declare(Local("lepton.near_edge", wants_where=True, dtype=always(bool)))
def near_edge(image: Array, widths: Sequence[int], where: Where) -> Array:
    """True on the first and last `widths[axis]` pixels of the whole image along each axis."""
    result = np.zeros(image.shape, bool)
    for axis, width in enumerate(widths):
        positions = np.arange(where.region.start[axis], where.region.stop[axis])
        near = (positions < width) | (positions >= where.shape[axis] - width)
        result |= near.reshape([-1 if other == axis else 1 for other in range(image.ndim)])
    return result


@declare(Local("lepton.at_point", wants_where=True, dtype=always(bool)))
def at_point(image: Array, point: Sequence[int], where: Where) -> Array:
    """True on the pixel at `point` of the whole image."""
    result = np.zeros(image.shape, bool)
    pixel = Region(tuple(point), tuple(p + 1 for p in point))
    if where.region.contains(pixel):
        result[pixel.within(where.region)] = True
    return result
