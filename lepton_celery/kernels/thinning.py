"""Thinning of a bool image by a table of neighbourhoods.

A pass looks only at neighbours of the pixels that the two passes before it removed: the neighbourhood of any other pixel is
the one for which the same pass left it in place an iteration ago.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64, uint8, void
from numpy.typing import NDArray

from lepton_celery.kernels.compiled import Pixels, inlined, kernel, reads, writes


@inlined
def _goes(pixels: Pixels, at: int, width: int, table: Pixels, turn: int) -> bool:
    """Whether a pass removes a pixel."""
    above, below = at - width, at + width
    code = (
        pixels[above - 1] + 2 * pixels[above] + 4 * pixels[above + 1] + 8 * pixels[at + 1]
        + 16 * pixels[below + 1] + 32 * pixels[below] + 64 * pixels[below - 1] + 128 * pixels[at - 1]
    )  # fmt: skip
    return bool(table[code] & turn)


@kernel(void(writes(uint8), int64, reads(uint8), int64))
def _thin(pixels: Pixels, width: int, table: Pixels, iterations: int) -> None:
    """Thins an image with a border of one pixel of background."""
    removed = np.empty((3, pixels.size), np.int64)
    counts = np.zeros(3, np.int64)
    looked_at = np.zeros(pixels.size, np.int32)
    around = np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1])
    for number in range(2 * iterations):
        turn, to, count = 1 + number % 2, number % 3, 0
        if number < 2:
            for at in range(width + 1, pixels.size - width - 1):
                if pixels[at] and _goes(pixels, at, width, table, turn):
                    removed[to, count] = at
                    count += 1
        else:
            for before in range(1, 3):
                earlier = (number - before) % 3
                for member in range(counts[earlier]):
                    for step in around:
                        at = removed[earlier, member] + step
                        if pixels[at] and looked_at[at] != number:
                            looked_at[at] = number
                            if _goes(pixels, at, width, table, turn):
                                removed[to, count] = at
                                count += 1
        for member in range(count):
            pixels[removed[to, member]] = 0
        counts[to] = count
        if number % 2 and count == 0 and counts[(number - 1) % 3] == 0:
            break


def thinned(image: NDArray[Any], table: NDArray[Any], iterations: int) -> NDArray[Any]:
    """`catalogue.morphology.skeleton.thinned`."""
    pixels = np.pad(image.view(np.uint8), 1)
    _thin(pixels.reshape(-1), pixels.shape[1], table, iterations)
    return np.ascontiguousarray(pixels[1:-1, 1:-1]).view(bool)
