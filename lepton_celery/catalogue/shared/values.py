"""Whole-image values that many functions need: the extent of the pixels, whether any is negative, one of several values.

The values are exact: they do not depend on the order in which blocks are merged.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Reduction, ValueFunction
from lepton_celery.catalogue.results import value_like, value_of
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
def item(values: Any, index: int | str) -> Any:
    """One of several values, by index or by name."""
    return values[index]
