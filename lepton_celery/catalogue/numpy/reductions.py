"""NumPy's reductions of a whole image: sums, means, deviations, extremes.

Sums of integers do not depend on their order. Floats are added up in NumPy's own order (`shared.pairwise`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Partial, Partials, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Entry, Merge, Reduction, ValueFunction
from lepton_celery.catalogue.numpy.defaults import check_defaults, result_like
from lepton_celery.catalogue.results import value_like, value_of
from lepton_celery.catalogue.shared.pairwise import in_raster_order
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.grid import BlockGrid

# ------------------------------------------------------------------------------------------------ sums


@declare(ValueFunction("lepton.deviation_of", values=("squares",), result=value_like("squares")))
def deviation_of(squares: Any, count: int, ddof: float, root: bool) -> Any:
    """`numpy.var` or, with `root`, `numpy.std`, from the sum of the squared distances from the mean."""
    with np.errstate(all="ignore"):
        variance = squares.dtype.type(squares / np.maximum(np.intp(count) - ddof, 0))
        return variance.dtype.type(np.sqrt(variance)) if root else variance


def _expand_sum(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["a"]
    if image.dtype.kind in "bui":
        return build("lepton.sum_integers", a=image)
    return build("lepton.sum_in_order", image=in_raster_order(image, build))


def _expand_mean(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["a"]
    if image.dtype.kind in "bui" and math.prod(image.shape) << (8 * image.dtype.itemsize) <= 1 << 53:
        total = build("lepton.sum_integers", a=image)  # no sum exceeds 2**53, so NumPy's float64 sums are exact
    else:
        total = build("lepton.sum_in_order", image=in_raster_order(image, build))
    return build("lepton.mean_of", total=total, count=math.prod(image.shape))


def _expand_deviation(root: bool) -> Callable[[Arguments, Build], Lazy]:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        image, ddof, correction = arguments["a"], arguments["ddof"], arguments["correction"]
        mean = _expand_mean(arguments, build)
        squares = build("lepton.sum_in_order", image=in_raster_order(image, build), center=mean)
        ddof = correction if isinstance(correction, int | float) else ddof
        return build("lepton.deviation_of", squares=squares, count=math.prod(image.shape), ddof=ddof, root=root)

    return expand


# ------------------------------------------------------------------------------------------------ folds


@dataclass(frozen=True)
class Fold:
    """A reduction that joins the values of blocks, in any order."""

    reduce: Callable[[Array], Any]
    """The value of one block."""
    join: np.ufunc
    dtype: Callable[[DType], DType]
    """Dtype of the pixels -> dtype of the value."""
    kinds: str = "biuf"

    def partial(self, a: Array, **options: Any) -> Partial:
        return {"value": np.array([self.reduce(a)], self.dtype(a.dtype))}

    def merge(self, partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
        total = None
        for _, partial in partials:
            total = partial["value"] if total is None else self.join(total, partial["value"])
        assert total is not None  # an image has pixels
        return total[0]

    def entry(self, name: str) -> Reduction:
        function = name.partition(".")[2].removesuffix("_integers")
        return Reduction(
            name,
            source=f"numpy.{function}",
            images=("a",),
            dtype_kinds=self.kinds,
            check=check_defaults(function) if name.startswith("numpy.") else None,
            partial=self.partial,
            merge=self.merge,
            result=lambda arguments: ((), self.dtype(arguments["a"].dtype)),
            cost_ns=1.0,
        )


def _long(dtype: DType) -> DType:
    """The dtype in which NumPy adds up integers."""
    return np.dtype(np.uint64 if dtype.kind == "u" else np.int64)


FOLDS: Mapping[str, Fold] = {
    "lepton.sum_integers": Fold(np.sum, np.add, _long, "biu"),
    "numpy.prod": Fold(np.prod, np.multiply, _long, "biu"),
    "numpy.any": Fold(np.any, np.logical_or, lambda dtype: np.dtype(bool)),
    "numpy.all": Fold(np.all, np.logical_and, lambda dtype: np.dtype(bool)),
    "numpy.count_nonzero": Fold(np.count_nonzero, np.add, lambda dtype: np.dtype(np.int64)),
    "numpy.nanmin": Fold(lambda a: np.fmin.reduce(a, axis=None), np.fmin, lambda dtype: dtype),
    "numpy.nanmax": Fold(lambda a: np.fmax.reduce(a, axis=None), np.fmax, lambda dtype: dtype),
}


# ------------------------------------------------------------------------------------------------ extremes

Find = Callable[[Array], Any]
"""`np.argmin` or `np.argmax`."""


def _extreme_partial(find: Find) -> Callable[..., Partial]:
    """The partial of `find`: the first extreme pixel of a block, and its raster index in the whole image."""

    def partial(a: Array, where: Where, **options: Any) -> Partial:
        first = int(find(a))
        start = where.region.start
        position = [int(i) + origin for i, origin in zip(np.unravel_index(first, a.shape), start, strict=True)]
        return {
            "value": a.ravel()[first : first + 1],
            "position": np.array([np.ravel_multi_index(position, where.shape)]),
        }

    return partial


def _merge_extreme(find: Find) -> Merge:
    def merge(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
        best: tuple[int, Array] | None = None
        for _, partial in partials:
            # NumPy takes the first of equal pixels, and NaN before any number
            candidate = int(partial["position"][0]), partial["value"]
            pair = [candidate] if best is None else sorted([best, candidate], key=lambda item: item[0])
            best = pair[int(find(np.concatenate([value for _, value in pair])))]
        assert best is not None  # an image has pixels
        return np.intp(best[0])

    return merge


def _expand_extreme(index: int) -> Callable[[Arguments, Build], Lazy]:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        return build("lepton.item", values=build("lepton.extent", image=arguments["a"]), index=index)

    return expand


@declare(ValueFunction("lepton.difference", values=("extent",), result=value_like("extent")))
def difference(extent: Extent) -> Any:
    """`numpy.ptp`, from the least and the greatest pixel."""
    with np.errstate(all="ignore"):
        return np.subtract(extent[1:], extent[:1])[0]


def _expand_ptp(arguments: Arguments, build: Build) -> Lazy:
    return build("lepton.difference", extent=build("lepton.extent", image=arguments["a"]))


# ------------------------------------------------------------------------------------------------ entries


def _composite(name: str, expand: Callable[[Arguments, Build], Lazy], *allowed: str, **options: Any) -> Composite:
    """A reduction built from others; the parameters `allowed` may differ from their defaults."""
    options.setdefault("result", result_like(getattr(np, name)))
    return Composite(f"numpy.{name}", images=("a",), check=check_defaults(name, *allowed), expand=expand, **options)


ENTRIES: tuple[Entry, ...] = (
    *(fold.entry(name) for name, fold in FOLDS.items()),
    _composite("min", _expand_extreme(0), result=value_like("a")),
    _composite("max", _expand_extreme(1), result=value_like("a")),
    _composite("sum", _expand_sum),
    _composite("mean", _expand_mean),
    _composite("std", _expand_deviation(True), "ddof", "correction"),
    _composite("var", _expand_deviation(False), "ddof", "correction"),
    _composite("ptp", _expand_ptp, dtype_kinds="iuf"),
    *(
        Reduction(
            f"numpy.{find.__name__}",
            images=("a",),
            check=check_defaults(find.__name__),
            partial=_extreme_partial(find),
            merge=_merge_extreme(find),
            result=value_of(np.intp),
            wants_where=True,
            cost_ns=1.0,
        )
        for find in (np.argmin, np.argmax)
    ),
)
