"""`skimage.filters.threshold_*`: one number for the whole image, found from its histogram."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, View, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Reduction, resolve
from lepton_celery.catalogue.shared.pairwise import float_of
from lepton_celery.catalogue.shared.values import HISTOGRAM_DTYPES, bin_centers, extent_and_counts, value_function
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region

WHOLE_PX = 1 << 24
"""Pixels of an image that one worker may look at as a whole to find a value: a few copies stay below a GiB."""


def threshold(extent: Array, counts: Array, method: str, nbins: int, **options: Any) -> Any:
    """Source: `skimage.filters.threshold_` and the method, given the histogram."""
    find = resolve(f"skimage.filters.threshold_{method}")
    low, high = extent
    centers = bin_centers(extent, counts.size, extent.dtype)
    try:
        if low == high:  # two pixels have the whole image's histogram but for the counts, which no method then looks at
            return find(extent, nbins=nbins, **options)
        if method == "triangle":
            return triangle(counts, centers)
        # the only method that has its histogram add up to 1
        return find(hist=(counts / np.sum(counts) if method == "multiotsu" else counts, centers), **options)
    except (ValueError, RuntimeError, IndexError) as error:
        raise InputError(
            f"threshold_{method} finds no threshold in the histogram of this image, whose values range over "
            f"[{low}, {high}]: {error}; use another method"
        ) from error


def triangle(counts: Array, centers: Array) -> Any:
    """Source: `skimage.filters.threshold_triangle`, behind its histogram."""
    nbins = len(counts)
    peak = np.argmax(counts)
    low, high = np.flatnonzero(counts)[[0, -1]]
    flip = peak - low < high - peak  # the left tail is shorter
    if flip:
        counts = counts[::-1]
        low, peak = nbins - high - 1, nbins - peak - 1
    height, width = counts[peak], peak - low
    x = np.arange(width)
    norm = np.sqrt(height**2 + width**2)
    length = height / norm * x - width / norm * counts[x + low]
    level = np.argmax(length) + low
    return centers[nbins - level - 1 if flip else level]


def li(extent: Array, counts: Array, tolerance: float | None, initial_guess: float | None) -> Any:
    """Source: `skimage.filters.threshold_li` for integers, from their counts."""
    low, high = extent
    if low == high:
        return low
    with np.errstate(over="ignore"):
        # a signed image wider than its dtype's positive range wraps around, as it does there
        values = (np.arange(int(low), int(high) + 1).astype(extent.dtype) - low)[counts > 0].astype(np.int64)
    least, greatest = int(values.min()), int(values.max())
    centers = np.arange(least, greatest + 1)
    weights = np.zeros(centers.size, np.float32)
    weights[values - least] = counts[counts > 0]
    tolerance = tolerance or 0.5
    following: Any
    if initial_guess is None:
        following = np.float64(int((values * counts[counts > 0]).sum())) / np.intp(counts.sum())
    else:
        following = initial_guess - float(low)
        if not 0 < following < greatest:
            raise InputError(
                f"initial_guess {initial_guess} is not inside the image's values, {low} to {high}; give another"
            )
        following = extent.dtype.type(following)
    current: Any = -2 * tolerance
    while abs(following - current) > tolerance:
        current = following
        above = centers > current
        upper = np.average(centers[above], weights=weights[above])
        lower = np.average(centers[~above], weights=weights[~above])
        if lower == 0:
            break
        following = (lower - upper) / (np.log(lower) - np.log(upper))
    return following + low


def whole_li(image: View, where: Where, **options: Any) -> Partial:
    """`skimage.filters.threshold_li` of the whole image, by the block that has its first pixel."""
    from skimage.filters import threshold_li

    if any(where.region.start):
        return {"value": np.zeros(0)}
    return {"value": np.array([threshold_li(image.read(Region.whole(image.shape)), **options)])}


def _first(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
    return next(iter(partials))[1]["value"][0]


def _centers_dtype(arguments: Arguments) -> np.dtype[Any]:
    dtype: np.dtype[Any] = arguments["image"].dtype
    return np.dtype(np.int64) if dtype.kind in "iu" else dtype


@dataclass(frozen=True)
class Method:
    """A threshold found from the histogram."""

    name: str
    options: tuple[str, ...] = ()
    """Parameters besides the image and the number of bins."""
    shape: Callable[[Arguments], tuple[int, ...]] = lambda arguments: ()

    def entry(self) -> Composite:
        return Composite(
            name=f"filters.threshold_{self.name}",
            source=f"skimage.filters.threshold_{self.name}",
            dtypes=HISTOGRAM_DTYPES,
            check=self.check,
            expand=self.expand,
            result=lambda arguments: (self.shape(arguments), _centers_dtype(arguments)),
        )

    def expand(self, arguments: Arguments, build: Build) -> Any:
        histogram = _histogram(arguments["image"], arguments["nbins"], build)
        options = {name: arguments[name] for name in ("nbins", *self.options)}
        return build("lepton.threshold", **histogram, method=self.name, **options)

    def check(self, arguments: Arguments) -> None:
        if arguments["image"] is None or arguments.get("hist") is not None:
            raise InputError(f"threshold_{self.name} is found from the image here; give the image and no hist")
        narrow(arguments)
        nbins = arguments["nbins"]
        if not isinstance(nbins, int | np.integer) or nbins < 1:
            raise InputError(f"nbins={nbins!r} is no number of bins; give a whole number of at least 1")


METHODS = (
    Method("otsu"),
    Method("yen"),
    Method("isodata", ("return_all",), lambda arguments: (-1,) if arguments["return_all"] else ()),
    Method("minimum", ("max_num_iter",)),
    Method("triangle"),
    Method("multiotsu", ("classes",), lambda arguments: (int(arguments["classes"]) - 1,)),
)


def _histogram(image: Any, nbins: int, build: Build) -> dict[str, Any]:
    extent, counts = extent_and_counts(build, image, nbins)
    return {"extent": extent, "counts": counts}


def narrow(arguments: Arguments) -> None:
    """Refuse integers of so many bits that a bin for each value is too many."""
    image = arguments["image"]
    if image.dtype.kind in "iu" and image.dtype.itemsize > 2:
        raise InputError(
            f"an image of {image.dtype} would need one bin for each of its values; "
            "convert it to uint8, uint16 or a float dtype first"
        )


def _expand_li(arguments: Arguments, build: Build) -> Any:
    image = arguments["image"]
    options = {name: arguments[name] for name in ("tolerance", "initial_guess")}
    if image.dtype.kind == "f":
        return build("lepton.whole_li", image=image, **options)
    return build("lepton.li", **_histogram(image, 1, build), **options)


def _check_li(arguments: Arguments) -> None:
    narrow(arguments)
    image = arguments["image"]
    if arguments["iter_callback"] is not None:
        raise InputError("iter_callback is not supported here: workers have no way back to it; leave it out")
    if callable(arguments["initial_guess"]):
        raise InputError("initial_guess cannot be a function here; give a number")
    if image.dtype.kind == "f" and math.prod(image.shape) > WHOLE_PX:
        raise InputError(
            f"threshold_li goes over a float image again and again in an order of its own, so it is found by one worker, "
            f"for up to {WHOLE_PX:,} pixels; this image has {math.prod(image.shape):,}: convert it first, for instance "
            "with util.img_as_uint"
        )


def entries() -> list[Entry]:
    """Thresholds."""
    here = "lepton_celery.catalogue.filters.thresholds"
    return [
        value_function(threshold, ("extent", "counts"), lambda arguments: ((), arguments["extent"].dtype)),
        value_function(li, ("extent", "counts"), lambda arguments: ((), np.dtype(np.float64))),
        Reduction(
            name="lepton.whole_li",
            source=f"{here}.whole_li",
            partial=whole_li,
            merge=_first,
            result=lambda arguments: ((), arguments["image"].dtype),
            reads_itself=True,
            cost_ns=100.0,
        ),
        *[method.entry() for method in METHODS],
        Composite(
            name="filters.threshold_li",
            source="skimage.filters.threshold_li",
            dtypes=HISTOGRAM_DTYPES,
            check=_check_li,
            expand=_expand_li,
            result=lambda arguments: ((), float_of(arguments["image"].dtype)),
        ),
        Composite(
            name="filters.threshold_mean",
            source="skimage.filters.threshold_mean",
            expand=lambda arguments, build: build("numpy.mean", a=arguments["image"]),
            result=lambda arguments: ((), float_of(arguments["image"].dtype)),
        ),
    ]
