"""Cases of `skimage.segmentation`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.proving import samples
from tests.exactness.cases.case import COMMON, FLAT, FLOATS, SOLID, Case, labelled
from tests.oracle import picture

LABELS = ("int32", "uint8", "int64", "bool")


def labels(shape: tuple[int, ...], dtype: Any) -> Array:
    """Objects in patches on a background, with gaps in their numbers."""
    return samples.sample_for("labels", "plateaus", shape, np.dtype(np.uint8), seed=5).astype(dtype)


def seeds(shape: tuple[int, ...], dtype: Any) -> Array:
    """Few labelled pixels."""
    random = np.random.default_rng(2)
    return np.where(random.random(shape) < 0.03, random.integers(1, 5, shape), 0).astype(dtype)


def others(image: Array) -> Array:
    return labels(image.shape[::-1], "uint16").T.copy()


def markers(image: Array) -> Array:
    return seeds(image.shape[:2], np.int32)


def allowed(image: Array) -> Array:
    return picture(image.shape[:2], "uint8", seed=8) > 60


def level_set(image: Array) -> Array:
    return (picture(image.shape, "float64", seed=7) > 0.5).astype(np.float32)


RGB = (*FLAT, 3)
FEW: dict[str, Any] = {"n_segments": 12}
SMALL: dict[str, Any] = {"kernel_size": 2, "max_dist": 4}

CASES: list[Case] = [
    *[
        Case("segmentation.mark_boundaries", {"mode": mode}, dtypes, shape, more=(labelled,))
        for mode in ("thick", "inner", "outer")
        for dtypes, shape in ((COMMON, FLAT), (("uint8", "float32"), RGB))
    ],
    Case("segmentation.mark_boundaries", {"outline_color": (0, 1, 0)}, COMMON, more=(labelled,)),
    Case("segmentation.mark_boundaries", {"background_label": 3, "mode": "outer"}, FLOATS, more=(labelled,)),
    *[
        Case("segmentation.find_boundaries", {"mode": mode, "connectivity": connectivity}, LABELS, make=labels)
        for mode in ("thick", "inner", "outer", "subpixel")
        for connectivity in (1, 2)
    ],
    Case("segmentation.find_boundaries", {"mode": "outer", "background": 3}, ("int16",), SOLID, make=labels),
    Case("segmentation.find_boundaries", {"mode": "subpixel"}, ("uint8",), (5, 6, 4), make=labels, blocks=[(4, 5, 3)]),
    Case("segmentation.expand_labels", {}, LABELS, make=seeds),
    Case("segmentation.expand_labels", {"distance": 5}, LABELS, make=seeds),
    Case("segmentation.expand_labels", {"distance": 2.5, "spacing": (0.5, 1.2)}, ("int32",), make=seeds),
    Case("segmentation.expand_labels", {"distance": 3}, ("uint16",), SOLID, make=seeds),
    Case("segmentation.inverse_gaussian_gradient", {"alpha": 3, "sigma": (0.5, 2)}, COMMON),
    Case("segmentation.inverse_gaussian_gradient", {"sigma": 1.2}, FLOATS, SOLID),
    Case("segmentation.join_segmentations", {}, LABELS[:3], make=labels, more=(others,)),
    Case("segmentation.slic", FEW, COMMON, RGB),
    Case("segmentation.slic", {**FEW, "channel_axis": None}, FLOATS),
    Case("segmentation.slic", {**FEW, "channel_axis": None}, ("float32",), SOLID),
    Case("segmentation.slic", FEW, ("uint8",), RGB, given={"mask": allowed}),
    Case("segmentation.slic", {**FEW, "channel_axis": 0}, ("uint8",), (3, *FLAT), blocks=[(5, 7)]),
    Case("segmentation.felzenszwalb", {"channel_axis": 0}, ("uint8",), (3, *FLAT), blocks=[(5, 7)]),
    Case("segmentation.felzenszwalb", {"min_size": 5}, FLOATS),
    Case("segmentation.quickshift", {**SMALL, "convert2lab": False, "rng": 3}, ("float64",)),
    *[Case("segmentation.random_walker", {"mode": mode}, COMMON, more=(markers,)) for mode in ("bf", "cg_j")],
    Case("segmentation.random_walker", {"mode": "bf", "channel_axis": -1}, ("uint8",), RGB, more=(markers,)),
    Case("segmentation.chan_vese", {"max_num_iter": 8}, COMMON),
    Case("segmentation.chan_vese", {"max_num_iter": 8, "init_level_set": "disk"}, FLOATS),
    Case("segmentation.chan_vese", {"max_num_iter": 8}, FLOATS, given={"init_level_set": level_set}),
    *[
        Case(f"segmentation.morphological_{name}", {"num_iter": 4, **options}, FLOATS, shape, given=given)
        for name in ("chan_vese", "geodesic_active_contour")
        for options, shape, given in (({}, FLAT, {"init_level_set": level_set}), ({"smoothing": 2}, SOLID, {}))
    ],
    Case("segmentation.morphological_chan_vese", {"num_iter": 2}, ("uint8",)),
    Case("segmentation.morphological_geodesic_active_contour", {"num_iter": 2, "balloon": -1}, FLOATS),
]
