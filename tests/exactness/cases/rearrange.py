"""Cases of NumPy's functions that rearrange pixels."""

from __future__ import annotations

import numpy as np

from tests.exactness.cases.case import EVERY, FLAT, SOLID, Case

SOME = ("uint8", "bool", "float32")
FLAT_SINGLE = (23, 1, 31)

CASES: list[Case] = [
    Case("numpy.flip", {"axis": (0, 2)}, SOME, SOLID),
    Case("numpy.flip", {"axis": -1}, SOME, (*FLAT, 3)),
    *[Case("numpy.rot90", {"k": k, "axes": (2, 0)}, SOME, SOLID) for k in (-1, 2, 3)],
    Case("numpy.transpose", {"axes": (1, 2, 0)}, SOME, SOLID),
    Case("numpy.transpose", {"axes": (2, 0, 1)}, SOME, (*FLAT, 3), blocks=[(1, 7, 9), (3, 30, 5)]),
    Case("numpy.moveaxis", {"source": (0, 1), "destination": (-1, 0)}, SOME, SOLID),
    Case("numpy.moveaxis", {"source": 0, "destination": -1}, SOME, (3, *FLAT), blocks=[(5, 7), (64, 2)]),
    Case("numpy.squeeze", {}, SOME, FLAT_SINGLE, blocks=[(5, 7), (64, 2)]),
    Case("numpy.squeeze", {"axis": 1}, SOME, (1, 1, 31), blocks=[(1, 7)]),
    Case("numpy.expand_dims", {"axis": (0, -1)}, SOME, blocks=[(1, 5, 7)]),
    *[
        Case("numpy.pad", {"pad_width": width, "mode": mode}, SOME)
        for mode in ("constant", "edge", "reflect", "symmetric", "wrap")
        for width in (3, ((0, 7), (50, 0)))
    ],
    Case("numpy.pad", {"pad_width": (2, 5), "constant_values": ((1, 2), (3, 4))}, EVERY),
    Case("numpy.pad", {"pad_width": ((1, 0), (0, 2), (3, 3)), "mode": "reflect"}, SOME, SOLID),
    Case("numpy.roll", {"shift": 5, "axis": 0}, EVERY),
    Case("numpy.roll", {"shift": (-3, 40), "axis": (0, 1)}, SOME),
    Case("numpy.roll", {"shift": (2, 3), "axis": 1}, SOME, SOLID),
    Case("numpy.roll", {"shift": 9}, SOME, (50,)),
    Case("numpy.tile", {"reps": (2, 1, 3)}, SOME, blocks=[(1, 5, 7)]),
    Case("numpy.repeat", {"repeats": 3, "axis": 1}, EVERY),
    Case("numpy.repeat", {"repeats": np.arange(23) % 4, "axis": 0}, SOME),
    # a sequence is the image's planes or rows; other sequences are in test_rearrange
    *[Case(f"numpy.{name}", {}, SOME, SOLID, blocks=[(10, 5)]) for name in ("concatenate", "vstack", "hstack")],
    Case("numpy.concatenate", {"axis": -1}, SOME, SOLID, blocks=[(10, 5), (3, 100)]),
    Case("numpy.dstack", {}, SOME, SOLID, blocks=[(4, 5, 3)]),
    Case("numpy.column_stack", {}, SOME, FLAT, blocks=[(10, 5)]),
    Case("util.crop", {"crop_width": 3}, EVERY),
    Case("util.crop", {"crop_width": ((1, 2), (0, 0), (4, 3))}, SOME, SOLID),
]
