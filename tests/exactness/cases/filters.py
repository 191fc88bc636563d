"""Cases of `skimage.filters`: smoothing, edges, ridges, local thresholds and masks."""

from __future__ import annotations

import numpy as np
from skimage.morphology import ball, disk

from tests.exactness.cases.case import COMMON, EVERY, FLAT, FLOATS, SOLID, Case, mask, signed

RIDGES = ("sato", "frangi", "meijering", "hessian")
MODES = ("nearest", "reflect", "mirror", "constant", "wrap")
RGB = (*FLAT, 3)
EDGES = ("sobel", "scharr", "prewitt", "farid")


CASES: list[Case] = [
    # smoothing
    Case("filters.gaussian", {"sigma": 2.3}, EVERY, SOLID),
    Case("filters.gaussian", {"sigma": 1.5}, FLOATS, (50,)),
    Case("filters.gaussian", {"sigma": 1}, FLOATS, (5, 6, 7, 8)),
    Case("filters.gaussian", {"sigma": (0, 3)}, COMMON),
    Case("filters.gaussian", {"sigma": [2, 0.5, 1.2], "truncate": 2.5}, FLOATS, SOLID),
    Case("filters.gaussian", {"sigma": 1.2, "channel_axis": -1}, COMMON, RGB),
    Case("filters.gaussian", {"sigma": (1, 2), "channel_axis": 0}, FLOATS, (3, *FLAT), blocks=[(1, 7, 9), (2, 30, 5)]),
    Case("filters.gaussian", {"sigma": 1.2}, FLOATS, RGB),
    Case("filters.gaussian", {"sigma": 2, "preserve_range": True}, EVERY),
    *[Case("filters.gaussian", {"sigma": 3, "mode": mode, "cval": 0.4}, ("uint8", "float64")) for mode in MODES],
    Case("filters.difference_of_gaussians", {"low_sigma": (1, 2)}, FLOATS),
    Case("filters.difference_of_gaussians", {"low_sigma": 1, "high_sigma": (2, 3, 1)}, FLOATS, SOLID),
    Case("filters.difference_of_gaussians", {"low_sigma": 1, "mode": "mirror", "channel_axis": 2}, FLOATS, RGB),
    Case("filters.unsharp_mask", {"radius": 2, "amount": 1.5}, ("int16", "int32", *FLOATS), make=signed),
    Case("filters.unsharp_mask", {"radius": 1.5, "amount": 3}, COMMON, SOLID),
    Case("filters.unsharp_mask", {"radius": (1, 2), "preserve_range": True}, EVERY),
    Case("filters.unsharp_mask", {"radius": 2, "channel_axis": 2}, COMMON, RGB),
    Case("filters.median", {"footprint": disk(2), "mode": "reflect"}),
    Case("filters.median", {"footprint": np.ones((2, 4), np.uint8), "mode": "constant", "cval": 1.0}),
    Case("filters.median", {"footprint": ball(1), "mode": "mirror"}, ("uint16", "float32"), SOLID),
    Case("filters.median", {"footprint": disk(1), "mode": "wrap"}, COMMON),
    # edges
    Case("filters.laplace", {"ksize": 5}, FLOATS, SOLID),
    *[Case(f"filters.{name}", {"axis": 1, "mode": mode, "cval": 0.3}, FLOATS) for name in EDGES for mode in MODES],
    # ridges
    *[Case(f"filters.{name}", {"sigmas": [2], "black_ridges": False}, ("uint8", "float32"), SOLID) for name in RIDGES],
    *[Case(f"filters.{name}", {"sigmas": [2], "mode": "constant", "cval": 0.3}, FLOATS) for name in RIDGES],
    Case("filters.sato", {}, ("float64",), blocks=[(11, 13)]),
    Case("filters.frangi", {"sigmas": (2, 3), "gamma": 4.5, "alpha": 0.3, "beta": 0.7}, FLOATS),
    Case("filters.meijering", {"sigmas": (2,), "alpha": -0.2}, FLOATS),
    # masks
    *[Case(f"filters.{name}", {}, EVERY, given={"mask": mask}) for name in (*EDGES, "laplace")],
    *[Case(f"filters.{name}_{axis}", {}, FLOATS, given={"mask": mask}) for name in EDGES for axis in "hv"],
    *[Case(f"filters.roberts{kind}", {}, COMMON, given={"mask": mask}) for kind in ("", "_pos_diag", "_neg_diag")],
    # kernels
    Case("filters.gabor", {"frequency": 0.2, "theta": 0.7, "sigma_x": 1.5, "sigma_y": 3, "mode": "nearest"}, COMMON),
    Case("filters.correlate_sparse", {"kernel": np.array([[1, 0, 2], [0, 0, 0], [0, 3, 0]])}, COMMON),
    Case("filters.correlate_sparse", {"kernel": np.ones((3, 1, 5)), "mode": "nearest"}, COMMON, SOLID),
    # local thresholds
    *[
        Case(f"filters.threshold_{name}", {"window_size": size}, dtypes, shape)
        for name in ("niblack", "sauvola")
        for size, dtypes, shape in (
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
    # transforms of the whole image
    Case("filters.butterworth", {"cutoff_frequency_ratio": 0.2, "high_pass": False, "npad": 3}, COMMON),
]
