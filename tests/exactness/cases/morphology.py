"""Cases of `skimage.morphology`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from skimage.morphology import ball, disk, footprint_rectangle

from lepton_celery.catalogue.arrays import Array
from lepton_celery.proving import samples
from tests.exactness.cases.case import COMMON, EVERY, SOLID, Case, labelled
from tests.oracle import picture

GRAY = ("erosion", "dilation", "opening", "closing", "white_tophat", "black_tophat")
FOUR = GRAY[:4]
MODES = ("nearest", "reflect", "mirror", "constant", "wrap")
FOOTPRINTS: Sequence[Array] = [
    disk(3),
    np.ones((3, 5), np.uint8),
    np.ones((2, 4), np.uint8),
    np.array([[0, 1, 1], [0, 1, 0]], np.uint8),
]
SEQUENCE = footprint_rectangle((5, 7), decomposition="sequence")
UNEVEN = ((np.array([[0, 1, 1, 0], [1, 1, 0, 0]], np.uint8), 2), (np.array([[1, 0, 1]], np.uint8), 1))
STEPS = disk(5, decomposition="sequence")
BALL = ball(2, decomposition="sequence")


def levels(shape: tuple[int, ...], dtype: Any) -> Array:
    """Few values: plateaus of all sizes."""
    values = samples.sample("ties", shape, np.dtype(np.float64)) * 3
    return values.astype(dtype) if np.dtype(dtype).kind != "b" else values > 1


def mask(shape: tuple[int, ...], dtype: Any) -> Array:
    """Holes and objects of all sizes."""
    return picture(shape, "uint8") > 120


def allowed(image: Array) -> Array:
    return picture(image.shape, "bool", seed=8)


def labels(shape: tuple[int, ...], dtype: Any) -> Array:
    return labelled(np.zeros(shape)).astype(dtype)


CASES: list[Case] = [
    *[Case(f"morphology.{name}", {"footprint": f}, ("bool", "uint8")) for name in GRAY for f in FOOTPRINTS],
    *[Case(f"morphology.{name}", {"footprint": SEQUENCE}, ("uint8", "float32")) for name in GRAY],
    *[Case(f"morphology.{name}", {"footprint": ball(1)}, ("bool", "uint16"), SOLID) for name in GRAY],
    *[
        Case(f"morphology.{name}", {"footprint": disk(2), "mode": mode, "cval": 7}, ("uint8",))
        for name in GRAY
        for mode in (*MODES, "ignore", "max", "min")
    ],
    *[Case(f"morphology.{name}", {"footprint": UNEVEN}, ("int16", "float64")) for name in GRAY],
    *[Case(f"morphology.{name}", {"footprint": STEPS, "mode": "ignore"}, ("bool", "float32")) for name in GRAY],
    *[Case(f"morphology.{name}", {"footprint": BALL}, ("uint16", "float64"), SOLID) for name in GRAY],
    *[Case(f"morphology.{name}", {"mode": mode}, ("int32", "float64")) for name in GRAY for mode in ("max", "min")],
    *[Case(f"morphology.binary_{name}", {"footprint": UNEVEN, "mode": "max"}, ("bool",)) for name in FOUR],
    *[Case(f"morphology.binary_{name}", {"footprint": np.ones((2, 3)), "mode": "min"}, ("bool",)) for name in FOUR],
    *[Case(f"morphology.binary_{name}", {"footprint": ball(1)}, ("bool", "uint8"), SOLID) for name in FOUR],
    *[Case(f"morphology.isotropic_{name}", {"radius": 2}, EVERY) for name in FOUR],
    *[Case(f"morphology.isotropic_{name}", {"radius": 2.5, "spacing": (0.7, 1.3)}, ("bool",)) for name in FOUR],
    *[Case(f"morphology.isotropic_{name}", {"radius": 1.5, "spacing": 0.5}, ("bool",), SOLID) for name in FOUR],
    *[
        Case(f"morphology.{what}_{how}", {f"{what}_threshold": size, "connectivity": connectivity}, dtypes, make=levels)
        for what in ("area", "diameter")
        for how in ("opening", "closing")
        for size, connectivity, dtypes in ((4, 1, EVERY), (9, 2, COMMON))
    ],
    *[
        Case(f"morphology.{what}_{how}", {f"{what}_threshold": 3}, ("uint8", "float64"), SOLID, make=levels)
        for what in ("area", "diameter")
        for how in ("opening", "closing")
    ],
    *[
        Case(f"morphology.remove_small_{what}", {"max_size": size, "connectivity": connectivity}, ("bool",), make=mask)
        for what in ("objects", "holes")
        for size, connectivity in ((0, 1), (5, 1), (12, 2))
    ],
    Case("morphology.remove_small_objects", {}, ("bool",), make=mask),
    Case("morphology.remove_small_holes", {"max_size": 4, "connectivity": 3}, ("bool",), SOLID, make=mask),
    Case("morphology.remove_objects_by_distance", {"min_distance": 2}, ("int32", "uint8"), make=labels),
    Case("morphology.remove_objects_by_distance", {"min_distance": 3, "p_norm": 1}, ("int64",), make=labels),
    Case("morphology.medial_axis", {"rng": 0}, ("bool", "uint8"), make=mask),
    Case("morphology.medial_axis", {"rng": 3}, ("bool",), given={"mask": allowed}),
    Case("morphology.max_tree_local_maxima", {}, COMMON, make=levels),
    Case("morphology.max_tree_local_maxima", {"connectivity": 3}, ("uint8",), SOLID),
]
