"""Warps by a matrix with interpolation of order 1 or 3, with the operations of scikit-image's Cython routine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Shape, Shapes, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Local
from lepton_celery.catalogue.results import dtype_of
from lepton_celery.catalogue.transform.interpolate import slabs
from lepton_celery.grid import Region
from lepton_celery.kernels import Kernel
from lepton_celery.kernels.border import is_plain
from lepton_celery.kernels.trials import floats


def _coordinates(matrix: Array, rows: Array, columns: Array) -> tuple[Array, Array]:
    """Rows and columns of the image from which pixels come, in the dtype of the matrix, which is that of the image.

    The operations are those of `skimage.transform._warps_cy`.
    """
    h, x, y = matrix.ravel(), columns.astype(matrix.dtype), rows.astype(matrix.dtype)
    column, row = h[0] * x + h[1] * y + h[2], h[3] * x + h[4] * y + h[5]
    if is_affine(matrix):
        return row, column
    depth = h[6] * x + h[7] * y + h[8]
    return row / depth, column / depth


def is_affine(matrix: Array) -> bool:
    """Whether a matrix keeps parallel lines parallel."""
    return bool((matrix[2] == [0, 0, 1]).all())


def has_one_sign(matrix: Array, lengths: Sequence[int]) -> bool:
    """Whether the denominator of a homography keeps its sign over a result of these lengths; its horizon is then outside."""
    rows, columns = _corners((0, 0), lengths)
    h = matrix.ravel()
    depth: Array = h[6] * columns.astype(matrix.dtype) + h[7] * rows.astype(matrix.dtype) + h[8]
    return bool((depth > 0).all() or (depth < 0).all())


def _corners(start: Sequence[int], stop: Sequence[int]) -> tuple[Array, Array]:
    rows, columns = (np.array([a, z - 1]) for a, z in zip(start[:2], stop[:2], strict=True))
    return rows[:, np.newaxis], columns[np.newaxis]


def _covers(arguments: Arguments) -> bool:
    return is_plain(arguments["image"]) and arguments["image"].dtype == arguments["matrix"].dtype


def _trials() -> Iterator[dict[str, Any]]:
    """Shears, turns and a homography of a block within an image, so that the result reaches beyond its edges."""
    turned = [[0.8, -0.6, 9.3], [0.6, 0.8, -7.1], [0, 0, 1]]
    for image in floats():
        block = image[:5, :40] if image.ndim == 2 else image[:5, :9, :4]
        region = Region((3, 2, 0)[: block.ndim], tuple(a + n for a, n in zip((3, 2, 0), block.shape, strict=False)))
        result = Region((0, 1, 0)[: block.ndim], (12, 50, *block.shape[2:]))
        where = Where(region, (9, 60, *block.shape[2:]), result=result)
        for matrix in (
            turned,
            [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            [[0.9, 0.2, 1.5], [-0.1, 1.1, 2.25], [1e-3, 2e-3, 1]],
        ):
            for order in (1, 3):
                for mode in ("constant", "edge", "symmetric", "reflect", "wrap"):
                    given = {"order": order, "mode": mode, "cval": 0.3, "where": where}
                    pixels = np.ascontiguousarray(block)
                    yield {"image": pixels, "matrix": np.array(matrix, image.dtype), "shape": (20, 70), **given}


_REACH = {1: (0, 1), 3: (1, 2)}
"""Pixels before and after a coordinate's own pixel that each order of interpolation needs."""


