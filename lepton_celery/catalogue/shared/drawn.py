"""Images that are made from whole-image values or from a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Drawn
from lepton_celery.catalogue.results import dtype_of, given_dtype


@declare(Drawn("lepton.drawn_values", values=("values",), dtype=dtype_of("values"), cost_ns=0.5))
def drawn_values(values: Array, shape: Sequence[int], where: Where) -> Array:
    """Several values as an image of the same shape."""
    return values[where.region.slices]


@declare(Drawn("lepton.full", values=("value",), dtype=given_dtype, cost_ns=0.5))
def full(value: Any, shape: Sequence[int], dtype: str, where: Where) -> Array:
    """An image of one value."""
    return np.full(where.region.shape, value, dtype)
