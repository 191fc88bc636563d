"""The number of pixels with each value of an image, from which entropies, lists of labels and label sizes follow."""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Reduction, ValueFunction
from lepton_celery.catalogue.results import value_like, value_of
from lepton_celery.grid import BlockGrid, Region

_WAITING_VALUES = 1 << 20
"""Least number of values that are gathered from partials before they are merged: a few MiB."""


def combine_value_counts(partials: Partials, arguments: Arguments, grid: BlockGrid, region: Region) -> Partial:
    """The values of several blocks, ascending, and their counts.

    Partials are gathered until there are twice as many values as in the total so far, so that a large total is not sorted
    again for each block.
    """
    waiting: list[Partial] = []
    limit = size = 0
    for _, partial in partials:
        waiting.append(partial)
        size += partial["values"].size
        if size > limit:
            waiting = [_added_up(waiting)]
            size = waiting[0]["values"].size
            limit = max(_WAITING_VALUES, 2 * size)
    return _added_up(waiting)


def merge_value_counts(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Partial:
    """All values, ascending, and their counts."""
    return combine_value_counts(partials, arguments, grid, Region.whole(grid.shape))


def _added_up(partials: list[Partial]) -> Partial:
    if len(partials) == 1:
        return partials[0]
    values, index = np.unique(np.concatenate([partial["values"] for partial in partials]), return_inverse=True)
    counts = np.zeros(values.size, np.int64)
    np.add.at(counts, index, np.concatenate([partial["counts"] for partial in partials]))
    return {"values": values, "counts": counts}


@declare(
    Reduction(
        "lepton.value_counts",
        merge=merge_value_counts,
        combine=combine_value_counts,
        result=value_like("image", -1),
        cost_ns=30.0,
    )
)
def value_counts(image: Array) -> Partial:
    """The values that occur in a block, ascending, and the number of pixels with each."""
    if image.dtype == np.uint8:  # np.unique would sort the pixels
        counts = np.bincount(image.ravel(), minlength=256)
        present = np.flatnonzero(counts)
        return {"values": present.astype(np.uint8), "counts": counts[present]}
    values, counts = np.unique(image, return_counts=True)
    return {"values": values, "counts": counts}


@declare(ValueFunction("lepton.occurring", values=("counts",), result=value_like("counts", -1)))
def occurring(counts: Partial) -> Array:
    """The values that occur, ascending."""
    return counts["values"]


@declare(ValueFunction("lepton.occurrences", values=("counts",), result=value_of(np.int64, -1)))
def occurrences(counts: Partial) -> Array:
    """The number of pixels with each value that occurs."""
    return counts["counts"]


def find_values(image: Array, values: Array) -> tuple[Array, Array]:
    """The index of each pixel among ascending values, and whether it is one of them."""
    if not values.size:
        return np.zeros(image.shape, np.intp), np.zeros(image.shape, bool)
    index = np.minimum(np.searchsorted(values, image), values.size - 1)
    return index, values[index] == image
