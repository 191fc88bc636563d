"""`skimage.filters.threshold_*`: one number for the whole image, found from its histogram."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import (
    Arguments,
    Array,
    DType,
    Lazy,
    Partial,
    Partials,
    Shape,
    View,
    Where,
    float_dtype,
)
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Reduction, ValueFunction, resolve
from lepton_celery.catalogue.results import ValueType, value_like, value_of
from lepton_celery.catalogue.shared.histograms import (
    HISTOGRAM_DTYPES,
    WIDE_DTYPES,
    bin_centers,
    extent_and_counts,
)
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region

WHOLE_PX = 1 << 24
"""The largest image, in pixels, that one worker loads as a whole to find a value; a few copies take less than 1 GiB."""


def _threshold_type(arguments: Arguments) -> ValueType:
    method = next(method for method in METHODS if method.name == arguments["method"])
    return method.shape(arguments), _centers_dtype(arguments["extent"].dtype)


@declare(ValueFunction("lepton.threshold", values=("extent", "counts"), result=_threshold_type))
def threshold(extent: Extent, counts: Array, method: str, nbins: int, **options: Any) -> Any:
    """`skimage.filters.threshold_{method}`, from the histogram."""
    find = resolve(f"skimage.filters.threshold_{method}")
    low, high = extent
    centers = bin_centers(extent, counts.size, extent.dtype)
    try:
        if low == high:  # no method uses the counts of a constant image, so two of its pixels can stand for it
            return find(extent, nbins=nbins, **options)
        if method == "triangle":
            return triangle(counts, centers)
        # of these functions, only threshold_multiotsu works on a normalized histogram
        return find(hist=(counts / np.sum(counts) if method == "multiotsu" else counts, centers), **options)
    except (ValueError, RuntimeError, IndexError) as error:
        raise InputError(
            f"threshold_{method} finds no threshold in the histogram of this image, whose values range over "
            f"[{low}, {high}]: {error}; use another method"
        ) from error


def triangle(counts: Array, centers: Array) -> Any:
    """The last part of `skimage.filters.threshold_triangle`, which has no parameter for a histogram."""
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


@declare(ValueFunction("lepton.li", values=("extent", "counts"), result=value_of(np.float64)))
def li(extent: Extent, counts: Array, tolerance: float | None, initial_guess: float | None) -> Any:
    """`skimage.filters.threshold_li` of an integer image, from the count of each value."""
    low, high = extent
    if low == high:
        return low
    with np.errstate(over="ignore"):
        # a signed image wider than its dtype's positive range wraps around, as it does in scikit-image
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


def merge_first(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
    """The value of the first block."""
    return next(iter(partials))[1]["value"][0]


@declare(Reduction("lepton.whole_li", merge=merge_first, result=value_like("image"), reads_itself=True, cost_ns=100.0))
def whole_li(image: View, where: Where, **options: Any) -> Partial:
    """`skimage.filters.threshold_li` of the whole image, computed by the first block."""
    from skimage.filters import threshold_li

    if any(where.region.start):
        return {"value": np.zeros(0)}
    return {"value": np.array([threshold_li(image.read(Region.whole(image.shape)), **options)])}


def _centers_dtype(dtype: DType) -> DType:
    return np.dtype(np.int64) if dtype.kind in "iu" else dtype


@dataclass(frozen=True)
class Method:
    """A function `threshold_{name}` that finds its threshold in the histogram."""

    name: str
    options: tuple[str, ...] = ()
    """Parameters besides the image and the number of bins."""
    shape: Callable[[Arguments], Shape] = lambda arguments: ()

    def entry(self) -> Composite:
        return Composite(
            f"filters.threshold_{self.name}",
            dtypes=HISTOGRAM_DTYPES,
            narrow_dtypes=WIDE_DTYPES,
            check=self.check,
            expand=self.expand,
            result=lambda arguments: (self.shape(arguments), _centers_dtype(arguments["image"].dtype)),
        )

    def expand(self, arguments: Arguments, build: Build) -> Lazy:
        extent, counts = extent_and_counts(build, arguments["image"], arguments["nbins"])
        options = {name: arguments[name] for name in ("nbins", *self.options)}
        return build("lepton.threshold", extent=extent, counts=counts, method=self.name, **options)

    def check(self, arguments: Arguments) -> None:
        if arguments["image"] is None or arguments.get("hist") is not None:
            raise InputError(f"threshold_{self.name} with hist is not supported here; give the image and no hist")
        if not arguments.get("classes", 2) >= 2:
            raise InputError(f"classes={arguments['classes']!r}; give at least 2")
        nbins = arguments["nbins"]
        if not isinstance(nbins, int | np.integer) or nbins < 1:
            raise InputError(f"nbins={nbins!r} is no number of bins; give a whole number of at least 1")
        if (bits := _combination_bits(int(nbins), int(arguments.get("classes", 2)) - 1)) > _MOST_COMBINATION_BITS:
            raise InputError(
                f"classes={arguments['classes']!r} with nbins={nbins} would compare 2**{bits:.0f} combinations of "
                f"thresholds, and at most 2**{_MOST_COMBINATION_BITS} are taken; give fewer classes or fewer bins"
            )


def _combination_bits(n: int, k: int) -> float:
    """The number of combinations of k out of n, as a power of two."""
    if not 0 <= k <= n:
        return 0.0
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


_MOST_COMBINATION_BITS = 37
"""Largest number of combinations that threshold_multiotsu compares, as a power of two: about half an hour of one process."""

METHODS = (
    Method("otsu"),
    Method("yen"),
    Method("isodata", ("return_all",), lambda arguments: (-1,) if arguments["return_all"] else ()),
    Method("minimum", ("max_num_iter",)),
    Method("triangle"),
    Method("multiotsu", ("classes",), lambda arguments: (int(arguments["classes"]) - 1,)),
)


def _float_result(arguments: Arguments) -> ValueType:
    return (), float_dtype(arguments["image"].dtype)


def _check_li(arguments: Arguments) -> None:
    image = arguments["image"]
    if arguments["iter_callback"] is not None:
        raise InputError("iter_callback is not supported here: workers cannot call it; leave it out")
    if callable(arguments["initial_guess"]):
        raise InputError("initial_guess cannot be a function here; give a number")
    if image.dtype.kind == "f" and math.prod(image.shape) > WHOLE_PX:
        raise InputError(
            f"threshold_li of a float image depends on the order of its sums, so one worker computes it, for up to "
            f"{WHOLE_PX:,} pixels; this image has {math.prod(image.shape):,}: convert it first, for instance with "
            "util.img_as_uint"
        )


@declare(
    Composite(
        "filters.threshold_li",
        dtypes=HISTOGRAM_DTYPES,
        narrow_dtypes=WIDE_DTYPES,
        check=_check_li,
        result=_float_result,
    )
)
def _expand_li(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["image"]
    options = {name: arguments[name] for name in ("tolerance", "initial_guess")}
    if image.dtype.kind == "f":
        return build("lepton.whole_li", image=image, **options)
    extent, counts = extent_and_counts(build, image, 1)
    return build("lepton.li", extent=extent, counts=counts, **options)


@declare(Composite("filters.threshold_mean", result=_float_result))
def _expand_mean(arguments: Arguments, build: Build) -> Lazy:
    return build("numpy.mean", a=arguments["image"])


ENTRIES = tuple(method.entry() for method in METHODS)
