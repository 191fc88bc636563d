"""Which pixel stands for one beyond the border, as `scipy.ndimage` has it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODES = ("reflect", "constant", "nearest", "mirror", "wrap")

OUTSIDE = -1
"""Stands for `cval`."""


@lru_cache(maxsize=64)
def extended(length: int, radius: int, mode: str) -> NDArray[np.int64]:
    """The pixels of an axis, with `radius` more before and behind: (length + 2 radius) indices into the axis."""
    at = np.arange(-radius, length + radius)
    if mode == "constant":
        found = np.where((at < 0) | (at >= length), OUTSIDE, at)
    elif mode == "nearest" or length == 1:
        found = np.clip(at, 0, length - 1)
    elif mode == "wrap":
        found = at % length
    elif mode == "reflect":
        found = at % (2 * length)
        found = np.minimum(found, 2 * length - 1 - found)
    else:
        found = at % (2 * length - 2)
        found = np.minimum(found, 2 * length - 2 - found)
    found.flags.writeable = False
    return found


def is_plain(image: Any) -> bool:
    """Whether kernels can go over an image's memory as it is: numbers of the machine's own order, one behind the other."""
    return (
        isinstance(image, np.ndarray)
        and image.size > 0
        and image.flags.c_contiguous
        and image.dtype.isnative
        and (image.dtype.kind in "biu" or image.dtype.name in ("float32", "float64"))
    )
