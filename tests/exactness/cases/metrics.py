"""Cases of `skimage.metrics`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import COMMON, EVERY, FLAT, FLOATS, NUMBERS, SOLID, Case, shifted, signed
from tests.oracle import picture

LONG = (70, 301)
"""A shape with more pixels than one buffer of NumPy's sums holds, and a buffer that ends within a row."""
SEGMENTS = ("uint8", "int32", "int64")


def segments(shape: tuple[int, ...], dtype: Any) -> Array:
    return (picture(shape, "uint8", seed=5) // 50 * 3).astype(dtype)


def others(image: Array) -> Array:
    return (picture(image.shape, "uint8", seed=2) // 40).astype(image.dtype)


def similar(image: Array) -> Array:
    """The image with some pixels replaced by those of another."""
    other = shifted(image)
    return np.where(picture(image.shape, "float64", seed=3) > 0.7, other, image).astype(image.dtype)


def few(shape: tuple[int, ...], dtype: Any) -> Array:
    """An image in which most pixels are 0."""
    image = picture(shape, dtype)
    return np.where(picture(shape, "uint8", seed=4) > 200, image, np.zeros(1, image.dtype))


def sparse(image: Array) -> Array:
    return few(image.shape, image.dtype)[tuple(slice(None, None, -1) for _ in image.shape)].copy()


CASES: list[Case] = [
    *[
        Case(f"metrics.{name}", {}, FLOATS, LONG, more=(shifted,))
        for name in ("mean_squared_error", "normalized_root_mse")
    ],
    *[
        Case("metrics.normalized_root_mse", {"normalization": form}, COMMON, LONG, more=(shifted,))
        for form in ("min-max", "Mean")
    ],
    Case("metrics.peak_signal_noise_ratio", {}, ("int16", *FLOATS), LONG, more=(shifted,), make=signed),
    Case("metrics.peak_signal_noise_ratio", {"data_range": 3}, FLOATS, LONG, more=(shifted,), make=signed),
    Case("metrics.structural_similarity", {}, ("uint8",), more=(similar,)),
    Case("metrics.structural_similarity", {"data_range": 1.0}, FLOATS, LONG, more=(similar,)),
    Case("metrics.structural_similarity", {"data_range": 1.0, "win_size": 3, "full": True}, FLOATS, more=(similar,)),
    Case("metrics.structural_similarity", {"data_range": 200, "win_size": 5}, NUMBERS, SOLID, more=(similar,)),
    Case(
        "metrics.structural_similarity",
        {"data_range": 1.0, "win_size": 1, "use_sample_covariance": False},
        FLOATS,
        LONG,
        more=(similar,),
    ),
    Case(
        "metrics.structural_similarity",
        {"gaussian_weights": True, "sigma": 0.9, "K1": 0.02, "use_sample_covariance": False, "data_range": 255},
        NUMBERS,
        more=(similar,),
    ),
    Case(
        "metrics.structural_similarity",
        {"gaussian_weights": True, "full": True, "data_range": np.float64(1)},
        FLOATS,
        LONG,
        more=(similar,),
    ),
    *[
        Case(
            "metrics.structural_similarity",
            {"channel_axis": axis, "data_range": 1.0, "full": True, "win_size": 5},
            FLOATS,
            shape,
            more=(similar,),
        )
        for axis, shape in ((-1, (*FLAT, 3)), (0, (2, *FLAT)))
    ],
    Case("metrics.normalized_mutual_information", {"bins": 7}, COMMON, SOLID, more=(shifted,)),
    Case("metrics.normalized_mutual_information", {"bins": (5, 9)}, FLOATS, make=signed, more=(similar,)),
    Case("metrics.hausdorff_distance", {}, EVERY, more=(sparse,), make=few),
    Case("metrics.hausdorff_distance", {}, ("bool", "float32"), SOLID, more=(sparse,), make=few),
    Case("metrics.variation_of_information", {}, SEGMENTS, more=(others,), make=segments),
    Case("metrics.variation_of_information", {"ignore_labels": [0, 6]}, SEGMENTS, LONG, more=(others,), make=segments),
    Case("metrics.adapted_rand_error", {}, SEGMENTS, more=(others,), make=segments),
    Case("metrics.adapted_rand_error", {"ignore_labels": (), "alpha": 0.2}, SEGMENTS, SOLID, (others,), make=segments),
]
