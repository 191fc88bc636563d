"""A watershed of a part of an image, which also says for which pixels the rest of the image does not matter.

Pixels wait in one queue per height, so that a pixel is reached in constant time. `catalogue.segmentation.watershed` says why
the flags are right.
"""

from __future__ import annotations

import numpy as np
from numba import float64, int32, int64, uint8, uint64, void
from numpy.typing import NDArray

from lepton_celery.kernels.compiled import Pixels, grouped, inlined, kernel, reads, writes

_WALL = -1
"""The label of pixels that no flood enters."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2**64 divided by the golden ratio, which spreads numbers evenly over the highest bits."""
CONTESTED, FROM_FACES = 1, 2
"""Flags of pixels that have several possible markers, and of pixels that depend on the rest of the image."""
_NOBODY = -1
"""Where the index of a pixel is expected: there is none."""


@kernel(int64(reads(float64), writes(int32), uint64, writes(int32), writes(float64)))
def _distinct(values: Pixels, table: Pixels, shift: int, positions: Pixels, found: Pixels) -> int:
    """Finds the distinct values by hashing to the highest bits; `positions` has the position of each value in `found`.

    Returns:
        The number of distinct values.
    """
    count, slots = 0, table.size
    for pixel in range(values.size):
        value = values[pixel]
        slot = np.int64((np.float64(value).view(np.uint64) * _MULTIPLIER) >> shift)
        while table[slot] != _NOBODY and found[table[slot]] != value:
            slot = (slot + 1) % slots
        if table[slot] == _NOBODY:
            table[slot] = count
            found[count] = value
            count += 1
        positions[pixel] = table[slot]
    return count


@inlined
def _append(queues: Pixels, ends: Pixels, behind: Pixels, level: int, pixel: int) -> None:
    """Puts a pixel at the end of the queue of a level."""
    if queues[level] == _NOBODY:
        queues[level] = pixel
    else:
        behind[ends[level]] = pixel
    ends[level] = pixel
    behind[pixel] = _NOBODY


_Ints = writes(int32)


@kernel(void(reads(int32), reads(int32), _Ints, writes(uint8), reads(int64), grouped(_Ints, _Ints)))
def _flood(
    sources: Pixels, levels: Pixels, labels: Pixels, flags: Pixels, steps: Pixels, queues: tuple[Pixels, Pixels]
) -> None:
    """Floods from the sources, whose labels and flags are set; other pixels have the label 0, or `_WALL`.

    The pixels that one rank leaves have equal levels all the way back to a source, so only markers elsewhere in the image
    could tell which of them scikit-image floods first.
    """
    begins, ends = queues
    behind = np.empty(labels.size, np.int32)
    reached_by = np.full(labels.size, _NOBODY, np.int32)  # the rank of the pixels from which a pixel was reached
    for source in sources:
        _append(begins, ends, behind, levels[source], source)
    rank, last_level, last_reached_by = _NOBODY, _NOBODY, _NOBODY
    for level in range(begins.size):
        while begins[level] != _NOBODY:
            here = begins[level]
            begins[level] = behind[here]
            if level != last_level or reached_by[here] != last_reached_by:
                rank, last_level, last_reached_by = rank + 1, level, reached_by[here]
            for step in steps:
                there = here + step
                if labels[there] == 0:
                    labels[there], flags[there], reached_by[there] = labels[here], flags[here], rank
                    _append(begins, ends, behind, max(level, levels[there]), there)
                elif reached_by[there] == rank:
                    flags[there] |= flags[here] | (CONTESTED if labels[there] != labels[here] else 0)


@inlined
def _push(heap: tuple[Pixels, Pixels, Pixels], size: int, value: float, age: int, pixel: int) -> None:
    """Puts a pixel into a binary heap of `size` pixels, ordered by value and age."""
    values, ages, pixels = heap
    child = size
    while child > 0:
        parent = (child - 1) // 2
        if not (value < values[parent] or (value == values[parent] and age < ages[parent])):
            break
        values[child], ages[child], pixels[child] = values[parent], ages[parent], pixels[parent]
        child = parent
    values[child], ages[child], pixels[child] = value, age, pixel


