"""Cases of the table of regions; adversarial images are in tests/exactness/test_objects.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter
from skimage.measure import label

from lepton_celery.catalogue.arrays import Array
from lepton_celery.proving import samples
from tests.exactness.cases.case import FLAT, SOLID, Case
from tests.oracle import picture

SHAPES = (
    "label bbox area area_bbox area_convex area_filled axis_major_length axis_minor_length centroid centroid_local "
    "equivalent_diameter_area euler_number extent inertia_tensor inertia_tensor_eigvals moments moments_central "
    "moments_normalized num_pixels solidity"
).split()
"""Properties of an object's mask in 2-D and 3-D."""
FLAT_SHAPES = "eccentricity feret_diameter_max moments_hu orientation perimeter perimeter_crofton".split()
"""Properties of an object's mask in 2-D only; scikit-image has the diameter in 3-D too, except for single pixels."""
INTENSITIES = (
    "centroid_weighted centroid_weighted_local intensity_max intensity_mean intensity_median intensity_min intensity_std "
    "moments_weighted moments_weighted_central moments_weighted_normalized"
).split()
"""Properties of an object's pixels in 2-D and 3-D."""
NUMBERS = (*SHAPES, *FLAT_SHAPES, *INTENSITIES, "moments_weighted_hu")
"""All properties of a 2-D image that are numbers."""


def blobs(shape: tuple[int, ...], dtype: Any) -> Array:
    """Objects of many sizes, some with holes, which lie across the blocks."""
    return np.asarray(label(uniform_filter(picture(shape, float, seed=1), 3) > 0.52)).astype(dtype)


def boxes(shape: tuple[int, ...], dtype: Any) -> Array:
    """Objects of boxes. scikit-image warns that it finds no convex hull of a volume's object of one or two pixels."""
    return np.asarray(label(samples.sample("plateaus", shape, np.dtype(np.float64), seed=1) > 0.5)).astype(dtype)


def intensities(dtype: str, *channels: int) -> Any:
    return lambda labels: picture((*labels.shape, *channels), dtype, seed=2)


LABELS = ("int32", "uint16", "int64")

CASES: list[Case] = [
    Case("measure.regionprops_table", {"properties": ("label", "area")}, ("uint8",)),
    Case("measure.regionprops_table", {}, LABELS, make=blobs),
    Case("measure.regionprops_table", {"properties": (*SHAPES, *FLAT_SHAPES)}, LABELS, make=blobs),
    Case("measure.regionprops_table", {"properties": SHAPES, "separator": "_"}, LABELS, SOLID, make=boxes),
    Case("measure.regionprops_table", {"properties": SHAPES, "spacing": (0.3, 2.5)}, LABELS, make=blobs),
    Case(
        "measure.regionprops_table",
        {"properties": NUMBERS, "spacing": 1},
        LABELS[:1],
        make=blobs,
        given={"intensity_image": intensities("uint8")},
    ),
    *[
        Case(
            "measure.regionprops_table",
            {"properties": ("label", *properties)},
            LABELS[:1],
            shape,
            given={"intensity_image": intensities(dtype, *channels)},
            make=blobs,
        )
        for shape, properties in ((FLAT, NUMBERS), (SOLID, INTENSITIES))
        for dtype, channels in (
            ("bool", ()),
            ("uint8", (3,)),
            ("uint16", ()),
            ("int16", (1,)),
            ("float32", (5,)),
            ("float64", ()),
        )
    ],
]
