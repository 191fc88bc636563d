"""Cases of `skimage.exposure`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import COMMON, EVERY, FLAT, FLOATS, NUMBERS, SOLID, Case, signed
from tests.oracle import picture

GREY = ("bool", "uint8", "uint16", "int16", *FLOATS)
NARROW = ("uint8", "uint16", "int16", "int8", "bool")
RGB = (*FLAT, 3)


def mask(image: Array) -> Array:
    return picture(image.shape, "uint8", seed=6) > 90


def reference(image: Array) -> Array:
    """Another, darker image with more rows."""
    bright = picture((image.shape[0] + 4, *image.shape[1:]), image.dtype, seed=8)
    return bright if bright.dtype == bool else (bright * 0.6).astype(image.dtype)


def dim(shape: tuple[int, ...], dtype: Any) -> Array:
    return (picture(shape, dtype) * 0.03).astype(dtype)


CASES: list[Case] = [
    Case("exposure.histogram", {"nbins": 40, "normalize": True}, GREY, SOLID, make=signed),
    Case("exposure.histogram", {"source_range": "dtype"}, ("uint8", "int16", *FLOATS), make=signed),
    Case("exposure.cumulative_distribution", {"nbins": 33}, FLOATS, SOLID),
    Case("exposure.equalize_hist", {"nbins": 20}, GREY, SOLID, make=signed),
    Case("exposure.equalize_hist", {}, GREY, given={"mask": mask}),
    Case("exposure.rescale_intensity", {"out_range": "float"}, EVERY),
    Case("exposure.rescale_intensity", {"out_range": float}, NUMBERS, make=signed),
    Case("exposure.rescale_intensity", {"out_range": "uint10"}, NUMBERS, SOLID),
    Case("exposure.rescale_intensity", {"out_range": "uint8"}, NUMBERS, make=signed),
    Case("exposure.rescale_intensity", {"out_range": (0, 100)}, NUMBERS, SOLID),
    Case("exposure.rescale_intensity", {"in_range": (0.2, 0.7), "out_range": "image"}, NUMBERS),
    Case("exposure.rescale_intensity", {"in_range": "dtype", "out_range": np.uint16}, NUMBERS),
    Case("exposure.rescale_intensity", {"in_range": "uint8", "out_range": "float"}, NUMBERS),
    Case("exposure.adjust_gamma", {"gamma": 0.7}, COMMON),
    Case("exposure.adjust_gamma", {"gamma": 2, "gain": 0.5}, COMMON, SOLID),
    Case("exposure.adjust_log", {"gain": 0.9}, COMMON),
    Case("exposure.adjust_log", {"inv": True}, COMMON),
    Case("exposure.adjust_sigmoid", {"cutoff": 0.3, "inv": True}, COMMON),
    Case("exposure.match_histograms", {}, (*NARROW, "int32", *FLOATS), more=(reference,)),
    Case("exposure.match_histograms", {}, NARROW, SOLID, more=(reference,)),
    *[
        Case(
            "exposure.match_histograms",
            {"channel_axis": axis},
            (*NARROW, "float32"),
            shape,
            (),
            {"reference": reference},
        )
        for axis, shape in ((-1, RGB), (2, RGB))
    ],
    Case("exposure.match_histograms", {"channel_axis": 1}, NARROW, (9, 7, 12), (reference,)),
    Case("exposure.is_low_contrast", {"fraction_threshold": 0.02}, EVERY, SOLID, make=dim),
    Case("exposure.is_low_contrast", {"lower_percentile": 10, "upper_percentile": 60.5}, COMMON, RGB),
    Case("exposure.is_low_contrast", {}, COMMON, (*FLAT, 4), make=dim),
    Case("exposure.equalize_adapthist", {"kernel_size": 5, "clip_limit": 0.1, "nbins": 30}, GREY),
    Case("exposure.equalize_adapthist", {"kernel_size": (7, 40), "clip_limit": 0}, GREY),
    Case("exposure.equalize_adapthist", {"kernel_size": (4, 3, 7)}, GREY, SOLID, make=picture),
    Case("exposure.equalize_adapthist", {"nbins": 3}, FLOATS, SOLID),
    Case("exposure.equalize_adapthist", {"kernel_size": 6}, COMMON, (40,), blocks=[(7,), (13,)]),
    Case("exposure.equalize_adapthist", {"kernel_size": (6, 9)}, FLOATS, (*FLAT, 4)),
]
