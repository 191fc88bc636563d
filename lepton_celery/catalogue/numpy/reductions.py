"""NumPy's reductions: sums, means, deviations, extremes, of a whole image, along axes, and of whole-image values.

Sums of integers do not depend on their order. Floats are added up in NumPy's own order (`shared.pairwise`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, DType, Lazy, float_dtype
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Entry, ValueFunction
from lepton_celery.catalogue.numpy.reducing import Expand, Reducing, mask_of
from lepton_celery.catalogue.results import value_like
from lepton_celery.catalogue.shared.memory_order import in_memory_order
from lepton_celery.catalogue.shared.pairwise import in_raster_order
from lepton_celery.errors import InputError

DEGREES = ("ddof", "correction")
"""The two names of the number by which `std` and `var` lessen the count."""

# ------------------------------------------------------------------------------------------------ sums


@declare(ValueFunction("lepton.deviation_of", values=("squares",), result=value_like("squares")))
def deviation_of(squares: Any, count: int, ddof: float, root: bool) -> Any:
    """`numpy.var` or, with `root`, `numpy.std`, from the sum of the squared distances from the mean."""
    with np.errstate(all="ignore"):
        variance = squares.dtype.type(squares / np.maximum(np.intp(count) - ddof, 0))
        return variance.dtype.type(np.sqrt(variance)) if root else variance


def sum_of(image: Lazy, dtype: DType, build: Build, center: Lazy | None = None, mask: Lazy | None = None) -> Lazy:
    """The node of the sum of all pixels, or of their squared distances from `center`, in this dtype."""
    if center is None and image.dtype.kind in "bui":
        exact = math.prod(image.shape) << (8 * image.dtype.itemsize) <= 1 << 53  # no sum exceeds 2**53
        if dtype.kind in "iu" or (dtype == np.float64 and exact):
            total = build("lepton.sum_of_all", a=image, where=mask)
            return total if total.dtype == dtype else build("numpy.astype", x=total, dtype=dtype.name)
    if mask is not None:
        raise InputError(f"the sum of a {image.dtype} image in {dtype} with where depends on the order; give axis")
    image = in_raster_order(in_memory_order(image, build), build)
    return build("lepton.sum_in_order", image=image, center=center, dtype=dtype.name)


def expand_sum(arguments: Arguments, build: Build) -> Lazy:
    image, dtype = arguments["a"], arguments["dtype"]
    return sum_of(image, np.sum(np.zeros(1, image.dtype), dtype=dtype).dtype, build, mask=mask_of(arguments))


def expand_mean(arguments: Arguments, build: Build) -> Lazy:
    image, dtype = arguments["a"], arguments["dtype"]
    dtype = float_dtype(image.dtype) if dtype is None else np.dtype(dtype)
    if dtype.kind != "f":
        raise InputError(f"numpy.mean with dtype={dtype} loses the fractions on the way; give a float dtype")
    mask = mask_of(arguments)
    count = math.prod(image.shape) if mask is None else build("lepton.sum_of_all", a=mask)
    return build("lepton.mean_of", total=sum_of(image, dtype, build, mask=mask), count=count)


def expand_deviation(root: bool) -> Expand:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        image, ddof, correction = arguments["a"], arguments["ddof"], arguments["correction"]
        mean = expand_mean(arguments, build)
        if np.result_type(image.dtype, mean.dtype) != mean.dtype:
            raise InputError(f"dtype={mean.dtype} is narrower than the image's {image.dtype}; leave dtype out")
        squares = sum_of(image, mean.dtype, build, center=mean)
        ddof = correction if isinstance(correction, int | float) else ddof
        return build("lepton.deviation_of", squares=squares, count=math.prod(image.shape), ddof=ddof, root=root)

    return expand


# ------------------------------------------------------------------------------------------------ extremes


def _expand_extreme(index: int) -> Expand:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        return build("lepton.item", values=build("lepton.extent", image=arguments["a"]), index=index)

    return expand


def _expand_ptp(arguments: Arguments, build: Build) -> Lazy:
    return build("lepton.difference", extent=build("lepton.extent", image=arguments["a"]))


# ------------------------------------------------------------------------------------------------ entries


def _of_all(name: str) -> Expand:
    """Builds the value of all pixels that blocks join."""
    return lambda arguments, build: build(f"lepton.{name}_of_all", a=arguments["a"], where=mask_of(arguments))


def _position(name: str) -> Expand:
    """Builds the position of an extreme."""
    return lambda arguments, build: build(f"lepton.{name}_of_all", a=arguments["a"])


REDUCTIONS = (
    *(Reducing(name, _of_all(name), masked_kinds="biuf") for name in ("any", "all")),
    Reducing("count_nonzero", _of_all("count_nonzero")),
    *(Reducing(name, _position(name)) for name in ("argmin", "argmax")),
    Reducing("min", _expand_extreme(0), along=("initial",)),
    Reducing("max", _expand_extreme(1), along=("initial",)),
    Reducing("sum", expand_sum, along=("dtype", "initial"), over_all=("dtype",), masked_kinds="bui"),
    Reducing("mean", expand_mean, along=("dtype",), over_all=("dtype",), masked_kinds="bui"),
    *(
        Reducing(name, expand_deviation(name == "std"), along=("dtype", *DEGREES), over_all=("dtype", *DEGREES))
        for name in ("std", "var")
    ),
)

ENTRIES: tuple[Entry, ...] = (
    *(reduction.entry() for reduction in REDUCTIONS),
    Reducing("ptp", _expand_ptp).entry(dtype_kinds="iuf"),
    # of floats, only the products along axes are exact
    Reducing("prod", _of_all("prod"), ("dtype", "initial"), kinds_over_all="bui", masked_kinds="bui").entry(
        example={"axis": 0}
    ),
)
