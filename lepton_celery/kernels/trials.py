"""Images for the trials of kernels: few pixels, but every kind of number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHAPES = ((19, 601), (5, 9, 33))
"""Rows longer than the strips that kernels process, with lengths that are no multiples of their vector sizes."""


def floats(*, hard: bool = True) -> Iterator[NDArray[Any]]:
    """Images of float32 and float64; `hard` ones have NaN, infinities, zeros of both signs, tiny and huge numbers."""
    rng = np.random.default_rng(20)
    for dtype in (np.float32, np.float64):
        info = np.finfo(dtype)
        for shape in _SHAPES:
            image = rng.normal(size=shape).astype(dtype)
            yield image
            if hard:
                hard_values = np.array(
                    [0.0, -0.0, info.tiny, -info.smallest_subnormal, info.max, -info.max, np.inf, np.nan], dtype
                )
                image = image.copy()
                chosen = rng.random(shape) < 0.02
                image[chosen] = rng.choice(hard_values, int(chosen.sum()))
                yield image


def integers(*dtypes: str) -> Iterator[NDArray[Any]]:
    """Images of these dtypes, with values over the whole range of each."""
    rng = np.random.default_rng(21)
    for dtype in dtypes:
        info = np.iinfo(dtype)
        for shape in _SHAPES:
            yield rng.integers(info.min, info.max, shape, dtype, endpoint=True)
