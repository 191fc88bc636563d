"""The nearest pixel of background, along one axis after the other.

The arithmetic is that of `NI_EuclideanFeatureTransform` of `scipy.ndimage`, which finds the lower envelope of the parabolas
of a line's pixels. Terms of later axes are zeros and are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float64, int32, int64, uint8, void
from numpy.typing import NDArray

from lepton_celery.kernels.compiled import Pixels, inlined, kernel, reads, writes


@inlined
def _advance(position: Pixels, axes: int, start: Pixels, shape: Pixels) -> None:
    """Moves on to the next position in raster order along the first `axes` axes of a region."""
    axis = axes - 1
    while axis >= 0:
        position[axis] += 1
        if position[axis] < start[axis] + shape[axis]:
            break
        position[axis] = start[axis]
        axis -= 1


@kernel(*[void(reads(uint8), int64, int64, float64, writes(dtype)) for dtype in (int32, int64)])
def _along_columns(image: Pixels, length: int, columns: int, scale: float, nearest: Pixels) -> None:
    """The nearest row with background, of two equally near ones the first; -1 if there is none."""
    following = np.full(columns, -1, np.int64)
    before = np.full(columns, -1, nearest.dtype)
    for row in range(length):
        line, here = image[row * columns : (row + 1) * columns], nearest[row * columns : (row + 1) * columns]
        for column in range(columns):
            if line[column] == 0:
                before[column] = row
            here[column] = before[column]
    for row in range(length - 1, -1, -1):
        here = nearest[row * columns : (row + 1) * columns]
        for column in range(columns):
            if here[column] == row:
                following[column] = row
            elif following[column] >= 0:
                above, below = (row - here[column]) * scale, (following[column] - row) * scale
                if here[column] < 0 or below * below < above * above:
                    here[column] = following[column]


@inlined
def _envelope(squares: Pixels, has_nearest: Pixels, scale: float, stack: Pixels) -> int:
    """Puts the pixels of a line whose parabolas form the lower envelope on the stack, and returns their number."""
    top = -1
    for pixel in range(squares.size):
        if has_nearest[pixel] < 0:
            continue
        while top >= 1:
            last, other = stack[top], stack[top - 1]
            a, b = (last - other) * scale, (pixel - last) * scale
            c = a + b
            if c * squares[last] - b * squares[other] - a * squares[pixel] - a * b * c <= 0.0:
                break
            top -= 1
        top += 1
        stack[top] = pixel
    return top + 1


@inlined
def _walk(squares: Pixels, lines: Pixels, scale: float, stack: Pixels, count: int, nearest: Pixels) -> None:
    """Writes the raster index of the nearest pixel for each pixel of a line."""
    length = squares.size
    at = 0
    for pixel in range(length):
        along = (stack[at] - pixel) * scale
        least = squares[stack[at]] + along * along
        while at < count - 1:
            along = (stack[at + 1] - pixel) * scale
            other = squares[stack[at + 1]] + along * along
            if least <= other:
                break
            least = other
            at += 1
        nearest[pixel] = lines[stack[at]] * length + stack[at]


@kernel(
    *[
        void(reads(dtype), reads(int64), reads(int64), reads(int64), reads(float64), int64, int64, writes(dtype))
        for dtype in (int32, int64)
    ]
)
def _along_lines(
    earlier: Pixels,
    shape: Pixels,
    start: Pixels,
    whole: Pixels,
    scales: Pixels,
    length: int,
    stride: int,
    nearest: Pixels,
) -> None:
    axes = shape.size
    squares, offsets = np.empty(length), np.empty(axes)
    line, found, stack = np.empty(length, np.int64), np.empty(length, np.int64), np.empty(length, np.int64)
    position = start.copy()
    for leading in range(earlier.size // (length * stride)):
        for trailing in range(stride):
            first = leading * length * stride + trailing
            for pixel in range(length):
                line[pixel] = rest = earlier[first + pixel * stride]
                for axis in range(axes - 1, 0, -1):
                    offsets[axis] = (rest % whole[axis] - position[axis]) * scales[axis]
                    rest //= whole[axis]
                offsets[0] = (rest - position[0]) * scales[0]
                total = 0.0
                for axis in range(axes):
                    total += offsets[axis] * offsets[axis]
                squares[pixel] = total
            count = _envelope(squares, line, scales[axes], stack)
            if count:
                _walk(squares, line, scales[axes], stack, count, found)
            else:
                found[:] = -1
            for pixel in range(length):
                nearest[first + pixel * stride] = found[pixel]
        _advance(position, axes, start, shape)


@kernel(
    *[
        void(reads(dtype), reads(int64), reads(int64), reads(int64), reads(float64), writes(float64))
        for dtype in (int32, int64)
    ]
)
def _distances(nearest: Pixels, shape: Pixels, start: Pixels, whole: Pixels, scales: Pixels, distances: Pixels) -> None:
    axes = shape.size
    width = shape[axes - 1]
    position, offsets = start.copy(), np.empty(axes)
    for row in range(nearest.size // width):
        for pixel in range(row * width, (row + 1) * width):
            rest = nearest[pixel]
            if rest < 0:  # SciPy's result in an image without background: index (-1, 0, 0, …)
                for axis in range(axes):
                    offsets[axis] = (-(axis == 0) - position[axis]) * scales[axis]
            else:
                for axis in range(axes - 1, 0, -1):
                    quotient = rest // whole[axis]
                    offsets[axis] = (rest - quotient * whole[axis] - position[axis]) * scales[axis]
                    rest = quotient
                offsets[0] = (rest - position[0]) * scales[0]
            total = 0.0
            for axis in range(axes):
                total += offsets[axis] * offsets[axis]
            distances[pixel] = np.sqrt(total)
            position[axes - 1] += 1
        position[axes - 1] = start[axes - 1]
        _advance(position, axes - 1, start, shape)


def nearest_along(image: NDArray[Any], axis: int, sampling: Any, where: Any) -> NDArray[Any]:
    """`catalogue.ndimage.distance.nearest_along`."""
    length, scales = image.shape[axis], np.array(sampling, np.float64)
    if axis == 0:
        nearest = np.empty(image.size, np.int32 if np.prod(where.shape, dtype=np.float64) < 1 << 31 else np.int64)
        _along_columns(image.view(np.uint8).reshape(-1), length, image.size // length, scales[0], nearest)
        return nearest.reshape(image.shape)
    nearest = np.empty(image.size, image.dtype)
    shape, start, whole = _lengths(image.shape, where, axis)
    stride = int(np.prod(image.shape[axis + 1 :], dtype=np.int64))
    _along_lines(image.reshape(-1), shape, start, whole, scales[: axis + 1], length, stride, nearest)
    return nearest.reshape(image.shape)


def distance_to(nearest: NDArray[Any], sampling: Any, where: Any) -> NDArray[Any]:
    """`catalogue.ndimage.distance.distance_to`."""
    distances = np.empty(nearest.size)
    shape, start, whole = _lengths(nearest.shape, where, nearest.ndim)
    _distances(nearest.reshape(-1), shape, start, whole, np.array(sampling, np.float64), distances)
    return distances.reshape(nearest.shape)


def _lengths(shape: tuple[int, ...], where: Any, axes: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The shape and the start of a block, and the shape of the whole image, along the first `axes` axes."""
    lengths = np.array([shape[:axes], where.region.start[:axes], where.shape[:axes]], np.int64)
    return lengths[0], lengths[1], lengths[2]
