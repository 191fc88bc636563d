"""Cases of the functions that came first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from skimage.morphology import disk, footprint_rectangle

from tests.exactness.cases.case import (
    COMMON,
    EVERY,
    FLAT,
    FLOATS,
    NUMBERS,
    SOLID,
    Case,
    labelled,
    number,
    positive,
    shifted,
    signed,
)

CROSS3 = np.array(
    [[[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0], [0, 1, 0], [0, 0, 0]]]
)
EVEN = np.ones((2, 4), np.uint8)
FOOTPRINTS: Sequence[Any] = [disk(3), np.ones((3, 5), np.uint8), EVEN, np.array([[0, 1, 1], [0, 1, 0]], np.uint8)]
SEQUENCE = footprint_rectangle((5, 7), decomposition="sequence")
MORPHOLOGY = ("erosion", "dilation", "opening", "closing", "white_tophat", "black_tophat")
EDGES = ("sobel", "scharr", "prewitt", "farid")
MODES = ("nearest", "reflect", "mirror", "constant", "wrap")
UNARY = "negative positive absolute sign logical_not sqrt square cbrt exp exp2 log log2 log10 log1p sin cos tan arctan"
ROUNDING = "floor ceil rint trunc isfinite isnan"
BINARY = (
    "add subtract multiply divide floor_divide remainder power equal not_equal less less_equal greater greater_equal "
    "logical_and logical_or logical_xor minimum maximum arctan2 hypot"
)
BITWISE = ("bitwise_and", "bitwise_or", "bitwise_xor")

CASES: list[Case] = [
    # NumPy
    *[Case(f"numpy.{name}", dtypes=("int16", "float32", "float64"), make=signed) for name in UNARY.split()],
    *[Case(f"numpy.{name}", dtypes=FLOATS, make=signed) for name in ROUNDING.split()],
    *[Case(f"numpy.{name}", dtypes=("uint8", "float32"), more=(shifted,), make=positive) for name in BINARY.split()],
    *[
        Case(f"numpy.{name}", dtypes=("int16", "float64"), more=(number(3),))
        for name in (
            "add",
            "subtract",
            "multiply",
            "divide",
            "floor_divide",
            "remainder",
            "power",
            "greater",
            "minimum",
        )
    ],
    *[Case(f"numpy.{name}", dtypes=("bool", "uint8", "int32"), more=(shifted,)) for name in BITWISE],
    Case("numpy.invert", dtypes=("bool", "uint8", "int32")),
    *[Case("numpy.astype", dtypes=EVERY, more=(number(dtype),)) for dtype in ("bool", "uint8", "int32", "float32")],
    Case("numpy.min", dtypes=EVERY),
    Case("numpy.max", dtypes=EVERY),
    Case("numpy.max", dtypes=("uint8",), shape=SOLID),
    Case("numpy.percentile", {"q": 37.5}, NUMBERS),
    Case("numpy.percentile", {"q": (2, 98)}, NUMBERS, SOLID),
    # colours and dtypes
    Case("color.rgb2gray", dtypes=COMMON, shape=(*FLAT, 3)),
    Case("color.rgb2gray", dtypes=COMMON, shape=(7, 149, 3), blocks=[(3, 7), (2, 71)]),
    Case("color.rgb2gray", dtypes=FLOATS, shape=(3, 5, 77, 3), blocks=[(2, 3, 13)]),
    Case("color.rgb2gray", dtypes=FLOATS, shape=(77, 3), blocks=[(10,)]),
    *[Case(f"util.img_as_{to}", dtypes=EVERY) for to in ("float", "float32", "ubyte", "uint")],
    Case("util.invert", dtypes=EVERY),
    Case("util.invert", {"signed_float": True}, FLOATS, make=signed),
    # exposure
    Case("exposure.adjust_gamma", {"gamma": 0.7}, COMMON),
    Case("exposure.adjust_gamma", {"gamma": 2, "gain": 0.5}, COMMON, SOLID),
    Case("exposure.adjust_log", {"gain": 0.9}, COMMON),
    Case("exposure.adjust_log", {"inv": True}, COMMON),
    Case("exposure.adjust_sigmoid", {"cutoff": 0.3, "inv": True}, COMMON),
    Case("exposure.rescale_intensity", {}, NUMBERS),
    Case("exposure.rescale_intensity", {"out_range": "uint8"}, NUMBERS, make=signed),
    Case("exposure.rescale_intensity", {"out_range": (0, 100)}, NUMBERS, SOLID),
    Case("exposure.rescale_intensity", {"in_range": (0.2, 0.7), "out_range": "image"}, NUMBERS),
    Case("exposure.rescale_intensity", {"in_range": "dtype", "out_range": np.uint16}, NUMBERS),
    Case("exposure.rescale_intensity", {"in_range": "uint8", "out_range": "float"}, NUMBERS),
    # smoothing
    Case("filters.gaussian", {}, EVERY),
    Case("filters.gaussian", {"sigma": 2.3}, EVERY, SOLID),
    Case("filters.gaussian", {"sigma": 1.5}, FLOATS, (50,)),
    Case("filters.gaussian", {"sigma": 1}, FLOATS, (5, 6, 7, 8)),
    Case("filters.gaussian", {"sigma": (0, 3)}, COMMON),
    Case("filters.gaussian", {"sigma": [2, 0.5, 1.2], "truncate": 2.5}, FLOATS, SOLID),
    Case("filters.gaussian", {"sigma": 1.2, "channel_axis": -1}, COMMON, (*FLAT, 3)),
    Case("filters.gaussian", {"sigma": (1, 2), "channel_axis": 0}, FLOATS, (3, *FLAT), blocks=[(1, 7, 9), (2, 30, 5)]),
    Case("filters.gaussian", {"sigma": 1.2}, FLOATS, (*FLAT, 3)),
    Case("filters.gaussian", {"sigma": 2, "preserve_range": True}, EVERY),
    *[Case("filters.gaussian", {"sigma": 3, "mode": mode, "cval": 0.4}, ("uint8", "float64")) for mode in MODES],
    Case("filters.difference_of_gaussians", {"low_sigma": 1}, COMMON),
    Case("filters.difference_of_gaussians", {"low_sigma": (1, 2)}, FLOATS),
    Case("filters.difference_of_gaussians", {"low_sigma": 1, "high_sigma": (2, 3, 1)}, FLOATS, SOLID),
    Case("filters.difference_of_gaussians", {"low_sigma": 1, "mode": "mirror", "channel_axis": 2}, FLOATS, (*FLAT, 3)),
    Case("filters.unsharp_mask", {}, EVERY),
    Case("filters.unsharp_mask", {"radius": 2, "amount": 1.5}, ("int16", "int32", *FLOATS), make=signed),
    Case("filters.unsharp_mask", {"radius": 1.5, "amount": 3}, COMMON, SOLID),
    Case("filters.unsharp_mask", {"radius": (1, 2), "preserve_range": True}, EVERY),
    Case("filters.unsharp_mask", {"radius": 2, "channel_axis": 2}, COMMON, (*FLAT, 3)),
    Case("filters.median", {}, EVERY),
    Case("filters.median", {}, COMMON, SOLID),
    Case("filters.median", {"footprint": disk(2), "mode": "reflect"}),
    Case("filters.median", {"footprint": EVEN, "mode": "constant", "cval": 1.0}),
    Case("filters.median", {"footprint": CROSS3, "mode": "mirror"}, ("uint16", "float32"), SOLID),
    # edges
    Case("filters.laplace", {}, EVERY),
    Case("filters.laplace", {"ksize": 5}, FLOATS, SOLID),
    *[Case(f"filters.{name}", {}, EVERY) for name in EDGES],
    *[Case(f"filters.{name}", {}, FLOATS, SOLID) for name in EDGES],
    *[Case(f"filters.{name}", {"axis": 1, "mode": mode, "cval": 0.3}, FLOATS) for name in EDGES for mode in MODES],
    *[Case(f"filters.{name}_{axis}", {}, COMMON) for name in EDGES for axis in "hv"],
    *[Case(f"filters.{name}", {}, COMMON) for name in ("roberts", "roberts_pos_diag", "roberts_neg_diag")],
    # morphology
    *[Case(f"morphology.{name}", {}, EVERY) for name in MORPHOLOGY],
    *[Case(f"morphology.{name}", {"footprint": f}, ("bool", "uint8")) for name in MORPHOLOGY for f in FOOTPRINTS],
    *[Case(f"morphology.{name}", {"footprint": SEQUENCE}, ("uint8", "float32")) for name in MORPHOLOGY],
    *[Case(f"morphology.{name}", {"footprint": CROSS3}, ("bool", "uint16"), SOLID) for name in MORPHOLOGY],
    *[
        Case(f"morphology.{name}", {"footprint": disk(2), "mode": mode, "cval": 7}, ("uint8",))
        for name in MORPHOLOGY
        for mode in (*MODES, "ignore", "max", "min")
    ],
    # thresholds, labels, tables; adversarial ones are in test_statistics, test_labels and test_objects
    Case("filters.threshold_otsu", {}, ("uint8", "uint16", "int16", *FLOATS)),
    Case("filters.threshold_otsu", {"nbins": 100}, FLOATS, SOLID),
    Case("measure.label", {}, EVERY[:5]),
    Case("measure.label", {"connectivity": 1, "background": 1}, EVERY[:5], SOLID),
    Case("measure.regionprops_table", {"properties": ("label", "area")}, ("uint8",)),
    # results that do not lie pixel over pixel
    Case("transform.downscale_local_mean", {"factors": (2, 3)}, EVERY),
    Case("transform.downscale_local_mean", {"factors": (4, 5), "cval": 2}, COMMON),
    Case("transform.downscale_local_mean", {"factors": 2}, COMMON, SOLID),
    Case("transform.downscale_local_mean", {"factors": (3, 2, 1)}, COMMON, (*FLAT, 3)),
    *[
        Case("segmentation.mark_boundaries", {"mode": mode}, dtypes, shape, more=(labelled,))
        for mode in ("thick", "inner", "outer")
        for dtypes, shape in ((COMMON, FLAT), (("uint8", "float32"), (*FLAT, 3)))
    ],
    Case("segmentation.mark_boundaries", {"outline_color": (0, 1, 0)}, COMMON, more=(labelled,)),
    Case("segmentation.mark_boundaries", {"background_label": 3, "mode": "outer"}, FLOATS, more=(labelled,)),
]
