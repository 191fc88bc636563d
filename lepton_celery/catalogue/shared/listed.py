"""The pixels of a small image as a whole-image value, for files that hold values, such as the profile of a volume."""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Reduction
from lepton_celery.grid import BlockGrid

MAX_LISTED_PX = 1 << 22
"""The largest number of pixels that become a value."""


def merge_listed(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """All pixels, in the places of their blocks."""
    result = np.empty(arguments["image"].shape, arguments["image"].dtype)
    for block, partial in partials:
        result[grid.region(block).slices] = partial["pixels"]
    return result


@declare(
    Reduction(
        "lepton.listed",
        merge=merge_listed,
        result=lambda arguments: (arguments["image"].shape, arguments["image"].dtype),
        cost_ns=1.0,
    )
)
def listed(image: Array) -> Partial:
    """The pixels of a block."""
    return {"pixels": image}
