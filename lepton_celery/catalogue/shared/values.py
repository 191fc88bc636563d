"""Whole-image values that many functions need: the extent of the pixels, whether any is negative, one of several values.

The values are exact: they do not depend on the order in which blocks are merged.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Reduction, ValueFunction
from lepton_celery.catalogue.results import ValueType, value_like, value_of
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

NO_PIXELS = "the mask leaves no pixel, so there is no least or greatest; give a mask that is not all False"

Extent = Array
"""The least and the greatest pixel."""


def pixels_of(image: Array, mask: Array | None) -> Array:
    """The pixels where the mask is set, or all pixels without a mask, in one dimension."""
    return image.ravel() if mask is None else image[mask.astype(bool)]


def merge_extent(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Extent:
    """The least and the greatest pixel; NaN if any pixel is NaN."""
    total: Array | None = None
    for _, partial in partials:
        extent = partial["extent"]
        if extent.size and total is None:
            total = extent
        elif extent.size and total is not None:
            total = np.array([np.minimum(total[0], extent[0]), np.maximum(total[1], extent[1])])
    if total is None:
        raise InputError(NO_PIXELS)
    return total


@declare(
    Reduction("lepton.extent", images=("image", "mask"), merge=merge_extent, result=value_like("image", 2), cost_ns=1.0)
)
def extent_partial(image: Array, mask: Array | None = None) -> Partial:
    """The least and the greatest pixel of a block; NaN if any pixel is NaN."""
    pixels = pixels_of(image, mask)
    ends = [pixels.min(), pixels.max()] if pixels.size else []
    return {"extent": np.array(ends, dtype=image.dtype)}


def merge_any(partials: Partials, arguments: Arguments, grid: BlockGrid) -> np.bool_:
    """Whether the partial of any block is True."""
    return np.bool_(any(bool(partial["any"][0]) for _, partial in partials))


@declare(Reduction("lepton.any_negative", merge=merge_any, result=value_of(bool), cost_ns=1.0))
def any_negative(image: Array) -> Partial:
    """Whether a pixel of this block is below 0."""
    return {"any": np.array([bool((image < 0).any())])}


@declare(ValueFunction("lepton.item", values=("values",), result=value_like("values")))
def item(values: Any, index: int) -> Any:
    """One of several values."""
    return values[index]


@declare(ValueFunction("lepton.python_item", values=("values",), result=value_like("values"), weak=True))
def python_item(values: Array, index: int) -> Any:
    """One of several values, as a Python number."""
    return values[index].item()


Item = int | Sequence[int | None] | None
"""The index along one axis of a value: a position, [start, stop, step], or None for a new axis."""


def _picked_type(arguments: Arguments) -> ValueType:
    values, shape = arguments["values"], []
    lengths = iter(values.shape)
    for item in arguments["index"]:
        n = 1 if item is None else next(lengths)
        if item is None or (n < 0 and not isinstance(item, int)):
            shape.append(n)
        elif not isinstance(item, int):
            shape.append(len(range(n)[slice(*item)]))
    return tuple(shape), values.dtype


@declare(ValueFunction("lepton.pick_values", values=("values",), result=_picked_type))
def pick_values(values: Array, index: Sequence[Item]) -> Any:
    """NumPy's basic indexing of a value."""
    items: tuple[Any, ...] = tuple(slice(*item) if isinstance(item, list | tuple) else item for item in index)
    try:
        return values[items]
    except IndexError as error:
        raise InputError(f"a lazy value turned out to be too short for an index of it: {error}") from error


def _number_type(arguments: Arguments) -> ValueType:
    ones = [one.dtype.type(1).item() if hasattr(one, "dtype") else one for one in arguments["operands"]]
    return (), np.asarray(getattr(operator, arguments["symbol"])(*ones)).dtype


@declare(ValueFunction("lepton.python_number", values=("operands",), result=_number_type, weak=True))
def python_number(symbol: str, operands: Sequence[Any]) -> Any:
    """An operator applied to Python numbers, which gives one again; NumPy's functions would give a number of its own."""
    return getattr(operator, symbol)(*operands)
