"""Cases of NumPy's reductions of a whole image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import FLOATS, NUMBERS, SOLID, Case, signed

INTEGERS = ("bool", "uint8", "uint16", "int16", "int32", "int64", "uint64")
LONG = (331, 407)
LONG_BLOCKS = [(64, 80), (331, 50), (20, 407)]
QS: Sequence[Any] = (0.25, 1, [0.02, 0.5, 0.98], np.float32(0.3), [0, 1])


def wide(shape: tuple[int, ...], dtype: Any) -> Array:
    """Values of very different magnitudes, so that their sum depends on the order of the additions."""
    random = np.random.default_rng(2)
    if np.dtype(dtype).kind == "f":
        return (random.standard_normal(shape) * 10.0 ** random.integers(-6, 7, shape)).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def with_nan(shape: tuple[int, ...], dtype: Any) -> Array:
    image = signed(shape, dtype)
    image[..., ::3] = np.nan
    return image


CASES: list[Case] = [
    *[
        Case(f"numpy.{name}", dtypes=(*FLOATS, "int64", "uint64", "int32"), shape=LONG, make=wide, blocks=LONG_BLOCKS)
        for name in ("sum", "mean", "std", "var")
    ],
    *[
        Case(f"numpy.{name}", dtypes=FLOATS, shape=(31, 63, 71), make=wide, blocks=[(10, 20, 30), (4, 63, 71)])
        for name in ("sum", "mean", "var")
    ],
    Case("numpy.std", {"ddof": 1}, NUMBERS),
    Case("numpy.var", {"correction": 2}, FLOATS, SOLID),
    *[Case(f"numpy.{name}", dtypes=FLOATS, make=with_nan) for name in ("nanmin", "nanmax", "argmin", "argmax")],
    Case("numpy.percentile", {"q": 37.5}, NUMBERS),
    Case("numpy.percentile", {"q": (2, 98)}, NUMBERS, SOLID),
    *[Case("numpy.quantile", {"q": q}, NUMBERS) for q in QS],
    Case("numpy.histogram", {"bins": 17, "range": (0.1, 0.6), "density": True}, FLOATS, SOLID),
    Case("numpy.histogram", {"bins": [0, 1, 3, 40, 200.5]}, NUMBERS),
    Case("numpy.histogram", {"bins": 256, "range": (0, 256)}, ("uint8", "int16")),
    Case("numpy.bincount", {}, ("uint8", "uint16", "bool"), (97,)),
    Case("numpy.bincount", {"minlength": 300}, ("uint8",), (97,)),
    Case("numpy.unique", {"return_counts": True}, INTEGERS, SOLID),
]
