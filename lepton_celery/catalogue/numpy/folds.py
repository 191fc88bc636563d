"""NumPy's reductions of a whole image, joined from the values of blocks in any order, and the positions of extremes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Partial, Partials, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Merge, Reduction, ValueFunction
from lepton_celery.catalogue.results import value_like, value_of
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.grid import BlockGrid


@dataclass(frozen=True)
class Fold:
    """A reduction that joins the values of blocks, in any order."""

    reduce: Callable[..., Any]
    """The value of one block, of all pixels or of those where the mask `where` is set."""
    join: np.ufunc
    dtype: Callable[[DType], DType]
    """Dtype of the pixels -> dtype of the value."""

    def partial(self, a: Array, where: Array | None = None) -> Partial:
        value = self.reduce(a) if where is None else self.reduce(a, where=where)
        return {"value": np.array([value], self.dtype(a.dtype))}

    def merge(self, partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
        total = None
        for _, partial in partials:
            total = partial["value"] if total is None else self.join(total, partial["value"])
        assert total is not None  # an image has pixels
        return total[0]

    def entry(self, name: str) -> Reduction:
        return Reduction(
            f"lepton.{name}_of_all",
            source=f"numpy.{name}",
            images=("a", "where"),
            partial=self.partial,
            merge=self.merge,
            result=lambda arguments: ((), self.dtype(arguments["a"].dtype)),
            cost_ns=1.0,
        )


def _long(dtype: DType) -> DType:
    """The dtype in which NumPy adds up integers."""
    return np.dtype(np.uint64 if dtype.kind == "u" else np.int64)


FOLDS: Mapping[str, Fold] = {
    "sum": Fold(np.sum, np.add, _long),
    "prod": Fold(np.prod, np.multiply, _long),
    "any": Fold(np.any, np.logical_or, lambda dtype: np.dtype(bool)),
    "all": Fold(np.all, np.logical_and, lambda dtype: np.dtype(bool)),
    "count_nonzero": Fold(np.count_nonzero, np.add, lambda dtype: np.dtype(np.int64)),
    "nanmin": Fold(lambda a: np.fmin.reduce(a, axis=None), np.fmin, lambda dtype: dtype),
    "nanmax": Fold(lambda a: np.fmax.reduce(a, axis=None), np.fmax, lambda dtype: dtype),
}


# ------------------------------------------------------------------------------------------------ extremes

Find = Callable[[Array], Any]
"""`np.argmin` or `np.argmax`."""


def _extreme_partial(find: Find) -> Callable[..., Partial]:
    """The partial of `find`: the first extreme pixel of a block, and its raster index in the whole image."""

    def partial(a: Array, where: Where) -> Partial:
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


@declare(ValueFunction("lepton.difference", values=("extent",), result=value_like("extent")))
def difference(extent: Extent) -> Any:
    """`numpy.ptp`, from the least and the greatest pixel."""
    with np.errstate(all="ignore"):
        return np.subtract(extent[1:], extent[:1])[0]


ENTRIES = (
    *(fold.entry(name) for name, fold in FOLDS.items()),
    *(
        Reduction(
            f"lepton.{find.__name__}_of_all",
            source=f"numpy.{find.__name__}",
            images=("a",),
            partial=_extreme_partial(find),
            merge=_merge_extreme(find),
            result=value_of(np.intp),
            wants_where=True,
            cost_ns=1.0,
        )
        for find in (np.argmin, np.argmax)
    ),
)
