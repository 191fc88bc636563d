"""Cases of `skimage.transform` and of `measure.block_reduce`; random parameters are in tests/exactness/test_transform.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.measure.block_reduce import REDUCTIONS
from tests.exactness.cases.case import COMMON, EVERY, FLAT, FLOATS, NUMBERS, SOLID, Case, signed

MODES = ("constant", "edge", "symmetric", "reflect", "wrap")
SHEAR = np.array([[0.9, 0.2, 1.5], [-0.1, 1.1, 2.25], [0, 0, 1]])
TILT = np.array([[1.1, 0.1, -3], [0.05, 0.9, 2], [4e-3, 8e-3, 1]])
HORIZON = np.array([[1.0, 0, 0], [0, 1, 0], [0.1, 0, -1.05]])
COLOURS = (*FLAT, 3)


def sized(name: str, options: dict[str, Any], dtypes: Any = COMMON, shape: tuple[int, ...] = FLAT, **more: Any) -> Case:
    return Case(f"transform.{name}", options, dtypes, shape, **more)


CASES: list[Case] = [
    # resize: smaller and larger, in each mode, with and without anti-aliasing
    *[sized("resize", {"output_shape": (13, 47), "mode": mode, "cval": 0.3}, NUMBERS) for mode in MODES],
    *[sized("resize", {"output_shape": (40, 11), "mode": mode, "cval": 7.0}, ("int16", "float32")) for mode in MODES],
    *[sized("resize", {"output_shape": (17, 40), "order": order}, NUMBERS) for order in (0, 2, 3, 5)],
    *[sized("resize", {"output_shape": (17, 40), "order": 3, "mode": mode}, FLOATS, make=signed) for mode in MODES],
    sized("resize", {"output_shape": (40, 17)}, EVERY),
    sized("resize", {"output_shape": (7, 9)}, EVERY),
    sized("resize", {"output_shape": FLAT}, EVERY),
    sized("resize", {"output_shape": (1, 1)}, NUMBERS, blocks=[(1, 1)]),
    sized("resize", {"output_shape": (9, 9), "anti_aliasing": False, "clip": False}, NUMBERS),
    sized("resize", {"output_shape": (9, 25), "anti_aliasing_sigma": (0.5, 2), "preserve_range": True}, NUMBERS),
    sized("resize", {"output_shape": (9, 9), "order": 0, "anti_aliasing": True}, NUMBERS),
    sized("resize", {"output_shape": (5, 9, 25)}, NUMBERS, SOLID),
    sized("resize", {"output_shape": (5, 9, 25), "order": 3}, ("uint8", "float32"), SOLID),
    sized("resize", {"output_shape": (5, 9)}, NUMBERS, COLOURS),
    sized("resize", {"output_shape": (5, 9, 4)}, ("float32",), FLAT, blocks=[(2, 5)]),
    sized("resize", {"output_shape": (17,)}, COMMON, (50,)),
    *[sized("rescale", {"scale": scale}, EVERY) for scale in (0.37, 1.9)],
    sized("rescale", {"scale": (0.4, 1.3)}, COMMON),
    sized("rescale", {"scale": (0.4, 1.3, 2), "mode": "constant", "cval": 0.5}, COMMON, SOLID),
    sized("rescale", {"scale": 0.6, "channel_axis": -1}, COMMON, COLOURS),
    sized("rescale", {"scale": (0.6, 2), "channel_axis": 0}, COMMON, (3, *FLAT), blocks=[(1, 7, 9), (2, 30, 5)]),
    # pyramids
    sized("pyramid_reduce", {"downscale": 2.7, "sigma": 1.5, "order": 3}, COMMON, SOLID),
    sized("pyramid_reduce", {"channel_axis": -1, "mode": "constant", "cval": 0.4}, COMMON, COLOURS),
    sized("pyramid_expand", {"upscale": 1.5, "preserve_range": True, "channel_axis": 2}, COMMON, COLOURS),
    sized("pyramid_gaussian", {}, ("uint8", "float32"), blocks=[(5, 7)]),
    sized("pyramid_gaussian", {"max_layer": 1, "downscale": 1.6, "channel_axis": -1}, FLOATS, COLOURS),
    sized("pyramid_laplacian", {}, ("uint8", "float32"), blocks=[(5, 7)]),
    sized("pyramid_laplacian", {"max_layer": 2, "channel_axis": -1}, FLOATS, COLOURS),
    # boxes
    sized("downscale_local_mean", {"factors": (2, 3)}, EVERY),
    sized("downscale_local_mean", {"factors": (4, 5), "cval": 2}, COMMON),
    sized("downscale_local_mean", {"factors": (3, 2, 1)}, COMMON, COLOURS),
    sized("resize_local_mean", {"output_shape": (9, 40), "channel_axis": -1}, COMMON, COLOURS),
    sized("downscale_local_mean", {"factors": (10, 9)}, EVERY, blocks=[(1, 1), (2, 1), (64, 64)]),
    *[
        Case("measure.block_reduce", {"block_size": (9, 4), "func": func, "cval": 1}, EVERY, blocks=[(1, 1), (3, 2)])
        for func in (np.mean, np.max, np.min, np.sum, np.median)
    ],
    *[
        Case("measure.block_reduce", {"block_size": (4, 9), "func": getattr(np, name)}, NUMBERS)
        for name in REDUCTIONS[5:]
    ],
    Case("measure.block_reduce", {"block_size": (10, 1, 1), "func": np.mean}, COMMON, SOLID, blocks=[(1, 3, 1)]),
    Case("measure.block_reduce", {"func": np.sum, "func_kwargs": {"dtype": "float32"}}, COMMON, SOLID),
    # warps
    *[sized("warp", {"inverse_map": SHEAR, "mode": mode, "cval": 0.3}, NUMBERS) for mode in MODES],
    *[
        sized("warp", {"inverse_map": matrix, "order": order, "output_shape": (30, 19)}, COMMON)
        for matrix in (SHEAR, TILT)
        for order in (0, 1, 3, 4)
    ],
    sized("warp", {"inverse_map": HORIZON, "mode": "edge"}, FLOATS),
    sized("warp", {"inverse_map": TILT, "preserve_range": True, "clip": False}, NUMBERS, COLOURS),
    sized("rotate", {"angle": 90, "resize": True}, COMMON),
    sized("rotate", {"angle": -17.5, "resize": True, "center": (3, 4.5), "order": 3, "mode": "reflect"}, COMMON),
    sized("rotate", {"angle": 45, "order": 0, "mode": "symmetric"}, ("bool", "int32"), COLOURS),
    sized("swirl", {"strength": 5, "radius": 20}, EVERY),
    sized("swirl", {"strength": 5, "radius": 20, "order": 3, "mode": "constant", "cval": 2}, COMMON, COLOURS),
    sized("warp_polar", {"output_shape": (60, 40)}, EVERY),
    sized("warp_polar", {"output_shape": (20, 40), "scaling": "log", "radius": 12, "order": 3}, COMMON),
    sized(
        "warp_polar",
        {"output_shape": (20, 40), "center": (3.5, 2), "mode": "edge", "channel_axis": -1},
        COMMON,
        COLOURS,
    ),
    # sums
    sized("integral_image", {"dtype": "float32"}, ("uint8", "float32"), SOLID),
]
