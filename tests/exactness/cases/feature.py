"""Cases of `skimage.feature`: corners, derivatives and textures."""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage.feature import graycomatrix

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import COMMON, EVERY, FLAT, FLOATS, SOLID, Case
from tests.oracle import picture

MODES = ("nearest", "reflect", "mirror", "constant", "wrap")
CORNERS = ("corner_harris", "corner_shi_tomasi", "corner_foerstner")
STACK_BLOCKS = [(1, 7, 9), (3, 23, 5), (2, 64, 64)]


def elements(shape: tuple[int, ...], dtype: Any) -> Array:
    """One image for each element of a symmetric matrix at each pixel."""
    stack: Array = np.subtract(picture(shape, dtype, seed=4), picture(shape, dtype, seed=6))
    return stack


def gray(shape: tuple[int, ...], dtype: Any) -> Array:
    """Few grey levels, with flat regions."""
    image = np.kron(picture(shape, "uint8") // 32, np.ones((2,) * len(shape), np.uint8))
    cut: Array = image[tuple(slice(0, n) for n in shape)].astype(dtype)
    return cut


def matrices(shape: tuple[int, ...], dtype: Any) -> Array:
    """Co-occurrence matrices."""
    counts: Array = graycomatrix(picture(shape, "uint8") // 32, [1, 2, 5], [0, 0.7], levels=8).astype(dtype)
    return counts


def template(image: Array) -> Array:
    """A part of the image."""
    return image[tuple(slice(n // 3, n // 3 + 5) for n in image.shape)]


PATTERNS = ("default", "ror", "uniform", "nri_uniform", "var")
CELLS = {"pixels_per_cell": (3, 4), "cells_per_block": (2, 3), "feature_vector": False}
CELL_BLOCKS = [(1, 2, 2, 3, 9), (3, 1, 1, 1, 4), (9, 9, 9, 9, 9)]
DAISY = {"radius": 5, "rings": 2, "histograms": 3, "orientations": 4}
FEATURE_BLOCKS = [(5, 7, 3), (23, 2, 64), (64, 64, 64)]

CASES: list[Case] = [
    Case("feature.structure_tensor", {"sigma": (1.5, 0), "order": "xy"}, COMMON),
    Case("feature.structure_tensor", {"sigma": 1.3, "mode": "reflect"}, COMMON, SOLID),
    *[Case("feature.structure_tensor", {"sigma": 2, "mode": m, "cval": 0.3}, ("uint16", "float32")) for m in MODES],
    *[Case(f"feature.{name}", {"sigma": 2.6}, COMMON) for name in CORNERS],
    Case("feature.corner_harris", {"method": "eps", "eps": 1e-3}, COMMON),
    Case("feature.corner_harris", {"k": 0.2, "sigma": (0, 1.2)}, COMMON),
    *[Case("feature.corner_kitchen_rosenfeld", {"mode": m, "cval": 0.5}, FLOATS) for m in MODES],
    Case("feature.corner_moravec", {"window_size": 3}, COMMON),
    Case("feature.corner_fast", {"n": 9, "threshold": 0.05}, COMMON),
    *[
        Case(f"feature.{name}", {}, FLOATS, shape, make=elements, blocks=blocks)
        for name in ("structure_tensor_eigenvalues", "hessian_matrix_eigvals")
        for shape, blocks in (((3, *FLAT), STACK_BLOCKS), ((6, *SOLID), [(2, 5, 7, 4), (3, 4, 13, 12)]))
    ],
    Case("feature.hessian_matrix", {"use_gaussian_derivatives": False}, EVERY),
    Case("feature.hessian_matrix", {"use_gaussian_derivatives": False, "sigma": 2, "order": "xy"}, COMMON),
    Case("feature.hessian_matrix", {"use_gaussian_derivatives": False, "sigma": 1.5}, COMMON, SOLID),
    Case("feature.hessian_matrix", {"use_gaussian_derivatives": True, "mode": "reflect"}, COMMON),
    Case("feature.hessian_matrix", {"use_gaussian_derivatives": True, "sigma": (1.2, 2), "order": "xy"}, COMMON),
    Case("feature.hessian_matrix", {"use_gaussian_derivatives": True, "sigma": 1.1}, ("uint8", "float32"), SOLID),
    *[
        Case("feature.hessian_matrix", {"use_gaussian_derivatives": by, "sigma": 1.01, "mode": m, "cval": 0.4}, FLOATS)
        for by in (False, True)
        for m in MODES
    ],
    *[Case("feature.shape_index", {"sigma": 1.7, "mode": m, "cval": 0.4}, COMMON) for m in MODES],
    Case("feature.hessian_matrix_det", {"sigma": 3.5}, COMMON),
    Case("feature.hessian_matrix_det", {"sigma": 1.5, "approximate": False}, EVERY),
    # textures
    *[
        Case("feature.local_binary_pattern", {"P": count, "R": radius, "method": method}, dtypes, make=gray)
        for method in PATTERNS
        for count, radius, dtypes in ((8, 1, ("uint8", "int16")), (5, 2.3, ("uint8",)), (16, 3, ("uint16",)))
    ],
    Case("feature.multiscale_basic_features", {"sigma_max": 2}, EVERY, blocks=FEATURE_BLOCKS),
    Case("feature.multiscale_basic_features", {"sigma_max": 2}, FLOATS, SOLID, blocks=[(4, 5, 3, 6), (11, 7, 12, 2)]),
    Case("feature.multiscale_basic_features", {"edges": False, "num_sigma": 3}, COMMON, blocks=FEATURE_BLOCKS),
    Case("feature.multiscale_basic_features", {"texture": False, "num_sigma": 1}, COMMON, blocks=[(5, 7)]),
    *[
        Case(
            "feature.multiscale_basic_features",
            {"sigma_max": 1, "channel_axis": axis},
            FLOATS,
            shape,
            blocks=[(5, 7, 9)],
        )
        for axis, shape in ((-1, (*FLAT, 3)), (0, (2, *FLAT)))
    ],
    Case("feature.hog", {"pixels_per_cell": (3, 4)}, EVERY, blocks=[(50,), (100000,)]),
    Case("feature.hog", CELLS, COMMON, blocks=CELL_BLOCKS),
    Case("feature.hog", {**CELLS, "orientations": 4, "transform_sqrt": True}, COMMON, blocks=[(2, 2, 2, 3)]),
    *[
        Case("feature.hog", {**CELLS, "block_norm": norm}, FLOATS, blocks=CELL_BLOCKS)
        for norm in ("L1", "L1-sqrt", "L2")
    ],
    *[
        Case("feature.hog", {**CELLS, "channel_axis": axis}, COMMON, shape, blocks=CELL_BLOCKS)
        for axis, shape in ((-1, (*FLAT, 3)), (0, (3, *FLAT)))
    ],
    Case("feature.daisy", DAISY, EVERY, (41, 50), blocks=[(2, 3, 7), (1, 64, 64)]),
    *[
        Case(
            "feature.daisy",
            {**DAISY, "step": 3, "normalization": norm},
            FLOATS,
            (37, 40),
            blocks=[(2, 3, 7), (5, 1, 64)],
        )
        for norm in ("l2", "daisy", "off")
    ],
    Case("feature.daisy", {"sigmas": [1, 2.5], "ring_radii": [4], "step": 1}, FLOATS, blocks=[(2, 3, 7)]),
    Case("feature.graycomatrix", {"distances": (1, 2, 7.5), "angles": (0, 0.8, np.pi / 2, -2.4)}, ("uint8", "int8")),
    Case(
        "feature.graycomatrix",
        {"distances": [0.5, 40], "angles": [np.pi], "levels": 8, "symmetric": True, "normed": True},
        ("uint8", "uint16", "int32"),
        make=gray,
    ),
    Case("feature.graycoprops", {}, ("uint32",), (16, 16), make=matrices, blocks=[(2, 1)]),
    Case("feature.graycoprops", {"prop": "correlation"}, ("float64",), (16, 16), make=matrices, blocks=[(2, 1)]),
    Case("feature.match_template", {}, EVERY[1:], given={"template": template}),
    Case("feature.match_template", {"pad_input": True, "mode": "reflect"}, COMMON, given={"template": template}),
    Case("feature.match_template", {"pad_input": True}, FLOATS, SOLID, given={"template": template}),
]
