"""Cases of `skimage.util`."""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import COMMON, FLOATS, SOLID, Case, number, shifted, signed
from tests.oracle import picture

INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
MAPPED = [number(np.array([0, 3, 7])), number(np.array([0.5, -2.0, 9.0]))]


def dark_but_for_one(shape: tuple[int, ...], dtype: str) -> Array:
    """Pixels that fit int8, and one with the greatest value of the dtype."""
    image = picture(shape, dtype)
    image //= np.array(int(image.max()) // 90 + 1, dtype)
    image[-1, -1] = np.iinfo(image.dtype).max
    return image


def dark(shape: tuple[int, ...], dtype: str) -> Array:
    image = dark_but_for_one(shape, dtype)
    image[-1, -1] = 0
    return image


def few(shape: tuple[int, ...], dtype: str) -> Array:
    return (picture(shape, dtype) % 9).astype(dtype)


CASES: list[Case] = [
    *[
        Case(f"util.img_as_{to}", {}, INTEGERS, make=make)
        for to in ("ubyte", "uint", "int")
        for make in (dark, dark_but_for_one)
    ],
    Case("util.invert", {"signed_float": True}, FLOATS, make=signed),
    Case("util.compare_images", {"method": "blend"}, COMMON, more=(shifted,)),
    *[
        Case("util.compare_images", {"method": "checkerboard", "n_tiles": tiles}, COMMON, more=(shifted,))
        for tiles in ((8, 8), (3, 5), (2, 40), (23, 31))
    ],
    Case("util.map_array", {}, INTEGERS, more=MAPPED, make=few),
    Case("util.map_array", {}, INTEGERS, SOLID, more=MAPPED, make=few),
]
