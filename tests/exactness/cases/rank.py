"""Cases of `skimage.filters.rank`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from skimage.morphology import disk

from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.filters.rank import FLAT, SOLID
from tests.exactness.cases.case import SOLID as VOLUME
from tests.exactness.cases.case import Case, mask
from tests.oracle import picture

DTYPES = ("uint8", "uint16")
BALL = np.ones((3, 3, 3), np.uint8)


def few(shape: tuple[int, ...], dtype: Any) -> Array:
    """Pixels below 1,000: rank filters are slow on images with many grey levels."""
    return (picture(shape, "uint8").astype(dtype) * (3 if dtype == "uint16" else 1)).astype(dtype)


def options(name: str) -> Mapping[str, Any]:
    if name.endswith("bilateral"):
        return {"s0": 30, "s1": 60}
    if name in ("percentile", "threshold_percentile"):
        return {"p0": 0.3}
    return {"p0": 0.1, "p1": 0.8} if name.endswith("percentile") else {}


CASES: list[Case] = [
    *[
        Case(f"filters.rank.{name}", {"footprint": disk(2), **options(name)}, DTYPES, make=few)
        for name in (*FLAT, *SOLID)
    ],
    *[
        Case(f"filters.rank.{name}", {"footprint": disk(3), **options(name)}, DTYPES, make=few, given={"mask": mask})
        for name in (*FLAT, *SOLID)
    ],
    *[Case(f"filters.rank.{name}", {"footprint": BALL}, DTYPES, VOLUME, make=few) for name in SOLID],
    *[
        Case(f"filters.rank.{name}", {"footprint": np.ones((3, 4)), "shift_x": 1, "shift_y": -1}, DTYPES, make=few)
        for name in ("mean", "autolevel", "mean_percentile")
    ],
    Case("filters.rank.median", {}, DTYPES, make=few),
    Case("filters.rank.windowed_histogram", {"footprint": disk(2), "n_bins": 8}, ("uint8",), blocks=[(5, 7, 3)]),
]
