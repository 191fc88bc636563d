"""Boundary modes of `scipy.ndimage`, as indices of pixels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODES = ("reflect", "constant", "nearest", "mirror", "wrap")

OUTSIDE = -1
"""The index that stands for `cval`."""


@lru_cache(maxsize=64)
def extended(length: int, radius: int, mode: str) -> NDArray[np.int64]:
    """The indices of an axis of `length` pixels, extended by `radius` pixels on both sides."""
    position = np.arange(-radius, length + radius)
    if mode == "constant":
        index = np.where((position < 0) | (position >= length), OUTSIDE, position)
    elif mode == "nearest" or length == 1:
        index = np.clip(position, 0, length - 1)
    elif mode == "wrap":
        index = position % length
    elif mode == "reflect":
        index = position % (2 * length)
        index = np.minimum(index, 2 * length - 1 - index)
    else:
        index = position % (2 * length - 2)
        index = np.minimum(index, 2 * length - 2 - index)
    index.flags.writeable = False
    return index


def is_plain(image: Any) -> bool:
    """Whether kernels can read an image: a contiguous array of supported numbers in native byte order."""
    return (
        isinstance(image, np.ndarray)
        and image.size > 0
        and image.flags.c_contiguous
        and image.dtype.isnative
        and (image.dtype.kind in "biu" or image.dtype.name in ("float32", "float64"))
    )
