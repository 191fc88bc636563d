"""Values that one process computes from whole images: the first block reads all pixels, the other blocks give nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array, Partial, Partials, View, Where
from lepton_celery.grid import Region


def in_first_block(where: Where, compute: Callable[..., Any], *views: View | None) -> Partial:
    """A block's partial: in the first block, the numbers that `compute` gives for the whole images."""
    if any(where.region.start):
        return {"numbers": np.zeros(0)}
    return {"numbers": np.atleast_1d(compute(*(view and view.read(Region.whole(view.shape)) for view in views)))}


def of_first_block(partials: Partials) -> Array:
    """The numbers of the first block."""
    return next(partial["numbers"] for _, partial in partials if partial["numbers"].size)
