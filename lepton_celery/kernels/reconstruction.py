"""Grayscale reconstruction by dilation: a scan forwards, a scan backwards, and a queue for what remains (Vincent, 1993).

The result is made of the images' own values by comparisons alone, so it is the same in whatever order pixels are visited.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, float64, int64, void
from numpy.typing import NDArray

from lepton_celery.kernels.compiled import Pixels, inlined, kernel, reads, writes


@inlined
def _raise(flooded: Pixels, limit: Pixels, here: int, givers: Pixels) -> None:
    """Raises a pixel to the highest of the pixels that flood it, as far as its limit allows."""
    highest = flooded[here]
    for step in givers:
        highest = max(highest, flooded[here + step])
    flooded[here] = min(highest, limit[here])


@inlined
def _raises(flooded: Pixels, limit: Pixels, here: int, there: int) -> bool:
    """Whether a pixel floods another one further."""
    return bool(flooded[there] < flooded[here] and flooded[there] < limit[there])


@kernel(*[void(writes(dtype), reads(dtype), reads(int64), int64, int64) for dtype in (float32, float64)])
def _reconstruct(flooded: Pixels, limit: Pixels, steps: Pixels, first: int, last: int) -> None:
    """Floods `flooded` under `limit`; `steps` lead from a pixel to the pixels that it floods.

    Pixels before `first` and from `last` on are border.
    """
    earlier, later = -steps[steps > 0], -steps[steps < 0]
    for here in range(first, last):
        _raise(flooded, limit, here, earlier)
    waiting = np.zeros(flooded.size, np.bool_)
    queue = np.empty(flooded.size, np.int64)  # a ring; a pixel is in it at most once
    begin = end = count = 0
    for here in range(last - 1, first - 1, -1):
        _raise(flooded, limit, here, later)
        for step in steps:
            if _raises(flooded, limit, here, here + step):
                queue[end], waiting[here] = here, True
                end, count = (end + 1) % queue.size, count + 1
                break
    while count:
        here = queue[begin]
        waiting[here] = False
        begin, count = (begin + 1) % queue.size, count - 1
        for step in steps:
            there = here + step
            if _raises(flooded, limit, here, there):
                flooded[there] = min(flooded[here], limit[there])
                if not waiting[there]:
                    queue[end], waiting[there] = there, True
                    end, count = (end + 1) % queue.size, count + 1


def reconstruct(seed: NDArray[Any], mask: NDArray[Any], method: str, footprint: Any) -> NDArray[Any]:
    """`skimage.morphology.reconstruction` for a seed that nowhere exceeds the mask, without NaN and -0.0."""
    near = np.ones((3,) * mask.ndim, bool) if footprint is None else np.array(footprint, bool)
    reach = tuple(n // 2 for n in near.shape)
    near[reach] = False
    sign = -1 if method == "erosion" else 1
    dtype: Any = np.float32 if mask.dtype == np.float32 else np.float64
    shape = tuple(n + 2 * thick for n, thick in zip(mask.shape, reach, strict=True))
    inner = tuple(slice(thick, thick + n) for n, thick in zip(mask.shape, reach, strict=True))
    flooded, limit = np.full(shape, -np.inf, dtype), np.full(shape, -np.inf, dtype)
    for padded, image in ((flooded, seed), (limit, mask)):
        padded[inner] = image
        if sign < 0:
            np.negative(padded[inner], out=padded[inner])
    strides = np.array(flooded.strides, np.int64) // flooded.itemsize
    steps = (np.argwhere(near) - np.array(reach)) @ strides
    border = int(np.array(reach) @ strides)
    _reconstruct(flooded.reshape(-1), limit.reshape(-1), steps.astype(np.int64), border, flooded.size - border)
    return np.ascontiguousarray(sign * flooded[inner] if sign < 0 else flooded[inner])
