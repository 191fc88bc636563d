"""The measured filters, written with scikit-image as functions of a NumPy array; the docstrings name their workloads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import color, filters, restoration, util

Array = NDArray[Any]

SIGMA = 4
EDGE = 0.03
PATCH: dict[str, Any] = {"patch_size": 5, "patch_distance": 6, "h": 0.1, "fast_mode": False}


def blur(image: Array) -> Array:
    """W1."""
    smooth: Array = filters.gaussian(image, sigma=SIGMA)
    return smooth


def denoise(image: Array) -> Array:
    """W2."""
    clean: Array = restoration.denoise_nl_means(image, **PATCH)
    return clean


def edges(image: Array) -> Array:
    """W4."""
    strong: Array = filters.sobel(filters.gaussian(color.rgb2gray(image), sigma=2)) > EDGE
    return strong


def scale(image: Array) -> Array:
    """W5."""
    scaled: Array = np.sqrt(image) * np.float32(0.5) + np.float32(0.25)
    return scaled


def bright(image: Array) -> Array:
    """V1 and G1."""
    mask: Array = filters.gaussian(image, sigma=2) > 0.5
    return mask


def invert(image: Array) -> Array:
    """G2."""
    negative: Array = util.invert(image)
    return negative
