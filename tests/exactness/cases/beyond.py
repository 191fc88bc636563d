"""Cases of functions without a fixed halo: distances, extrema, skeletons, hulls, watersheds."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.proving import samples
from tests.exactness.cases.case import EVERY, FLAT, SOLID, Case
from tests.oracle import picture

EDT = "ndimage.distance_transform_edt"


def lone(shape: tuple[int, ...], dtype: Any) -> Array:
    """One pixel of background, in a corner."""
    image = np.ones(shape, dtype)
    image[(0,) * len(shape)] = 0
    return image


def full(shape: tuple[int, ...], dtype: Any) -> Array:
    """No background at all."""
    return np.ones(shape, dtype)


def half(shape: tuple[int, ...], dtype: Any) -> Array:
    """One half without background, the other with much."""
    image = (picture(shape, "float64") > 0.4).astype(dtype)
    image[shape[0] // 2 :] = 1
    return image


def flattened(shape: tuple[int, ...], dtype: Any) -> Array:
    """Few values, so that there are plateaus."""
    return (picture(shape, "float64") * 6).astype(dtype)


def few(shape: tuple[int, ...], dtype: Any) -> Array:
    """Some pixels in the middle."""
    image = (picture(shape, "float64") > 0.8).astype(dtype)
    image[:4], image[:, :5] = 0, 0
    return image


def markers(image: Array) -> Array:
    """Few labelled pixels."""
    return samples.sample_for("markers", "noise", image.shape, image.dtype)


def bright(image: Array) -> Array:
    """Most of the image."""
    return picture(image.shape, "float64", seed=3) > 0.35


CASES: list[Case] = [
    *[
        Case(EDT, options, dtypes=("bool", "uint8", "int16", "float32", "float64"), make=make, shape=shape)
        for make in (lone, full, half)
        for options, shape in (({}, FLAT), ({"sampling": (2, 3)}, FLAT), ({}, SOLID))
    ],
    Case(EDT, {"sampling": 3}, dtypes=EVERY, shape=(40,), make=half),
    Case(EDT, {"sampling": (0.3, 0.7)}, dtypes=("bool",), make=half),
    *[
        Case(f"morphology.{name}", options, dtypes=EVERY, make=flattened, shape=shape)
        for name in ("local_maxima", "local_minima")
        for options in ({}, {"connectivity": 1}, {"allow_borders": False})
        for shape in (FLAT, SOLID)
    ],
    *[
        Case(f"morphology.{name}", options, dtypes=EVERY, make=half)
        for name, options in (
            ("thin", {}),
            ("thin", {"max_num_iter": 2}),
            ("skeletonize", {}),
            ("skeletonize", {"method": "lee"}),
        )
    ],
    Case("morphology.skeletonize", dtypes=("bool",), shape=SOLID, make=half),
    *[
        Case("morphology.convex_hull_image", options, dtypes=("bool", "uint8", "int32"), make=few, shape=shape)
        for options in ({}, {"offset_coordinates": False}, {"include_borders": False})
        for shape in (FLAT, SOLID)
    ],
    *[
        Case("segmentation.watershed", options, dtypes=EVERY, given={"markers": markers, **mask}, shape=shape)
        for options, mask, shape in (
            ({}, {}, FLAT),
            ({"connectivity": 2}, {"mask": bright}, FLAT),
            ({"compactness": 0.01}, {}, FLAT),
            ({"watershed_line": True}, {}, FLAT),
            ({}, {"mask": bright}, SOLID),
        )
    ],
    *[
        Case("ndimage.binary_propagation", dtypes=EVERY, make=few, given={"mask": bright}, shape=shape)
        for shape in (FLAT, SOLID)
    ],
]
