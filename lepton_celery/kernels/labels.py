"""Connected components of a block, and going over its labels.

Labels are whole numbers, so there is no arithmetic whose order could matter. Components are found run by run: a row's runs
of pixels are joined with those of the row before that they touch, always under the first of them, so that numbers rise in
the order of first pixels, as scikit-image's do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float64, int32, int64, uint8, uint16, void
from numpy.typing import NDArray

from lepton_celery.kernels.compiled import Pixels, inlined, kernel, reads, writes


@inlined
def _first(parents: Pixels, run: int) -> int:
    """The first run that a run is joined with."""
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


@kernel(int64(reads(uint8), int64))
def _count_runs(image: Pixels, width: int) -> int:
    runs = 0
    for row in range(image.size // width):
        before = 0
        for at in range(row * width, row * width + width):
            here = image[at]
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
        at, base = 0, row * width
        while at < width:
            if image[base + at] == 0:
                at += 1
                continue
            start = at
            while at < width and image[base + at] != 0:
                at += 1
            starts[run], stops[run], parents[run] = start, at, run
            # runs of the row before that end before this one begins touch none of the later ones either
            while above < first and stops[above] + reach <= start:
                above += 1
            touching = above
            while touching < first and starts[touching] < at + reach:
                one, other = _first(parents, run), _first(parents, touching)
                parents[max(one, other)] = min(one, other)
                touching += 1
            run += 1
        above = first
    rows[image.size // width] = run
    names = 0
    for at in range(run):
        if parents[at] == at:
            names += 1
            parents[at] = -names
        else:  # its parent comes before it, and has its name already
            parents[at] = parents[parents[at]]
    for row in range(image.size // width):
        for at in range(rows[row], rows[row + 1]):
            for pixel in range(row * width + starts[at], row * width + stops[at]):
                labels[pixel] = -parents[at]


@kernel(void(reads(int32), reads(int32), writes(int32)), void(reads(int64), reads(int32), writes(int64)))
def _look_up(table: Pixels, ids: Pixels, result: Pixels) -> None:
    for at in range(ids.size):
        result[at] = table[ids[at]]


@kernel(void(reads(int32), writes(int64)), void(reads(int64), writes(int64)))
def _count(labels: Pixels, counts: Pixels) -> None:
    for at in range(labels.size):
        counts[labels[at]] += 1


_Sums = writes(float64)


@kernel(
    void(reads(int32), reads(uint8), _Sums),
    void(reads(int32), reads(uint16), _Sums),
    void(reads(int64), reads(uint8), _Sums),
    void(reads(int64), reads(uint16), _Sums),
)
def _add(labels: Pixels, pixels: Pixels, sums: Pixels) -> None:
    for at in range(labels.size):
        sums[labels[at]] += pixels[at]


@kernel(void(reads(int32), reads(int64), int64, writes(int64)))
def _extents(labels: Pixels, shape: Pixels, count: int, found: Pixels) -> None:
    axes = shape.size
    width = shape[axes - 1]
    position = np.zeros(axes, np.int64)
    for row in range(labels.size // width):
        base, at = row * width, 0
        while at < width:
            name, start = labels[base + at], at
            while at < width and labels[base + at] == name:
                at += 1
            if name == 0:
                continue
            for axis in range(axes):
                first, last = (start, at) if axis == axes - 1 else (position[axis], position[axis] + 1)
                low, high, total = (
                    axis * count + name - 1,
                    (axes + axis) * count + name - 1,
                    (2 * axes + axis) * count + name - 1,
                )
                if found[high] == 0 or first < found[low]:
                    found[low] = first
                found[high] = max(found[high], last)
                found[total] += (first + last - 1) * (at - start) // 2 if axis == axes - 1 else first * (at - start)
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
    """`table[ids]`, for a table of int32 or int64 and int32 from 0 to its end."""
    result = np.empty(ids.size, table.dtype)
    _look_up(table, ids.reshape(-1), result)
    return result.reshape(ids.shape)


def count(labels: NDArray[Any], bins: int) -> NDArray[Any]:
    """`np.bincount(labels, minlength=bins)`, for int32 or int64 from 0 to less than `bins`."""
    counts = np.zeros(bins, np.int64)
    _count(labels.reshape(-1), counts)
    return counts


def add(labels: NDArray[Any], pixels: NDArray[Any], bins: int) -> NDArray[Any]:
    """`np.bincount(labels, weights=pixels, minlength=bins)`, for labels as of `count` and pixels of uint8 or uint16."""
    sums = np.zeros(bins)
    _add(labels.reshape(-1), pixels.reshape(-1), sums)
    return sums


def extents(labels: NDArray[Any], count: int, boxes: bool, sums: bool) -> NDArray[Any]:
    """First and last positions of labels, and sums of positions, as `operations.labelparts.extents` gives them."""
    axes = labels.ndim
    found = np.zeros((3 * axes, count), np.int64)
    _extents(labels.reshape(-1), np.array(labels.shape), count, found.reshape(-1))
    return found[0 if boxes else 2 * axes : None if sums else 2 * axes]
