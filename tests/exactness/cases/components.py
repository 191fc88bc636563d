"""Cases of functions that are built on connected components."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import COMMON, EVERY, FLAT, FLOATS, SOLID, Case, in_range, number
from tests.exactness.cases.labels import DIAGONALS, INTEGERS, values
from tests.oracle import picture

SMALL = ("uint8", "uint16", "int16", "int32")
HYSTERESIS = "filters.apply_hysteresis_threshold"
CANNY = ("bool", "uint8", "int16", "uint16", "int32", "float32", "float64")
MODES = ("constant", "nearest", "reflect", "mirror", "wrap")


def share(fraction: float) -> Callable[[Array], Any]:
    """The value below which this fraction of the pixels lies."""
    return lambda image: float(np.quantile(image.astype(float), fraction))


def uneven(fraction: float) -> Callable[[Array], Array]:
    """The same value with a slope along the last axis."""

    def image_of(image: Array) -> Array:
        slope = np.linspace(0.8, 1.2, image.shape[-1])
        return np.broadcast_to(share(fraction)(image) * slope, image.shape).copy()

    return image_of


def mostly(image: Array) -> Array:
    return np.random.default_rng(3).random(image.shape) > 0.04


def rings(shape: tuple[int, ...], dtype: str) -> Array:
    """Thin walls around many small areas, some of them with gaps."""
    walls = np.zeros(shape, bool)
    for axis, n in enumerate(shape):
        walls |= (np.arange(n) % 5 == 1).reshape([-1 if at == axis else 1 for at in range(len(shape))])
    return in_range(walls & (np.random.default_rng(4).random(shape) > 0.05), dtype)


def smooth(shape: tuple[int, ...], dtype: str) -> Array:
    from scipy.ndimage import gaussian_filter

    image = gaussian_filter(np.random.default_rng(6).random(shape), 2)
    return in_range((image - image.min()) / (image.max() - image.min()), dtype)


def seed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n // 2 for n in shape)


CASES: list[Case] = [
    Case(HYSTERESIS, dtypes=EVERY, more=(share(0.4), share(0.9))),
    Case(HYSTERESIS, dtypes=COMMON, shape=SOLID, more=(share(0.5), share(0.95))),
    Case(HYSTERESIS, dtypes=COMMON, more=(uneven(0.4), share(0.9))),
    Case(HYSTERESIS, dtypes=FLOATS, more=(share(0.95), uneven(0.6))),
    Case(HYSTERESIS, dtypes=("uint8", "float32"), more=(number(1), number(0))),
    Case("segmentation.clear_border", {}, INTEGERS, make=values),
    Case("segmentation.clear_border", {"buffer_size": 2, "bgval": 1}, INTEGERS, make=values),
    Case("segmentation.clear_border", {"buffer_size": 1}, INTEGERS, SOLID, make=values),
    Case("segmentation.clear_border", {"bgval": 1}, INTEGERS, make=values, given={"mask": mostly}),
    Case("ndimage.binary_fill_holes", {}, EVERY, make=rings),
    Case("ndimage.binary_fill_holes", {}, EVERY, SOLID, make=rings),
    Case("ndimage.binary_fill_holes", {"structure": np.ones((3, 3))}, EVERY, make=rings),
    Case("ndimage.binary_fill_holes", {"structure": DIAGONALS}, ("bool",), make=rings),
    Case("ndimage.binary_fill_holes", {"structure": np.array([[1, 1, 1]])}, ("bool",), make=rings),
    Case("ndimage.binary_fill_holes", {"axes": (1, 2)}, ("bool",), SOLID, make=rings),
    *[
        Case("morphology.remove_small_objects", {"max_size": size, "connectivity": connectivity}, ("bool",))
        for size in (12, 300)
        for connectivity in (1, 2)
    ],
    Case("morphology.remove_small_objects", {"max_size": 64, "connectivity": 2}, ("bool",), SOLID),
    Case(
        "morphology.remove_small_objects", {"max_size": 40}, SMALL, make=lambda s, d: picture(s, "uint8").astype(d) // 9
    ),
    Case("morphology.remove_small_holes", {"max_size": 15}, ("bool",), make=rings),
    Case("morphology.remove_small_holes", {"max_size": 900}, ("bool",), make=rings),
    Case("morphology.remove_small_holes", {}, ("bool",), SOLID, make=rings),
    *[
        Case(f"{module}.{name}", {"seed_point": seed(shape), **more, **options}, EVERY, shape, make=values)
        for module in ("morphology", "segmentation")
        for name, more in (("flood", {}), ("flood_fill", {"new_value": 1}))
        for shape, options in (
            (FLAT, {}),
            (FLAT, {"tolerance": 1}),
            (FLAT, {"connectivity": 1, "seed_point": (-1, 0)}),
            (FLAT, {"footprint": DIAGONALS}),
            (FLAT, {"footprint": np.ones((1, 5)), "tolerance": 0.5}),
            (SOLID, {"connectivity": 2}),
        )
    ],
    Case("segmentation.relabel_sequential", {}, ("uint8", "int16"), make=rings),
    Case("segmentation.relabel_sequential", {"offset": 7}, ("uint8", "int16", "int32", "uint32"), make=values),
    Case("segmentation.relabel_sequential", {"offset": 3}, ("uint16", "int64"), SOLID, make=values),
    Case("feature.canny", {}, CANNY, make=smooth),
    Case("feature.canny", {"sigma": 1.7, "low_threshold": 0.05, "high_threshold": 0.1}, FLOATS, make=smooth),
    Case("feature.canny", {"sigma": 0.6, "low_threshold": 9, "high_threshold": 30}, ("uint8",)),
    Case("feature.canny", {"use_quantiles": True, "low_threshold": 0.6, "high_threshold": 0.9}, CANNY, make=smooth),
    Case("feature.canny", {"low_threshold": 0.01}, FLOATS, make=smooth, given={"mask": mostly}),
    *[
        Case(
            "feature.canny",
            {"mode": mode, "cval": 0.4, "low_threshold": 0, "high_threshold": 0.03},
            FLOATS,
            make=smooth,
        )
        for mode in MODES
    ],
    *[
        Case("feature.canny", {"mode": mode, "low_threshold": 0}, FLOATS, make=smooth, given={"mask": mostly})
        for mode in MODES
    ],
]
