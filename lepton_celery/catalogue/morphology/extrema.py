"""`skimage.morphology.local_maxima` and `local_minima`: plateaus without a higher, or lower, neighbour.

A plateau may extend over many blocks. A pixel with a higher neighbour is no maximum, and neither is the rest of its plateau.
Such pixels are ruled out in rounds, until a round changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from itertools import product
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, View, Where
from lepton_celery.catalogue.declare import declare, leave_out
from lepton_celery.catalogue.entries import Build, Composite, Iterated
from lepton_celery.catalogue.results import always
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import InputError


@declare(Iterated("lepton.extremes", values=("extent",), halo=lambda arguments: 1, dtype=always(bool), cost_ns=15.0))
def extremes(
    image: View,
    footprint: Any,
    connectivity: int | None,
    allow_borders: bool,
    low: bool,
    extent: Extent | None,
    state: View | None,
    where: Where,
) -> tuple[Array, bool]:
    """The pixels of a block that may still be part of a maximum (with `low`, a minimum) after another round."""
    region, shape = where.region, where.shape
    around = neighbours(footprint, connectivity, len(shape))
    wide = region.expand((1,) * len(shape), shape)
    inside = region.within(wide)
    pixels = image.read(wide)
    if state is None:
        guess = _without_higher_neighbour(pixels, around, low)
        if not allow_borders:
            guess &= reduce(np.logical_and.outer, map(_off_border, wide.start, wide.stop, shape))
        elif np.count_nonzero(around) > 1 and extent is not None:
            # scikit-image pads the image with its least value, so a plateau of that value is no maximum
            guess &= pixels != extent[1 if low else 0]
        return guess[inside], True
    before = state.read(wide)
    # no candidate has a higher neighbour; if an equal neighbour is ruled out, so is the plateau of both
    beside_out = np.zeros(before.shape, bool)
    for here, there in _pairs(around):
        beside_out[here] |= ~before[there] & (pixels[here] == pixels[there])
    from scipy.ndimage import binary_propagation

    out = binary_propagation(before & beside_out, structure=around, mask=before)
    return (before & ~out)[inside], bool((before & out)[inside].any())


def _without_higher_neighbour(pixels: Array, around: Array, low: bool) -> Array:
    """The pixels without a higher neighbour (with `low`, a lower one)."""
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        raise InputError("the image has NaN, which is neither higher nor lower than its neighbours; fill NaN first")
    higher = np.less if low else np.greater
    guess = np.ones(pixels.shape, bool)
    for here, there in _pairs(around):
        guess[here] &= ~higher(pixels[there], pixels[here])
    return guess


def _off_border(start: int, stop: int, n: int) -> Array:
    positions = np.arange(start, stop)
    return (positions > 0) & (positions < n - 1)


def _pairs(around: Array) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """For each offset in the neighbourhood, the slices of the pixels with a neighbour there, and of these neighbours."""
    for step in product((-1, 0, 1), repeat=around.ndim):
        if any(step) and around[tuple(s + 1 for s in step)]:
            here = tuple(slice(max(0, -s), -s if s > 0 else None) for s in step)
            there = tuple(slice(max(0, s), s if s < 0 else None) for s in step)
            yield here, there


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
        image, allow_borders = arguments["image"], bool(arguments["allow_borders"])
        options = {name: arguments[name] for name in ("footprint", "connectivity")}
        extent = build("lepton.extent", image=image) if allow_borders else None
        rounds = build("lepton.extremes", image=image, **options, allow_borders=allow_borders, low=low, extent=extent)
        return build("lepton.after_rounds", image=rounds)

    return expand


ENTRIES = tuple(
    Composite(f"morphology.{name}", check=_check, expand=_expand(low), gives="image")
    for name, low in (("local_maxima", False), ("local_minima", True))
)
