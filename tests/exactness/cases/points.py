"""Cases of `skimage.feature`: peaks, corners and blobs."""

from __future__ import annotations

import math

import numpy as np

from tests.exactness.cases.case import COMMON, EVERY, FLAT, FLOATS, NUMBERS, SOLID, Case

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
EVEN = np.ones((2, 4))

CASES: list[Case] = [
    Case("feature.peak_local_max", {"min_distance": 3}, NUMBERS),
    Case("feature.peak_local_max", {"min_distance": 2, "p_norm": 2.0, "num_peaks": 7}, COMMON),
    Case("feature.peak_local_max", {"min_distance": 2, "exclude_border": False}, COMMON, SOLID),
    Case("feature.peak_local_max", {"num_peaks": 5, "exclude_border": 4}, COMMON),
    Case("feature.peak_local_max", {"exclude_border": (0, 5), "threshold_rel": 0.4}, COMMON),
    Case("feature.peak_local_max", {"threshold_abs": 0.3, "threshold_rel": 0.7}, FLOATS),
    Case("feature.peak_local_max", {"threshold_abs": 30}, ("uint8", "int16")),
    *[Case("feature.peak_local_max", {"footprint": f, "exclude_border": False}, COMMON) for f in (CROSS, EVEN)],
    Case("feature.peak_local_max", {"footprint": np.ones((1, 1)), "num_peaks": 30}, COMMON),
    Case("feature.corner_peaks", {"min_distance": 4, "num_peaks": 6, "p_norm": 1}, COMMON),
    Case("feature.corner_peaks", {"min_distance": 2, "threshold_rel": 0.2, "exclude_border": False}, COMMON, SOLID),
    Case("feature.blob_log", {"max_sigma": 4, "num_sigma": 5, "threshold": 0.02}, EVERY),
    Case("feature.blob_log", {"max_sigma": 3, "num_sigma": 4, "threshold": 0.05, "log_scale": True}, COMMON),
    Case("feature.blob_log", {"min_sigma": (1, 0.7), "max_sigma": (3, 2), "num_sigma": 3, "threshold": 0.05}, COMMON),
    Case("feature.blob_log", {"max_sigma": 2, "num_sigma": 3, "threshold": 0.1, "exclude_border": 2}, FLOATS, SOLID),
    Case("feature.blob_log", {"max_sigma": 3, "num_sigma": 3, "threshold": None, "threshold_rel": 0.3}, COMMON),
    Case("feature.blob_dog", {"max_sigma": 4, "threshold": 0.02}, EVERY),
    Case("feature.blob_dog", {"max_sigma": 4, "threshold": 0.02, "overlap": 0, "exclude_border": (2, 0)}, COMMON),
    Case("feature.blob_dog", {"min_sigma": (1, 1.2), "max_sigma": 5, "sigma_ratio": 1.3, "threshold": 0.01}, COMMON),
    Case("feature.blob_dog", {"max_sigma": 2, "threshold": 0.05}, FLOATS, SOLID),
    Case("feature.blob_doh", {"max_sigma": 5, "num_sigma": 4, "threshold": 0.001}, EVERY),
    Case(
        "feature.blob_doh", {"min_sigma": 2, "max_sigma": 6, "num_sigma": 4, "log_scale": True, "threshold": 0}, COMMON
    ),
    Case("feature.blob_doh", {"max_sigma": 5, "num_sigma": 3, "threshold": 0, "threshold_rel": 0.1}, COMMON, (9, 40)),
    Case("feature.blob_log", {"max_sigma": 2, "num_sigma": 3, "threshold": 1e9}, ("float64",), FLAT),
    Case("feature.peak_local_max", {"num_peaks": math.inf}, ("float32",), (60,)),
]