class Warped:
    """A block of the result comes from a quadrilateral of the image, according to `arguments["matrix"]`."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return (*arguments["shape"], *images[0][2:])

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        matrix = arguments["matrix"]
        coordinates = _coordinates(matrix, *_corners(region.start, region.stop))
        before, after = _REACH[arguments["order"]]
        ends = []
        for along, n in zip(coordinates, images[0][:2], strict=True):
            low, high = float(along.min()), float(along.max())
            # the corners of an affine map are the extremes to the last bit; rounding may push a quotient farther
            slack = 0 if is_affine(matrix) else 1 + 16 * np.finfo(matrix.dtype).eps * max(abs(low), abs(high))
            inside = math.isfinite(low) and math.isfinite(high) and high - low < 2 * n
            first, last = (math.floor(low - slack) - before, math.floor(high + slack) + after) if inside else (0, n - 1)
            used = _folded(np.arange(first, last + 1), n, arguments["mode"])
            used = np.clip(used, 0, n - 1)
            ends.append((int(used.min()), int(used.max()) + 1))
        ends += list(zip(region.start[2:], region.stop[2:], strict=True))
        return [Region(*zip(*ends, strict=True))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def _folded(pixels: Array, n: int, mode: str) -> Array:
    """The pixels that replace those outside an axis of `n`, as in `coord_map` of `skimage/_shared/interpolation.pxd`."""
    folded = pixels
    if mode == "edge":
        folded = np.clip(pixels, 0, n - 1)
    elif mode == "wrap":
        folded = pixels % n
    elif mode == "symmetric":
        pixels = np.where(pixels < 0, -pixels - 1, pixels)
        folded = np.where(pixels // n % 2, n - 1 - pixels % n, pixels % n)
    elif mode == "reflect":
        pixels, last = np.abs(pixels), max(n - 1, 1)
        folded = np.where(pixels // last % 2, last - pixels % last, pixels % last) if n > 1 else np.zeros_like(pixels)
    return folded


@declare(
    Local(
        "lepton.warp_by_matrix",
        dtype_kinds="f",
        geometry=Warped(),
        wants_where=True,
        dtype=dtype_of("image"),
        kernel=Kernel("lepton_celery.kernels.warp.warp_by_matrix", _covers, _trials),
        cost_ns=110.0,
    )
)
def warp_by_matrix(
    image: Array, matrix: Array, shape: Sequence[int], order: int, mode: str, cval: float, where: Where
) -> Array:
    """`where.result` of the warped image, as in `skimage.transform._warps_cy._warp_fast`."""
    assert where.result is not None
    (top, left), (bottom, right) = where.result.start[:2], where.result.stop[:2]
    result = np.empty((bottom - top, right - left, *image.shape[2:]), image.dtype)
    columns = np.arange(left, right)[np.newaxis]
    origin, size = where.region.start[:2], where.shape[:2]
    outside = image.dtype.type(cval)

    def pixels(row: Array, column: Array) -> Array:
        folded = [_folded(along, n, mode) for along, n in zip((row, column), size, strict=True)]
        local = [np.clip(along - o, 0, n - 1) for along, o, n in zip(folded, origin, image.shape[:2], strict=True)]
        values: Array = image[local[0], local[1]]
        if mode == "constant":
            values[(row < 0) | (row >= size[0]) | (column < 0) | (column >= size[1])] = outside
        return values

    for rows in slabs(result.shape):
        of_slab = np.arange(top + rows.start, top + rows.stop)[:, np.newaxis]
        row, column = np.broadcast_arrays(*_coordinates(matrix, of_slab, columns))
        result[rows] = (_bilinear if order == 1 else _bicubic)(pixels, row, column, image.ndim - 2)
    return result


Pixels = Callable[[Array, Array], Array]
"""(rows, columns) -> the pixels there."""


def _bilinear(pixels: Pixels, row: Array, column: Array, channels: int) -> Array:
    """`bilinear_interpolation` of `skimage/_shared/interpolation.pxd`, with the dtypes that its compiled code uses.

    Those are the image's for products with the distance from the first pixel, and float64 for everything else.
    """
    (above, left), (below, right) = (np.floor(row), np.floor(column)), (np.ceil(row), np.ceil(column))
    dr, dc = (_with_channels(along - first, channels) for along, first in ((row, above), (column, left)))
    top, bottom = (
        (1 - dc.astype(np.float64)) * pixels(_whole(line), _whole(left)) + dc * pixels(_whole(line), _whole(right))
        for line in (above, below)
    )
    result: Array = (1 - dr.astype(np.float64)) * top + dr * bottom
    return result


def _bicubic(pixels: Pixels, row: Array, column: Array, channels: int) -> Array:
    """`bicubic_interpolation` of `skimage/_shared/interpolation.pxd`."""
    above, left = np.floor(row), np.floor(column)
    dr, dc = (_with_channels(along - first, channels) for along, first in ((row, above), (column, left)))
    rows, columns = ([_whole(first) + step for step in (-1, 0, 1, 2)] for first in (above, left))
    return _cubic(dr, [_cubic(dc, [pixels(r, c) for c in columns]) for r in rows])


def _cubic(x: Array, f: Sequence[Array]) -> Array:
    half, two, three, four, five = (x.dtype.type(n) for n in (0.5, 2, 3, 4, 5))
    result: Array = f[1] + half * x * (
        f[2] - f[0] + x * (two * f[0] - five * f[1] + four * f[2] - f[3] + x * (three * (f[1] - f[2]) + f[3] - f[0]))
    )
    return result


def _whole(coordinates: Array) -> Array:
    return coordinates.astype(np.int64)


def _with_channels(weights: Array, channels: int) -> Array:
    return weights.reshape(*weights.shape, *(1,) * channels)
