"""Reproducible input images: pictures of `skimage.data`, tiled, with noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import data

Array = NDArray[Any]

_BAND = 1024
"""Rows to which noise is added at a time, which bounds the memory."""


def _tiled(picture: Array, shape: tuple[int, ...]) -> Array:
    """Repeat a picture along its first two axes until it has `shape`."""
    rows = np.arange(shape[0]) % picture.shape[0]
    columns = np.arange(shape[1]) % picture.shape[1]
    # indexing gives an array in Fortran order, and numpy.save would keep that order
    return np.ascontiguousarray(picture[rows][:, columns])


def photograph(shape: tuple[int, ...], seed: int) -> Array:
    """A gray photograph with noise, float32 from 0 to 1."""
    image = _tiled((data.camera() / 255).astype(np.float32), shape)
    rng = np.random.default_rng(seed)
    for at in range(0, shape[0], _BAND):
        band = image[at : at + _BAND]
        band += rng.standard_normal(band.shape, np.float32) * np.float32(0.03)
    return np.clip(image, 0, 1, out=image)


def tiles(shape: tuple[int, ...], seed: int) -> Array:
    """A gray photograph without noise, uint8: quick to make, and the same for any seed."""
    return _tiled(data.camera(), shape)


def coins(shape: tuple[int, ...], seed: int) -> Array:
    """Coins, uint8, with enough noise for hundreds of thousands of objects."""
    image = _tiled(data.coins(), shape)
    rng = np.random.default_rng(seed)
    for at in range(0, shape[0], _BAND):
        band = image[at : at + _BAND]
        noisy = band + rng.standard_normal(band.shape, np.float32) * np.float32(9)
        band[...] = np.clip(noisy, 0, 255).astype(np.uint8)
    return image


def colours(shape: tuple[int, ...], seed: int) -> Array:
    """A colour photograph with noise, uint8."""
    image = _tiled(np.minimum(data.astronaut(), 239), shape)
    rng = np.random.default_rng(seed)
    for at in range(0, shape[0], _BAND):
        band = image[at : at + _BAND]
        band += rng.integers(0, 16, band.shape, np.uint8)
    return image


def volume(shape: tuple[int, ...], seed: int) -> Array:
    """A float32 volume whose planes are a photograph, shifted from plane to plane, with noise."""
    planes = photograph(shape[1:], seed)
    rng = np.random.default_rng(seed)
    image = np.empty(shape, np.float32)
    for at in range(shape[0]):
        image[at] = np.roll(planes, 3 * at, axis=1)
        image[at] += rng.standard_normal(shape[1:], np.float32) * np.float32(0.05)
    return image
