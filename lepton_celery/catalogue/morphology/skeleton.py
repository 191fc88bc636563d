"""`skimage.morphology`: `thin`, `skeletonize` and `medial_axis`.

One iteration of thinning has a halo of two pixels, but a thick object takes many iterations. Blocks are thinned in rounds of
several iterations, with a halo of two pixels per iteration, until a round changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, View, Where
from lepton_celery.catalogue.declare import declare, leave_out, whole
from lepton_celery.catalogue.entries import Build, Composite, Iterated, Local
from lepton_celery.catalogue.geometry import Stencil, any_block
from lepton_celery.catalogue.results import always
from lepton_celery.catalogue.shared.fastest import KERNELS, fastest
from lepton_celery.errors import InputError
from lepton_celery.kernels import Kernel

ROUND_ITERATIONS = 16
"""Iterations of thinning per round."""
MAX_ITERATIONS = 1 << 14
"""Largest number of iterations that a graph has one after the other, a node for each `ROUND_ITERATIONS`."""
PER_ITERATION_PX = 2
"""The halo of an iteration, in pixels: one for each of its two passes."""

_ROUNDS: dict[str, Any] = {
    "halo": lambda arguments: PER_ITERATION_PX * ROUND_ITERATIONS,
    "dtype": always(bool),
    "cost_ns": 400.0,
}


def _peeled(image: View, state: View | None, where: Where, peel: Callable[[Array, int], Array]) -> tuple[Array, bool]:
    """A block after another round, and whether the round changed it."""
    wide = where.region.expand((PER_ITERATION_PX * ROUND_ITERATIONS,) * len(where.shape), where.shape)
    inside = where.region.within(wide)
    before = (image if state is None else state).read(wide).astype(bool)
    after = peel(before, ROUND_ITERATIONS)[inside]
    return after, state is None or bool((after != before[inside]).any())


@declare(Iterated("lepton.thin_round", **_ROUNDS))
def thin_round(image: View, state: View | None, where: Where) -> tuple[Array, bool]:
    """Runs `skimage.morphology.thin` on the block and its halo."""
    from skimage.morphology import thin

    return _peeled(image, state, where, thin)


@declare(Iterated("lepton.zhang_round", wants_kernels=True, **_ROUNDS))
def zhang_round(image: View, state: View | None, where: Where, kernels: bool = False) -> tuple[Array, bool]:
    """Runs `zhang` on the block and its halo."""
    return _peeled(image, state, where, lambda pixels, iterations: zhang(pixels, iterations, kernels))


# ------------------------------------------------------------------------------------------------ Zhang and Suen

_WEIGHTS = np.array([[1, 2, 4], [128, 0, 8], [64, 32, 16]], np.uint8)
"""The bit of each neighbour in the code of a pixel's neighbourhood, clockwise from the upper left."""
_DEPARTURES = {
    3: 1, 6: 1, 10: 3, 11: 1, 12: 1, 14: 1, 24: 2, 26: 2, 40: 3, 48: 0, 56: 2, 96: 2, 104: 2, 108: 2, 129: 0, 130: 3,
    131: 1, 134: 1, 160: 3, 161: 1, 176: 2, 192: 2, 194: 1, 198: 1, 224: 2,
}  # fmt: skip
"""The entries of `_removal` in which scikit-image 0.26 departs from the paper, mostly so that diagonals get thinner."""


@cache
def _removal() -> Array:
    """The passes that remove a pixel, by the code of its neighbourhood: 0 none, 1 the first, 2 the second, 3 both.

    Source: T. Y. Zhang and C. Y. Suen, A fast parallel algorithm for thinning digital patterns, CACM 27(3), 1984.
    """
    codes = np.arange(256)
    _, n, _, e, _, s, _, w = ring = [(codes >> bit & 1).astype(bool) for bit in range(8)]
    count = np.sum(ring, axis=0)
    runs = np.sum([~ring[bit - 1] & ring[bit] for bit in range(8)], axis=0)  # of neighbours around the pixel
    removable = (count >= 2) & (count <= 6) & (runs == 1)
    first = removable & ~(n & e & s) & ~(e & s & w)
    second = removable & ~(n & e & w) & ~(n & s & w)
    table: Array = first * np.uint8(1) | second * np.uint8(2)
    table[list(_DEPARTURES)] = list(_DEPARTURES.values())
    return table


