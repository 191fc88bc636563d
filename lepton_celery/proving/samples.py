"""Images for proofs: random ones, and ones that are difficult to split.

The latter have ties, plateaus, constant blocks, a corner without background, values near the end of the dtype's range,
NaN, or long thin objects. All images are generated from a seed, so that a proof can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import Sample

Shape = tuple[int, ...]
Random = np.random.Generator

FLAT_SHAPES: tuple[Shape, ...] = ((23, 31), (13, 29), (1, 17), (16, 2), (3, 3), (1, 1))
"""Shapes of 2-D images: prime lengths, axes of one pixel, and images of one block."""
SOLID_SHAPES: tuple[Shape, ...] = ((9, 11, 10), (1, 7, 8), (5, 2, 6))
"""Shapes of 3-D images."""
BLOCKS: Mapping[int, tuple[Shape, ...]] = {
    1: ((7,), (3,)),
    2: ((5, 7), (11, 13), (2, 31), (64, 4)),
    3: ((4, 5, 3), (3, 11, 4)),
    4: ((3, 4, 5, 3),),
}
"""Shapes of blocks by number of axes: smaller than most halos, prime, thin, ragged, larger than the image on one axis."""


def _plateaus(shape: Shape, random: Random) -> Array:
    coarse = np.kron(random.integers(0, 6, [-(-n // 4) for n in shape]) / 5, np.ones((4,) * len(shape)))
    return coarse[tuple(slice(n) for n in shape)]


def _constant_blocks(shape: Shape, random: Random) -> Array:
    image = random.random(shape)
    image[: shape[0] // 2] = 0.5
    return image


def _corner(shape: Shape, random: Random) -> Array:
    image = np.ones(shape)
    image[tuple(slice(n // 2, None) for n in shape)] = random.integers(0, 2, [n - n // 2 for n in shape])
    return image


def _threads(shape: Shape, random: Random) -> Array:
    image = np.zeros(shape)
    image[..., ::4] = 1  # across all blocks, one pixel wide
    image[0, ...] = 1
    steps = np.arange(max(shape))
    image[tuple(steps % n for n in shape)] = 0.5
    return image


KINDS: Mapping[str, Callable[[Shape, Random], Array]] = {
    "noise": lambda shape, random: random.random(shape),
    "ties": lambda shape, random: random.integers(0, 4, shape) / 3,
    "plateaus": _plateaus,
    "constant": lambda shape, random: np.full(shape, 0.25),
    "constant blocks": _constant_blocks,
    "full corner": _corner,
    "spots": lambda shape, random: (random.random(shape) < 0.02).astype(float),
    "threads": _threads,
    "binary": lambda shape, random: random.integers(0, 2, shape).astype(float),
    "bright": lambda shape, random: 1 - random.integers(0, 5, shape) * 2.0**-16,
    "signed": lambda shape, random: random.random(shape),
    "nan": lambda shape, random: random.random(shape),
}
"""Generators of values from 0 to 1, by kind of image; `sample` derives `signed` and `nan` from noise."""


def _objects(shape: Shape, random: Random) -> Array:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(random.random(shape), 6)
    smooth -= smooth.min()
    noisy: Array = smooth / max(float(smooth.max()), 1e-9) + random.normal(0, 0.02, shape)
    return noisy.clip(0, 1)


TYPICAL = "objects"
"""The kind of an ordinary picture: bright objects about 15 pixels wide, with noise. It is for timings, not for proofs."""


def kinds_for(dtype: np.dtype[np.generic]) -> list[str]:
    """The kinds of images that a dtype can hold."""
    left_out = {"f": set(), "i": {"nan"}}.get(dtype.kind, {"nan", "signed"})
    return [kind for kind in KINDS if kind not in left_out]


def sample(kind: str, shape: Shape, dtype: np.dtype[np.generic], seed: int = 0) -> Array:
    """An image of one of `KINDS`, scaled to the range of the dtype (0 to 1 for floats)."""
    random = np.random.default_rng(seed)
    values = _objects(shape, random) if kind == TYPICAL else KINDS[kind](shape, random)
    if dtype.kind == "b":
        return values > 0.5
    if dtype.kind == "f":
        image = (values * 2 - 1 if kind == "signed" else values).astype(dtype)
        if kind == "nan":
            image[random.random(shape) < 0.03] = np.nan
        return image
    if kind == "binary":
        return values.astype(dtype)
    limits = np.iinfo(str(dtype))
    # wide integers go through float64, which holds 53 bits
    top = float(limits.max) if dtype.itemsize < 8 else 2.0**62
    if kind == "signed":
        return ((values * 2 - 1) * top * 0.999).astype(dtype)
    return (values * top * (1 if dtype.itemsize <= 4 else 0.999)).astype(dtype)


def sample_for(wanted: Sample, kind: str, shape: Shape, dtype: np.dtype[np.generic], seed: int = 0) -> Array:
    """An image of the sort that a parameter takes; labels and masks are derived from an image of the same kind."""
    if wanted in ("rgb", "rgba"):
        return sample(kind, (*shape, 3 if wanted == "rgb" else 4), dtype, seed)
    if wanted == "upper":
        return np.maximum(sample(kind, shape, dtype, seed), sample(kind, shape, dtype, seed - 1))
    if wanted == "image":
        return sample(kind, shape, dtype, seed)
    values = np.nan_to_num(sample(kind, shape, np.dtype(np.float64), seed))
    if wanted == "mask":
        return values > 0.4
    random = np.random.default_rng(seed + 1)
    if wanted == "coordinates":
        pixels = np.indices(shape)
        return pixels + random.uniform(-2, 2, pixels.shape)
    if wanted == "markers":
        return np.where(random.random(shape) < 0.05, random.integers(1, 9, shape), 0).astype(np.int32)
    if wanted == "counts":
        counts: Array = np.floor(values * 40).astype(dtype)
        return counts
    # labels with gaps in their numbers, some of them in several places
    labels: Array = (np.ceil(values * 5).astype(np.int32) - 1).clip(0) * 3
    return labels