@inlined
def _pop(heap: tuple[Pixels, Pixels, Pixels], size: int) -> None:
    """Removes the first pixel of a heap, of which `size` remain; the last one takes its place and sinks.

    It sinks along the path of the smaller children, mostly to the bottom. So the path is followed to its end, and the place
    is found on the way back. The heap that results is that of scikit-image, which compares on the way down.
    """
    values, ages, pixels = heap
    value, age, pixel = values[size], ages[size], pixels[size]
    here, child = 0, 1
    while child < size:
        right = child + 1
        if right < size and (
            values[right] < values[child] or (values[right] == values[child] and ages[right] < ages[child])
        ):
            child = right
        values[here], ages[here], pixels[here] = values[child], ages[child], pixels[child]
        here, child = child, 2 * child + 1
    while here > 0:
        parent = (here - 1) // 2
        if values[parent] < value or (values[parent] == value and ages[parent] < age):
            break  # it stays above equal pixels
        values[here], ages[here], pixels[here] = values[parent], ages[parent], pixels[parent]
        here = parent
    values[here], ages[here], pixels[here] = value, age, pixel


@kernel(void(reads(float64), _Ints, reads(int64), reads(int64)))
def _flood_in_order(heights: Pixels, labels: Pixels, sources: Pixels, steps: Pixels) -> None:
    """Floods from the sources in the order of scikit-image's heap, equal markers included.

    Equal markers leave a binary heap in an order that results from all that was in it before, so every step is the same.
    """
    space = max(1024, sources.size)
    heap = np.empty(space, np.float64), np.empty(space, np.int32), np.empty(space, np.int32)
    size = 0
    for source in sources:
        _push(heap, size, heights[source], 0, source)
        size += 1
    age = 1
    while size > 0:
        value, here = heap[0][0], heap[2][0]
        size -= 1
        _pop(heap, size)
        if size + steps.size > space:
            wider = np.empty(2 * space, np.float64), np.empty(2 * space, np.int32), np.empty(2 * space, np.int32)
            wider[0][:size], wider[1][:size], wider[2][:size] = heap[0][:size], heap[1][:size], heap[2][:size]
            heap, space = wider, 2 * space
        for step in steps:
            there = here + step
            if labels[there] == 0:
                age += 1
                labels[there] = labels[here]
                _push(heap, size, max(heights[there], value), age, there)
                size += 1


def _ranked(values: NDArray[np.float64]) -> tuple[NDArray[np.int32], int]:
    """The rank of each value among the distinct values, from 1, and the number of distinct values."""
    values = values + 0.0  # -0.0 becomes 0.0, which hashes to another slot
    found, positions = np.empty(values.size), np.empty(values.size, np.int32)
    bits = (2 * values.size + 1).bit_length()
    table = np.full(1 << bits, _NOBODY, np.int32)
    count = _distinct(values, table, 64 - bits, positions, found)
    ranks = np.empty(count, np.int32)
    ranks[np.argsort(found[:count])] = np.arange(1, count + 1, dtype=np.int32)
    return ranks[positions], count


def flooded(
    heights: NDArray[np.float64], numbers: NDArray[np.int32], cut: NDArray[np.bool_], steps: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Numbers of markers and flags of a part of an image, whose outermost pixels are walls.

    Args:
        heights: the image.
        numbers: markers from 1 on, 0 where there is none, `_WALL` on walls.
        cut: the pixels beside the rest of the image.
        steps: distances to the neighbours of a pixel in raster order.
    """
    mask = numbers != _WALL
    cut = cut & mask
    levels = np.zeros(heights.shape, np.int32)
    levels[mask], count = _ranked(heights[mask])
    levels[cut] = 0  # lower than any pixel
    numbers, flags = numbers.copy(), np.zeros(heights.shape, np.uint8)
    numbers[cut], flags[cut] = np.iinfo(np.int32).max, FROM_FACES
    sources = np.flatnonzero(numbers > 0).astype(np.int32)
    queues = np.full(count + 1, _NOBODY, np.int32), np.empty(count + 1, np.int32)
    _flood(sources, levels.reshape(-1), numbers.reshape(-1), flags.reshape(-1), steps, queues)
    return np.stack([np.maximum(numbers, 0), flags])


def flooded_in_order(
    heights: NDArray[np.float64], numbers: NDArray[np.int32], steps: NDArray[np.int64], in_place: bool = False
) -> NDArray[np.int32]:
    """`catalogue.segmentation.watershed.flooded_in_order`."""
    numbers = numbers if in_place else numbers.copy()
    sources = np.flatnonzero(numbers > 0)
    _flood_in_order(heights.reshape(-1), numbers.reshape(-1), sources, steps)
    return numbers