def zhang(image: Array, iterations: int, kernels: bool = False) -> Array:
    """A 2-D image after up to this many iterations of `skimage.morphology.skeletonize`, which runs until nothing changes."""
    return fastest(thinned, {"image": image, "table": _removal(), "iterations": iterations}, kernels)


def thinned(image: Array, table: Array, iterations: int) -> Array:
    """A 2-D bool image after up to this many iterations, of two passes each; `table` is as in `_removal`."""
    from scipy.ndimage import correlate

    pixels = image.astype(np.uint8)
    for _ in range(iterations):
        before = np.count_nonzero(pixels)
        for turn in (1, 2):
            codes = correlate(pixels, _WEIGHTS, mode="constant")
            pixels[table[codes] & turn != 0] = 0
        if np.count_nonzero(pixels) == before:
            break
    return pixels.astype(bool)


def _thinning_trials() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(33)
    for shape in ((1, 1), (3, 40), (50, 60)):
        for share in (0.5, 0.95, 1.0):
            for iterations in (1, 3, 100):
                yield {"image": rng.random(shape) < share, "table": _removal(), "iterations": iterations}


KERNELS[thinned] = Kernel(
    "lepton_celery.kernels.thinning.thinned",
    lambda arguments: arguments["image"].size > 0 and arguments["image"].flags.c_contiguous,
    _thinning_trials,
)


# ------------------------------------------------------------------------------------------------ composites


def _check_thin(arguments: Arguments) -> None:
    times = arguments["max_num_iter"]
    if times is not None and (not isinstance(times, int | np.integer) or times < 0):
        raise InputError(f"max_num_iter={times!r}; give a whole number, or None to run until nothing changes")
    if times is not None and times > MAX_ITERATIONS:
        raise InputError(
            f"max_num_iter={times!r}; give at most {MAX_ITERATIONS:,}, or None to run until nothing changes"
        )


@declare(Composite("morphology.thin", ndims=(2,), check=_check_thin, gives="image"))
def _expand_thin(arguments: Arguments, build: Build) -> Lazy:
    image, times = arguments["image"], arguments["max_num_iter"]
    if not times:
        return build("lepton.after_rounds", image=build("lepton.thin_round", image=image))
    while times > ROUND_ITERATIONS:
        image = build("lepton.thin_stored", image=image, max_num_iter=ROUND_ITERATIONS)
        times -= ROUND_ITERATIONS
    return build("lepton.thin", image=image, max_num_iter=int(times))


def _check_skeletonize(arguments: Arguments) -> None:
    method, ndim = arguments["method"], len(arguments["image"].shape)
    if method not in ("zhang", "lee", None):
        raise InputError(f"method={method!r} is not known; give 'zhang' or 'lee'")
    if method == "zhang" and ndim != 2:
        raise InputError(f"method='zhang' takes images of 2 axes, this one has {ndim}; give method='lee'")


@declare(Composite("morphology.skeletonize", ndims=(2, 3), check=_check_skeletonize, gives="image"))
def _expand_skeletonize(arguments: Arguments, build: Build) -> Lazy:
    image, method = arguments["image"], arguments["method"]
    if len(image.shape) == 2 and method != "lee":
        return build("lepton.after_rounds", image=build("lepton.zhang_round", image=image))
    return build("lepton.skeletonize_lee", image=image, method="lee")


def _check_medial_axis(arguments: Arguments) -> None:
    leave_out(return_distance="compute the distances with ndimage.distance_transform_edt")(arguments)
    if not isinstance(arguments["rng"], int):
        raise InputError(
            f"rng={arguments['rng']!r}: medial_axis breaks ties at random; give a whole number, rng=0, "
            "for a reproducible result"
        )


_THIN: dict[str, Any] = {
    "source": "skimage.morphology.thin",
    "geometry": Stencil(lambda arguments: PER_ITERATION_PX * arguments["max_num_iter"], "2 * max_num_iter"),
    "cost_ns": 400.0,
}

ENTRIES = (
    Local("lepton.thin", **_THIN),
    # many iterations are divided among several stages, each of which reads the stored result of the one before
    Local("lepton.thin_stored", own_stage=any_block, **_THIN),
    whole("lepton.skeletonize_lee", source="skimage.morphology.skeletonize", cost_ns=900.0),
    whole(
        "morphology.medial_axis",
        images=("image", "mask"),
        samples={"image": "mask", "mask": "mask"},
        ndims=(2,),
        check=_check_medial_axis,
        example={"rng": 0},
        cost_ns=280.0,
    ),
)
