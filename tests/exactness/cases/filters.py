"""Ridges, local thresholds, Gabor filters and masks."""

from __future__ import annotations

import numpy as np
from skimage.morphology import disk

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import COMMON, EVERY, FLAT, FLOATS, SOLID, Case
from tests.oracle import picture

RIDGES = ("sato", "frangi", "meijering", "hessian")
EDGES = ("sobel", "scharr", "prewitt", "farid")


def mask(image: Array) -> Array:
    return picture(image.shape, "bool", seed=7)


CASES: list[Case] = [
    *[Case(f"filters.{name}", {"sigmas": (1.5, 2)}, COMMON) for name in RIDGES],
    *[Case(f"filters.{name}", {"sigmas": [2], "black_ridges": False}, ("uint8", "float32"), SOLID) for name in RIDGES],
    *[Case(f"filters.{name}", {"sigmas": [2], "mode": "constant", "cval": 0.3}, FLOATS) for name in RIDGES],
    Case("filters.sato", {}, ("float64",), blocks=[(11, 13)]),
    Case("filters.frangi", {"sigmas": (2, 3), "gamma": 4.5, "alpha": 0.3, "beta": 0.7}, FLOATS),
    Case("filters.meijering", {"sigmas": (2,), "alpha": -0.2}, FLOATS),
    *[Case(f"filters.{name}", {}, EVERY, given={"mask": mask}) for name in (*EDGES, "laplace")],
    *[Case(f"filters.{name}_{axis}", {}, FLOATS, given={"mask": mask}) for name in EDGES for axis in "hv"],
    *[Case(f"filters.roberts{kind}", {}, COMMON, given={"mask": mask}) for kind in ("", "_pos_diag", "_neg_diag")],
    Case("filters.gabor", {"frequency": 0.3}, COMMON),
    Case("filters.gabor", {"frequency": 0.2, "theta": 0.7, "sigma_x": 1.5, "sigma_y": 3, "mode": "nearest"}, COMMON),
    Case("filters.correlate_sparse", {"kernel": np.array([[1, 0, 2], [0, 0, 0], [0, 3, 0]])}, COMMON),
    Case("filters.correlate_sparse", {"kernel": np.ones((3, 1, 5)), "mode": "nearest"}, COMMON, SOLID),
    *[
        Case(f"filters.threshold_{name}", {"window_size": size}, dtypes, shape)
        for name in ("niblack", "sauvola")
        for size, dtypes, shape in (
            (15, ("uint8", "uint16", "int16", "float64"), FLAT),
            ((5, 9), ("uint8", "bool"), FLAT),
            (5, ("uint8",), SOLID),
        )
    ],
    Case("filters.threshold_sauvola", {"window_size": 7, "k": 0.3, "r": 50}, ("uint8",)),
    Case("filters.threshold_local", {"block_size": 5}, EVERY),
    Case("filters.threshold_local", {"block_size": (3, 7), "offset": 3, "mode": "mirror"}, COMMON),
    Case("filters.threshold_local", {"block_size": 5, "method": "mean"}, COMMON),
    Case("filters.threshold_local", {"block_size": 5, "method": "mean", "offset": 0.1}, FLOATS, SOLID),
    Case("filters.threshold_local", {"block_size": 5, "method": "median"}, COMMON),
    Case("filters.threshold_local", {"block_size": 7, "param": 2.0}, FLOATS),
    Case("filters.butterworth", {}, COMMON),
    Case("filters.butterworth", {"cutoff_frequency_ratio": 0.2, "high_pass": False, "npad": 3}, COMMON),
    Case("filters.median", {"footprint": disk(1), "mode": "wrap"}, COMMON),
]
