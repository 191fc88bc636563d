"""Connected components of a block, and counts, sums and extents of its labels.

All sums are of integers, so their order does not matter. Each run of pixels in a row is joined with the runs of the previous
row that it touches. Its first run stands for a component, so labels are in the order of first pixels, as in scikit-image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float64, int32, int64, uint8, uint16, void
from numpy.typing import NDArray

from lepton_celery.kernels.compiled import Pixels, inlined, kernel, reads, writes


@inlined
def _first(parents: Pixels, run: int) -> int:
    """The first run of a run's component."""
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


@kernel(int64(reads(uint8), int64))
def _count_runs(image: Pixels, width: int) -> int:
    runs = 0
    for row in range(image.size // width):
        before = 0
        for pixel in range(row * width, row * width + width):
            here = image[pixel]
            runs += here & ~before & 1
            before = here
    return runs


_Runs = writes(int32)


@kernel(void(reads(uint8), int64, int64, _Runs, _Runs, _Runs, _Runs, _Runs))
def _label(
    image: Pixels, width: int, reach: int, starts: Pixels, stops: Pixels, parents: Pixels, rows: Pixels, labels: Pixels
) -> None:
    above, run = 0, 0
    for row in range(image.size // width):
        rows[row] = first = run
        column, base = 0, row * width
        while column < width:
            if image[base + column] == 0:
                column += 1
                continue
            start = column
            while column < width and image[base + column] != 0:
                column += 1
            starts[run], stops[run], parents[run] = start, column, run
            # runs of the previous row that end before this run begins touch no later run either
            while above < first and stops[above] + reach <= start:
                above += 1
            touching = above
            while touching < first and starts[touching] < column + reach:
                mine, other = _first(parents, run), _first(parents, touching)
                parents[max(mine, other)] = min(mine, other)
                touching += 1
            run += 1
        above = first
    rows[image.size // width] = run
    number = 0
    for joined in range(run):
        if parents[joined] == joined:
            number += 1
            parents[joined] = -number
        else:  # its parent comes before it and has its number already
            parents[joined] = parents[parents[joined]]
    for row in range(image.size // width):
        for joined in range(rows[row], rows[row + 1]):
            for pixel in range(row * width + starts[joined], row * width + stops[joined]):
                labels[pixel] = -parents[joined]


@kernel(void(reads(int32), reads(int32), writes(int32)), void(reads(int64), reads(int32), writes(int64)))
def _look_up(table: Pixels, ids: Pixels, result: Pixels) -> None:
    for pixel in range(ids.size):
        result[pixel] = table[ids[pixel]]


@kernel(void(reads(int32), writes(int64)), void(reads(int64), writes(int64)))
def _count(labels: Pixels, counts: Pixels) -> None:
    for pixel in range(labels.size):
        counts[labels[pixel]] += 1


_Sums = writes(float64)


@kernel(
    void(reads(int32), reads(uint8), _Sums),
    void(reads(int32), reads(uint16), _Sums),
    void(reads(int64), reads(uint8), _Sums),
    void(reads(int64), reads(uint16), _Sums),
)
def _add(labels: Pixels, pixels: Pixels, sums: Pixels) -> None:
    for pixel in range(labels.size):
        sums[labels[pixel]] += pixels[pixel]


@kernel(void(reads(int32), reads(int64), int64, writes(int64)))
def _extents(labels: Pixels, shape: Pixels, count: int, extents: Pixels) -> None:
    axes = shape.size
    width = shape[axes - 1]
    position = np.zeros(axes, np.int64)
    for row in range(labels.size // width):
        base, column = row * width, 0
        while column < width:
            number, start = labels[base + column], column
            while column < width and labels[base + column] == number:
                column += 1
            if number == 0:
                continue
            for axis in range(axes):
                first, last = (start, column) if axis == axes - 1 else (position[axis], position[axis] + 1)
                low, high, total = (
                    axis * count + number - 1,
                    (axes + axis) * count + number - 1,
                    (2 * axes + axis) * count + number - 1,
                )
                if extents[high] == 0 or first < extents[low]:
                    extents[low] = first
                extents[high] = max(extents[high], last)
                extents[total] += (
                    (first + last - 1) * (column - start) // 2 if axis == axes - 1 else first * (column - start)
                )
        axis = axes - 2
        while axis >= 0:
            position[axis] += 1
            if position[axis] < shape[axis]:
                break
            position[axis] = 0
            axis -= 1


def label(image: NDArray[Any], background: int | None, connectivity: Any) -> NDArray[Any]:
    """`skimage.measure.label` of a bool image of two axes, int32."""
    rows, width = image.shape
    pixels = image.view(np.uint8).reshape(-1)
    runs = _count_runs(pixels, width)
    starts, stops, parents = (np.empty(runs, np.int32) for _ in range(3))
    labels = np.zeros(image.size, np.int32)
    _label(pixels, width, int(connectivity != 1), starts, stops, parents, np.empty(rows + 1, np.int32), labels)
    return labels.reshape(image.shape)


def look_up(table: NDArray[Any], ids: NDArray[Any]) -> NDArray[Any]:
    """`table[ids]`, for an int32 or int64 table and int32 ids that are not negative."""
    result = np.empty(ids.size, table.dtype)
    _look_up(table, ids.reshape(-1), result)
    return result.reshape(ids.shape)


def count(labels: NDArray[Any], bins: int) -> NDArray[Any]:
    """`np.bincount(labels, minlength=bins)`, for int32 or int64 labels from 0 to `bins - 1`."""
    counts = np.zeros(bins, np.int64)
    _count(labels.reshape(-1), counts)
    return counts


def add(labels: NDArray[Any], pixels: NDArray[Any], bins: int) -> NDArray[Any]:
    """`np.bincount(labels, weights=pixels, minlength=bins)`, for the labels of `count` and pixels of uint8 or uint16."""
    sums = np.zeros(bins)
    _add(labels.reshape(-1), pixels.reshape(-1), sums)
    return sums


def extents(labels: NDArray[Any], count: int, boxes: bool, sums: bool) -> NDArray[Any]:
    """`catalogue.shared.label_kernels.extents` for int32 labels."""
    axes = labels.ndim
    rows = np.zeros((3 * axes, count), np.int64)
    _extents(labels.reshape(-1), np.array(labels.shape), count, rows.reshape(-1))
    return rows[0 if boxes else 2 * axes : None if sums else 2 * axes]
