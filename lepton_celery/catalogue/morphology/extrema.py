"""`skimage.morphology.local_maxima` and `local_minima`: plateaus with nothing higher, or lower, around them.

Whether a pixel has a higher neighbour shows within one pixel; whether its plateau has one may show anywhere. What is no
maximum spreads over plateaus in rounds, until nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import product
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, View, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Iterated
from lepton_celery.catalogue.shared.halos import leave_out
from lepton_celery.errors import InputError
from lepton_celery.grid import Region


def extremes(
    image: View,
    footprint: Any,
    connectivity: int | None,
    allow_borders: bool,
    low: bool,
    extent: Any,
    state: View | None,
    where: Where,
) -> tuple[Array, bool]:
    """Which pixels of a block are still taken for part of a maximum, or where `low` of a minimum, after a round.

    Source: `skimage.morphology.local_maxima` and `local_minima`.
    """
    region, shape = where.region, where.shape
    around = neighbours(footprint, connectivity, len(shape))
    wide = region.expand((1,) * len(shape), shape)
    inside = region.within(wide)
    pixels = image.read(wide)
    if state is None:
        return _first_guess(pixels, wide, shape, around, allow_borders, low, extent)[inside], True
    before = state.read(wide)
    # the neighbours of those that are left are as high as they; where one of them is out, so is the plateau
    beside_out = np.zeros(before.shape, bool)
    for here, there in _pairs(around):
        beside_out[here] |= ~before[there] & (pixels[here] == pixels[there])
    from scipy.ndimage import binary_propagation

    out = binary_propagation(before & beside_out, structure=around, mask=before)
    return (before & ~out)[inside], bool((before & out)[inside].any())


def _first_guess(
    pixels: Array, read: Region, shape: tuple[int, ...], around: Array, allow_borders: bool, low: bool, extent: Any
) -> Array:
    """Pixels without a higher neighbour that the image's border does not rule out."""
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        raise InputError("the image has NaN, which is neither higher nor lower than its neighbours; fill them first")
    higher = np.less if low else np.greater
    guess = np.ones(pixels.shape, bool)
    for here, there in _pairs(around):
        guess[here] &= ~higher(pixels[there], pixels[here])
    if not allow_borders:
        guess &= reduce(np.logical_and.outer, map(_off_border, read.start, read.stop, shape))
    elif np.count_nonzero(around) > 1:
        # scikit-image puts the least value around the image: a plateau as low as that ends there only
        guess &= pixels != extent[1 if low else 0]
    return guess


def _off_border(start: int, stop: int, n: int) -> Array:
    at = np.arange(start, stop)
    return (at > 0) & (at < n - 1)


def _pairs(around: Array) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """For each neighbour, the pixels of an array that have it, and theirs."""
    for step in product((-1, 0, 1), repeat=around.ndim):
        if any(step) and around[tuple(s + 1 for s in step)]:
            here = tuple(slice(max(0, -s), -s if s > 0 else None) for s in step)
            there = tuple(slice(max(0, s), s if s < 0 else None) for s in step)
            yield here, there


def neighbours(footprint: Any, connectivity: int | None, ndim: int) -> Array:
    """The neighbourhood that either describes, three pixels along each axis."""
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
            "footprint is not the same seen from both sides, so that the result depends on the order in which plateaus "
            "are gone over; give a symmetric one"
        )


def _expand(low: bool) -> Any:
    def expand(arguments: Arguments, build: Build) -> Any:
        image, allow_borders = arguments["image"], bool(arguments["allow_borders"])
        options = {name: arguments[name] for name in ("footprint", "connectivity")}
        extent = build("lepton.extent", image=image) if allow_borders else None
        found = build("lepton.extremes", image=image, **options, allow_borders=allow_borders, low=low, extent=extent)
        return build("lepton.settled", image=found)

    return expand


def entries() -> list[Entry]:
    """Local extremes."""
    return [
        Iterated(
            name="lepton.extremes",
            source="lepton_celery.catalogue.morphology.extrema.extremes",
            values=("extent",),
            function=extremes,
            halo=lambda arguments: 1,
            dtype=lambda arguments: np.dtype(bool),
            cost_ns=15.0,
        ),
        *[
            Composite(
                name=f"morphology.{name}",
                source=f"skimage.morphology.{name}",
                check=_check,
                expand=_expand(low),
                gives="image",
            )
            for name, low in (("local_maxima", False), ("local_minima", True))
        ],
    ]
