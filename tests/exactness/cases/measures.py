"""Cases of `skimage.measure`: numbers of a whole image."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import COMMON, EVERY, FLAT, FLOATS, NUMBERS, SOLID, Case, shifted, signed
from tests.exactness.cases.metrics import LONG
from tests.oracle import picture

MASKS = ("bool", "uint8", "int32")


def binary(shape: tuple[int, ...], dtype: Any) -> Array:
    return (picture(shape, "uint8", seed=7) > 110).astype(dtype)


def bits(image: Array) -> Array:
    return picture(image.shape, "uint8", seed=8) > 90


def dim(shape: tuple[int, ...], dtype: Any) -> Array:
    """Pixels so dark that the dtype can hold the sum of their squares."""
    return picture(shape, dtype) if np.dtype(dtype).kind == "f" else picture(shape, "uint8").astype(dtype)


CASES: list[Case] = [
    Case("measure.shannon_entropy", {"base": 10}, COMMON, SOLID),
    Case("measure.euler_number", {}, EVERY, make=binary),
    Case("measure.euler_number", {"connectivity": 1}, ("int16", "float32"), make=signed),
    *[Case("measure.euler_number", {"connectivity": c}, MASKS, SOLID, make=binary) for c in (1, 3, None)],
    *[Case("measure.perimeter_crofton", {"directions": n}, EVERY, make=binary) for n in (2, 4)],
    *[Case("measure.perimeter", {"neighborhood": n}, EVERY, make=binary) for n in (4, 8)],
    Case("measure.blur_effect", {"h_size": 4}, FLOATS, LONG),
    Case("measure.blur_effect", {"h_size": 3, "reduce_func": None}, COMMON, SOLID),
    Case("measure.blur_effect", {"channel_axis": -1}, COMMON, (*FLAT, 3)),
    Case("measure.moments", {"order": 2, "spacing": (0.5, 1, 3)}, COMMON, SOLID),
    Case("measure.moments_central", {"center": (3, 4.5), "order": 1}, COMMON),
    Case("measure.centroid", {"spacing": (2, 1, 0.3)}, COMMON, SOLID),
    Case("measure.moments_normalized", {}, FLOATS, (4, 4), blocks=[(2, 3)]),
    Case("measure.moments_hu", {}, FLOATS, (4, 4), blocks=[(3,)]),
    Case("measure.intersection_coeff", {}, MASKS, more=(bits,), make=binary),
    Case("measure.intersection_coeff", {}, MASKS, SOLID, more=(bits,), given={"mask": bits}, make=binary),
    Case("measure.manders_coloc_coeff", {}, NUMBERS, LONG, more=(bits,)),
    Case("measure.manders_coloc_coeff", {}, ("bool",), more=(bits,)),
    Case("measure.manders_overlap_coeff", {}, NUMBERS, LONG, more=(shifted,), make=dim),
    Case("measure.pearson_corr_coeff", {}, NUMBERS, LONG, more=(shifted,)),
    Case("measure.pearson_corr_coeff", {}, COMMON, SOLID, more=(shifted,), given={"mask": bits}),
]
