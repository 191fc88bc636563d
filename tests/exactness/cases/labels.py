"""Cases of functions that label connected components."""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import EVERY, FLOATS, NUMBERS, SOLID, Case

INTEGERS = ("bool", "uint8", "uint16", "int16", "int32")
DIAGONALS = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]])


def values(shape: tuple[int, ...], dtype: str) -> Array:
    """Components of several values, and background."""
    random = np.random.default_rng(11)
    return np.where(random.random(shape) > 0.35, random.integers(0, 3, shape), 0).astype(dtype)


CASES: list[Case] = [
    *[
        Case("measure.label", {"connectivity": connectivity, "background": background}, INTEGERS, make=values)
        for connectivity in (None, 1, 2)
        for background in (None, 1)
    ],
    *[Case("measure.label", {"connectivity": c}, INTEGERS, SOLID, make=values) for c in (1, 2, 3)],
    Case("measure.label", {"connectivity": 1, "background": 1}, INTEGERS, SOLID, make=values),
    Case("measure.label", {"return_num": True}, INTEGERS, make=values),
    Case("measure.label", {}, ("bool", "int32"), (67,), make=values),
    Case("measure.label", {"connectivity": 2}, ("bool",), (5, 6, 7, 4), make=values, blocks=[(3, 4, 5)]),
    Case("measure.label", {}, INTEGERS, (1, 41), make=values),
    Case("measure.label", {}, INTEGERS, (41, 1), make=values),
    Case("morphology.label", {"connectivity": 1, "return_num": True}, INTEGERS, make=values),
    Case("ndimage.label", {}, EVERY, make=values),
    Case("ndimage.label", {"structure": DIAGONALS}, EVERY, make=values),
    Case("ndimage.label", {}, FLOATS, SOLID, make=values),
    Case("ndimage.label", {"structure": np.ones((3, 3, 3))}, NUMBERS, SOLID, make=values),
]
