"""NumPy's element-wise functions, with parameters of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import EVERY, FLAT, FLOATS, SOLID, Case, number, shifted, signed
from tests.oracle import picture

SIGNED = ("int16", "float32", "float64")
WITH_NUMBERS = "add subtract multiply divide floor_divide remainder power greater minimum"
POINTS = ([0.2, 0.5, 0.9], [3.0, 1.0, 7.0])


def other_sign(image: Array) -> Array:
    return signed(image.shape, image.dtype)[::-1].copy()


def few(image: Array) -> Array:
    return (shifted(image) % 5).astype(image.dtype)


def positive(shape: tuple[int, ...], dtype: Any) -> Array:
    image = picture(shape, dtype)
    return np.where(image == 0, np.array(1, image.dtype), image)


def mask(image: Array) -> Any:
    return image > image.mean()


def less(image: Array) -> Any:
    return (image * 0.5).astype(image.dtype)


CASES: list[Case] = [
    *[Case(f"numpy.{name}", dtypes=("int16", "float64"), more=(number(3),)) for name in WITH_NUMBERS.split()],
    *[
        Case(f"numpy.{name}", dtypes=SIGNED, more=(other_sign,), make=signed)
        for name in "fmod mod true_divide heaviside copysign logaddexp logaddexp2 fmin fmax".split()
    ],
    Case("numpy.float_power", dtypes=("uint8", *FLOATS), more=(few,), make=positive),
    *[Case(f"numpy.{name}", dtypes=("uint8", "int32"), more=(few,)) for name in ("left_shift", "right_shift")],
    *[Case("numpy.astype", dtypes=EVERY, more=(number(dtype),)) for dtype in ("bool", "uint8", "int32", "float32")],
    Case("numpy.where", dtypes=("bool", "uint8"), more=(shifted, number(3))),
    Case("numpy.where", dtypes=("float32",), more=(number(1.5), shifted)),
    Case("numpy.where", dtypes=("uint16",), shape=SOLID, more=(mask, shifted)),
    Case("numpy.clip", {"a_min": 3, "a_max": 90}, ("uint8", "int32")),
    Case("numpy.clip", {"max": 0.5}, FLOATS, make=signed),
    Case("numpy.clip", {"a_min": None}, FLOATS, given={"a_max": shifted}),
    Case("numpy.clip", {}, FLOATS, SOLID, given={"min": less, "max": shifted}),
    Case("numpy.round", {"decimals": 1}, FLOATS, make=signed),
    Case("numpy.round", {"decimals": -1}, ("uint8", "int32")),
    Case("numpy.nan_to_num", {"nan": 2.0}, EVERY, make=signed),
    Case("numpy.isclose", {"atol": 0.1}, EVERY, more=(shifted,)),
    Case("numpy.digitize", {"bins": [0.25, 0.5]}, FLOATS),
    Case("numpy.digitize", {"bins": np.array([200, 90, 3]), "right": True}, ("uint8", "int16")),
    Case("numpy.interp", dtypes=FLOATS, more=[number(values) for values in POINTS]),
    Case("numpy.interp", {"left": -1.0, "period": 0.7}, FLOATS, SOLID, more=[number(values) for values in POINTS]),
    # an array of three axes is a sequence of images
    *[Case("numpy.stack", {"axis": axis}, ("uint8", "float32"), SOLID) for axis in (1, -1)],
    Case("numpy.stack", {"axis": -1}, ("uint8", "float32"), (3, *FLAT), blocks=[(5, 7), (64, 64)]),
    Case("numpy.stack", {"axis": 0, "dtype": "float64"}, ("uint8",), (2, *FLAT), blocks=[(1, 5, 7)]),
]
