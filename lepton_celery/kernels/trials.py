"""What kernels are tried on before they are used: few pixels, but all that arithmetic can trip over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHAPES = ((19, 601), (5, 9, 33))
"""Rows longer than what kernels work on at once, and lengths that leave a remainder of every size."""


def floats(*, hard: bool = True) -> Iterator[NDArray[Any]]:
    """Images of float32 and float64; `hard` ones have NaN, infinities, zeros of both signs, tiny and huge numbers."""
    deal = np.random.default_rng(20)
    for dtype in (np.float32, np.float64):
        info = np.finfo(dtype)
        for shape in _SHAPES:
            image = deal.normal(size=shape).astype(dtype)
            yield image
            if hard:
                odd = np.array(
                    [0.0, -0.0, info.tiny, -info.smallest_subnormal, info.max, -info.max, np.inf, np.nan], dtype
                )
                image = image.copy()
                at = deal.random(shape) < 0.02
                image[at] = deal.choice(odd, int(at.sum()))
                yield image


def integers(*dtypes: str) -> Iterator[NDArray[Any]]:
    """Images of these dtypes with values over their whole range."""
    deal = np.random.default_rng(21)
    for dtype in dtypes:
        info = np.iinfo(dtype)
        for shape in _SHAPES:
            yield deal.integers(info.min, info.max, shape, dtype, endpoint=True)
