"""Cases of functions that flood in rounds: reconstruction, h-maxima and h-minima."""

from __future__ import annotations

import numpy as np
from skimage.morphology import disk

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import COMMON, FLAT, NUMBERS, SOLID, Case
from tests.oracle import picture


def raised(image: Array) -> Array:
    """A mask over the seed."""
    return np.maximum(image, picture(image.shape, image.dtype, seed=4))


def sunk(image: Array) -> Array:
    """A mask under the seed."""
    return np.minimum(image, picture(image.shape, image.dtype, seed=4))


CASES: list[Case] = [
    Case("morphology.reconstruction", dtypes=NUMBERS, more=(raised,)),
    Case("morphology.reconstruction", {"method": "erosion"}, COMMON, more=(sunk,)),
    Case("morphology.reconstruction", {"footprint": disk(2)}, COMMON, more=(raised,)),
    Case("morphology.reconstruction", dtypes=COMMON, shape=SOLID, more=(raised,)),
    *[
        Case(f"morphology.{name}", {"h": h}, dtypes, shape)
        for name in ("h_maxima", "h_minima")
        for h, dtypes in ((40, ("uint8", "uint16", "int16")), (12.5, ("uint8",)))
        for shape in (FLAT, SOLID)
    ],
    *[Case(f"morphology.{name}", {"h": 2**15}, ("uint16", "int32")) for name in ("h_maxima", "h_minima")],
    Case("morphology.h_maxima", {"h": 0.1, "footprint": disk(1)}, ("float64",)),
]
