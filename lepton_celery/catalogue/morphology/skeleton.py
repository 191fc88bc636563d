"""`skimage.morphology.thin` and `skeletonize`: objects peeled from outside, an iteration at a time.

An iteration looks two pixels far, but a thick object takes many. Blocks are peeled in rounds of some iterations each, with a
halo of as many times two pixels, until nothing is left to peel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, View, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Iterated, Local
from lepton_celery.catalogue.geometry import Stencil, any_block
from lepton_celery.catalogue.shared.halos import whole
from lepton_celery.errors import InputError

AT_ONCE = 16
"""Iterations of a round."""
PER_ITERATION_PX = 2
"""Two passes, each looks one pixel far."""


def _halo(iterations: int) -> int:
    return PER_ITERATION_PX * iterations


def peeled(image: View, state: View | None, where: Where, peel: Callable[[Array, int], Array]) -> tuple[Array, bool]:
    """A block after another round, and whether it lost a pixel."""
    wide = where.region.expand((_halo(AT_ONCE),) * len(where.shape), where.shape)
    inside = where.region.within(wide)
    before = (image if state is None else state).read(wide).astype(bool)
    after = peel(before, AT_ONCE)[inside]
    return after, state is None or bool((after != before[inside]).any())


def thin_round(image: View, state: View | None, where: Where) -> tuple[Array, bool]:
    """Source: `skimage.morphology.thin`, run on the block and what it looks at."""
    from skimage.morphology import thin

    return peeled(image, state, where, thin)


def zhang_round(image: View, state: View | None, where: Where) -> tuple[Array, bool]:
    """Source: `skimage.morphology.skeletonize` in two dimensions."""
    return peeled(image, state, where, zhang)


# ------------------------------------------------------------------------------------------------ Zhang and Suen

_WEIGHTS = np.array([[1, 2, 4], [128, 0, 8], [64, 32, 16]], np.uint8)
"""What each neighbour adds to the code of a pixel's neighbourhood: a bit, clockwise from the upper left."""
_DEPARTURES = {
    3: 1, 6: 1, 10: 3, 11: 1, 12: 1, 14: 1, 24: 2, 26: 2, 40: 3, 48: 0, 56: 2, 96: 2, 104: 2, 108: 2, 129: 0, 130: 3,
    131: 1, 134: 1, 160: 3, 161: 1, 176: 2, 192: 2, 194: 1, 198: 1, 224: 2,
}  # fmt: skip
"""Codes in which scikit-image 0.26 does something else than the paper, mostly so that diagonals get thinner."""


@cache
def _removal() -> Array:
    """By code of a neighbourhood, the passes in which its pixel goes: 1 the first, 2 the second, 3 both.

    Source: T. Y. Zhang and C. Y. Suen, A fast parallel algorithm for thinning digital patterns, CACM 27(3), 1984.
    """
    codes = np.arange(256)
    _, n, _, e, _, s, _, w = ring = [(codes >> bit & 1).astype(bool) for bit in range(8)]
    count = np.sum(ring, axis=0)
    begins = np.sum([~ring[at - 1] & ring[at] for at in range(8)], axis=0)  # runs of neighbours around the pixel
    removable = (count >= 2) & (count <= 6) & (begins == 1)
    first = removable & ~(n & e & s) & ~(e & s & w)
    second = removable & ~(n & e & w) & ~(n & s & w)
    table: Array = first * np.uint8(1) | second * np.uint8(2)
    table[list(_DEPARTURES)] = list(_DEPARTURES.values())
    return table


def zhang(image: Array, iterations: int) -> Array:
    """An image of two dimensions after so many iterations, or fewer when it has settled.

    Source: `skimage.morphology.skeletonize`, which goes on until it has.
    """
    from scipy.ndimage import correlate

    left = image.astype(np.uint8)
    for _ in range(iterations):
        before = np.count_nonzero(left)
        for turn in (1, 2):
            codes = correlate(left, _WEIGHTS, mode="constant")
            left[_removal()[codes] & turn != 0] = 0
        if np.count_nonzero(left) == before:
            break
    return left.astype(bool)


# ------------------------------------------------------------------------------------------------ entries


def _check_thin(arguments: Arguments) -> None:
    times = arguments["max_num_iter"]
    if times is not None and (not isinstance(times, int | np.integer) or times < 0):
        raise InputError(f"max_num_iter={times!r}; give a whole number, or None to go on until nothing changes")


def _expand_thin(arguments: Arguments, build: Build) -> Any:
    image, times = arguments["image"], arguments["max_num_iter"]
    if not times:
        return build("lepton.settled", image=build("lepton.thin_round", image=image))
    while times > AT_ONCE:
        image = build("lepton.thin_stored", image=image, max_num_iter=AT_ONCE)
        times -= AT_ONCE
    return build("lepton.thin", image=image, max_num_iter=int(times))


def _check_skeletonize(arguments: Arguments) -> None:
    method, ndim = arguments["method"], len(arguments["image"].shape)
    if method not in ("zhang", "lee", None):
        raise InputError(f"method={method!r} is not known; give 'zhang' or 'lee'")
    if method == "zhang" and ndim != 2:
        raise InputError(f"method='zhang' takes images of 2 axes, this one has {ndim}; give method='lee'")


def _expand_skeletonize(arguments: Arguments, build: Build) -> Any:
    image, method = arguments["image"], arguments["method"]
    if len(image.shape) == 2 and method != "lee":
        return build("lepton.settled", image=build("lepton.zhang_round", image=image))
    return build("lepton.skeletonize_lee", image=image, method="lee")


def entries() -> list[Entry]:
    """Thinning and skeletons."""
    here = "lepton_celery.catalogue.morphology.skeleton"
    thin = "skimage.morphology.thin"
    reach = Stencil(lambda arguments: _halo(arguments["max_num_iter"]), "2 * max_num_iter")
    return [
        *[
            Iterated(
                name=f"lepton.{function.__name__}",
                source=f"{here}.{function.__name__}",
                function=function,
                halo=lambda arguments: _halo(AT_ONCE),
                dtype=lambda arguments: np.dtype(bool),
                cost_ns=400.0,
            )
            for function in (thin_round, zhang_round)
        ],
        Local(name="lepton.thin", source=thin, geometry=reach, cost_ns=400.0),
        # many iterations are done some at a time, each from what the ones before left in a store
        Local(name="lepton.thin_stored", source=thin, geometry=reach, own_stage=any_block, cost_ns=400.0),
        Composite(
            name="morphology.thin", source=thin, ndims=(2,), check=_check_thin, expand=_expand_thin, gives="image"
        ),
        whole("lepton.skeletonize_lee", source="skimage.morphology.skeletonize", cost_ns=900.0),
        Composite(
            name="morphology.skeletonize",
            source="skimage.morphology.skeletonize",
            ndims=(2, 3),
            check=_check_skeletonize,
            expand=_expand_skeletonize,
            gives="image",
        ),
    ]
