"""Cases of `scipy.ndimage`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import COMMON, EVERY, FLOATS, SOLID, Case, mask
from tests.oracle import picture

MODES = ("nearest", "mirror", "constant", "wrap", "grid-mirror", "grid-constant")
EACH = ("nearest", "constant")
GREY = (
    "minimum_filter maximum_filter median_filter grey_erosion grey_dilation grey_opening grey_closing "
    "white_tophat black_tophat morphological_gradient morphological_laplace"
).split()
BINARY = ("binary_erosion", "binary_dilation", "binary_opening", "binary_closing")
GAPS = np.array([[0, 1, 1, 0], [1, 1, 0, 1], [1, 0, 1, 1]], bool)
HILL = np.array([[0.0, 1, 0], [1, 2, 1]])
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
UNEVEN = np.array([[1.0, -2, 0.5, 0.25], [0, 3, -1, 1]])
NUMERIC = EVERY[1:]


def holes(shape: tuple[int, ...], dtype: Any) -> Array:
    return (picture(shape, "float64") > 0.3).astype(dtype)


TURNED = np.array([[0.9, 0.4], [-0.4, 0.9]])


def coordinates(image: Array) -> Array:
    """Positions inside and outside an image, one row per axis."""
    lengths = np.array(image.shape)[:, None, None]
    positions: Array = np.random.default_rng(4).random((image.ndim, 17, 12)) * (lengths + 4) - 2
    return positions


CASES: list[Case] = [
    # gaussians
    Case("ndimage.gaussian_filter", {"sigma": 1.3}, EVERY),
    Case("ndimage.gaussian_filter", {"sigma": (2, 0), "order": (1, 0), "output": "float32"}, COMMON),
    Case("ndimage.gaussian_filter", {"sigma": (1, 2, 0.5), "truncate": 2.5, "order": 1}, FLOATS, SOLID),
    Case("ndimage.gaussian_filter", {"sigma": 1, "axes": (2, 0), "radius": (2, 4), "mode": EACH}, FLOATS, SOLID),
    *[Case("ndimage.gaussian_filter", {"sigma": 2, "mode": mode, "cval": 0.3}, ("uint8", "float64")) for mode in MODES],
    Case("ndimage.gaussian_filter1d", {"sigma": 2, "axis": 0, "order": 2}, EVERY),
    Case("ndimage.gaussian_filter1d", {"sigma": 1, "radius": 5, "mode": "wrap"}, FLOATS, SOLID),
    Case("ndimage.gaussian_gradient_magnitude", {"sigma": 1.5}, NUMERIC),
    Case("ndimage.gaussian_gradient_magnitude", {"sigma": 1, "axes": 0, "truncate": 3}, FLOATS, SOLID),
    Case("ndimage.gaussian_laplace", {"sigma": 1.5}, NUMERIC),
    Case("ndimage.gaussian_laplace", {"sigma": (1, 2), "axes": (0, 1), "truncate": 3, "mode": EACH}, FLOATS, SOLID),
    # small kernels
    *[Case(f"ndimage.{name}", {"axis": 0, "mode": "wrap"}, FLOATS, SOLID) for name in ("sobel", "prewitt")],
    Case("ndimage.laplace", {"axes": (0, 2), "mode": EACH, "cval": 3}, COMMON, SOLID),
    *[Case(f"ndimage.{name}", {"weights": UNEVEN}, NUMERIC) for name in ("correlate", "convolve")],
    *[
        Case(f"ndimage.{name}", {"weights": UNEVEN, "origin": origin, "mode": mode}, COMMON)
        for name in ("correlate", "convolve")
        for origin, mode in (((-1, 1), "constant"), ((0, -2), "wrap"))
    ],
    Case("ndimage.correlate", {"weights": UNEVEN, "axes": (2, 0)}, FLOATS, SOLID),
    *[
        Case(f"ndimage.{name}1d", {"weights": [1, -2.0, 3, 0.5], "axis": axis, "origin": 1}, COMMON)
        for name in ("correlate", "convolve")
        for axis in (0, 1)
    ],
    # running sums
    Case("ndimage.uniform_filter", {"size": (7, 2), "origin": (1, -1), "mode": "mirror"}, EVERY),
    Case("ndimage.uniform_filter", {"size": 4, "axes": (1, 2), "mode": EACH, "cval": 0.5}, COMMON, SOLID),
    Case("ndimage.uniform_filter", {"size": 5, "mode": "wrap"}, COMMON),
    Case("ndimage.uniform_filter", {"size": 5, "output": "float32"}, ("uint8", "uint16")),
    Case("ndimage.uniform_filter", {"size": 1}, COMMON),
    Case("ndimage.uniform_filter1d", {"size": 6, "axis": 0, "origin": -2}, EVERY),
    Case("ndimage.uniform_filter1d", {"size": 1}, FLOATS, (50,)),
    # extremes and ranks
    *[Case(f"ndimage.{name}", {"footprint": GAPS, "origin": (1, -1), "mode": "mirror"}, COMMON) for name in GREY],
    *[Case(f"ndimage.{name}", {"size": (2, 4), "axes": (0, 2), "mode": "constant"}, COMMON, SOLID) for name in GREY],
    *[Case(f"ndimage.{name}", {"size": 3, "mode": "wrap"}, ("uint8", "float32")) for name in GREY],
    *[
        Case(f"ndimage.{name}", {"structure": HILL, "mode": mode}, ("uint8", "int16", "float64"))
        for name in GREY
        if not name.endswith("filter")
        for mode in ("reflect", "wrap")
    ],
    *[
        Case(f"ndimage.{name}_filter1d", {"size": 5, "axis": axis, "origin": -2, "mode": "nearest"}, EVERY)
        for name in ("minimum", "maximum")
        for axis in (0, 1)
    ],
    *[Case("ndimage.percentile_filter", {"percentile": p, "size": 3}, COMMON) for p in (0, 100, -20)],
    *[Case("ndimage.rank_filter", {"rank": rank, "footprint": GAPS}, COMMON) for rank in (0, 3, -1)],
    *[Case("ndimage.median_filter", {"size": size}, COMMON, (60,)) for size in (2, 5, 9)],
    # masks
    *[Case(f"ndimage.{name}", {}, EVERY, make=holes) for name in BINARY],
    *[Case(f"ndimage.{name}", {"iterations": 3, "border_value": 1}, ("bool",), SOLID, make=holes) for name in BINARY],
    *[
        Case(f"ndimage.{name}", {"structure": GAPS, "iterations": n, "origin": (0, 1)}, ("bool", "uint8"), make=holes)
        for name in BINARY
        for n in (1, 2)
    ],
    *[
        Case(f"ndimage.{name}", {"iterations": 4, "brute_force": brute}, ("bool",), given={"mask": mask}, make=holes)
        for name in BINARY
        for brute in (False, True)
    ],
    *[Case(f"ndimage.{name}", {"structure": CROSS, "axes": (2, 0)}, ("bool",), SOLID, make=holes) for name in BINARY],
    Case("ndimage.binary_hit_or_miss", {}, EVERY, make=holes),
    Case("ndimage.binary_hit_or_miss", {"structure1": CROSS, "structure2": GAPS, "origin1": 1}, ("bool",), make=holes),
    # splines
    *[Case("ndimage.spline_filter", {"order": order}, COMMON) for order in (2, 5)],
    Case("ndimage.spline_filter", {"mode": "grid-wrap", "output": "float32"}, COMMON, SOLID),
    *[Case("ndimage.spline_filter1d", {"axis": 0, "order": order, "mode": "wrap"}, COMMON) for order in (1, 3)],
    # moved pixels
    *[Case("ndimage.zoom", {"zoom": (0.4, 2.1), "order": order, "mode": "reflect"}, EVERY) for order in (0, 1, 3)],
    Case("ndimage.zoom", {"zoom": 2, "order": 1, "grid_mode": True, "mode": "grid-constant", "cval": 7}, COMMON, SOLID),
    Case("ndimage.rotate", {"angle": 33, "reshape": False, "order": 1, "mode": "nearest"}, EVERY),
    Case("ndimage.rotate", {"angle": -70, "axes": (0, 2), "order": 2}, COMMON, SOLID),
    Case("ndimage.shift", {"shift": (2, -3.5), "mode": "wrap", "output": "float32"}, EVERY),
    Case("ndimage.affine_transform", {"matrix": TURNED, "offset": (3, -2), "output_shape": (9, 40)}, EVERY),
    Case("ndimage.affine_transform", {"matrix": (0.5, 2), "order": 1, "mode": "mirror"}, COMMON),
    *[Case("ndimage.map_coordinates", {"order": n}, EVERY, given={"coordinates": coordinates}) for n in (0, 1, 3)],
]
