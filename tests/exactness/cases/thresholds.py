"""Cases of `skimage.filters`: thresholds of a whole image."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import FLOATS, SOLID, Case, in_range

GREY = ("uint8", "uint16", "int16", "int8", *FLOATS)


def two_peaks(shape: tuple[int, ...], dtype: Any) -> Array:
    random = np.random.default_rng(4)
    values = np.where(random.random(shape) < 0.4, random.normal(0.3, 0.05, shape), random.normal(0.7, 0.08, shape))
    return in_range(values.clip(0, 1), dtype)


CASES: list[Case] = [
    Case("filters.threshold_otsu", {"nbins": 100}, FLOATS, SOLID),
    *[Case(f"filters.threshold_{name}", {"nbins": 37}, FLOATS, SOLID) for name in ("yen", "isodata", "triangle")],
    Case("filters.threshold_isodata", {"return_all": True}, ("uint8", *FLOATS)),
    Case("filters.threshold_minimum", {}, ("uint8", *FLOATS), make=two_peaks),
    Case("filters.threshold_minimum", {"nbins": 64, "max_num_iter": 500}, FLOATS, SOLID, make=two_peaks),
    Case("filters.threshold_multiotsu", {"classes": 4, "nbins": 40}, FLOATS, SOLID),
    Case("filters.threshold_multiotsu", {"classes": 2}, ("uint8",), make=two_peaks),
    Case("filters.threshold_li", {"tolerance": 0.01}, ("uint8", *FLOATS)),
    Case("filters.threshold_li", {"initial_guess": 0.5, "tolerance": 1e-4}, FLOATS, SOLID),
    Case("filters.threshold_li", {"initial_guess": 100.7}, ("uint8",)),
    Case("filters.threshold_mean", {}, FLOATS, (301, 299), blocks=[(64, 80)]),
]
