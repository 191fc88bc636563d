"""`skimage.feature.local_binary_pattern`: each pixel compared with the points of a circle around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.results import always
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

MAX_POINTS = 31
"""The most points of a pattern; scikit-image stores its code in 32 bits."""
_METHODS = ("default", "ror", "uniform", "nri_uniform", "var")


def _check(arguments: Arguments) -> None:
    count, method = arguments["P"], str(arguments["method"]).lower()
    if method not in _METHODS:
        raise InputError(f"method={arguments['method']!r} is not known; use one of {', '.join(_METHODS)}")
    if not isinstance(count, int) or not 1 <= count <= MAX_POINTS or not arguments["R"] >= 0:
        raise InputError(f"P={count} points at R={arguments['R']}; give 1 to {MAX_POINTS} points and a radius from 0")


@declare(
    Local(
        "feature.local_binary_pattern",
        geometry=Stencil(lambda arguments: math.ceil(arguments["R"]), "ceil(R)"),
        wants_where=True,
        check=_check,
        ndims=(2,),
        example={"P": 8, "R": 1},
        dtype=always(np.float64),
        cost_ns=350.0,
    )
)
def local_pattern(image: Array, P: int, R: float, where: Where, method: str = "default") -> Array:  # noqa: N803
    """`skimage.feature.local_binary_pattern`, reimplemented with coordinates of the whole image.

    The points of a pattern lie at the pixel's coordinates plus an offset. The rounding of these sums depends on the pixel's
    position in the image, and in flat regions it decides the comparison with the central pixel.
    """
    pixels, method = image.astype(np.float64, copy=False), method.lower()
    points = _points(pixels, P, R, where.region)
    if method == "var":
        return _variance(points)
    signs = [point - pixels >= 0 for point in points]
    if method == "default":
        return _code(signs).astype(np.float64)
    if method == "ror":
        return _least_rotation(_code(signs), P).astype(np.float64)
    return _uniform(signs, method == "nri_uniform")


def _points(pixels: Array, count: int, radius: float, region: Region) -> list[Array]:
    """The image at each point of the circle around each pixel, interpolated; 0 beyond the image's edge."""
    angles = 2 * np.pi * np.arange(count, dtype=np.float64) / count
    down, right = np.round(-radius * np.sin(angles), 5), np.round(radius * np.cos(angles), 5)
    reach = math.ceil(radius) + 1
    padded = np.pad(pixels, reach)
    rows, columns = (np.arange(a, z, dtype=np.float64) for a, z in zip(region.start, region.stop, strict=True))

    def around(y: int, x: int) -> Array:
        return padded[reach + y : reach + y + rows.size, reach + x : reach + x + columns.size]

    points = []
    for dy, dx in zip(down, right, strict=True):
        y, x = math.floor(dy), math.floor(dx)
        y_next, x_next = math.ceil(dy), math.ceil(dx)
        fy = ((rows + dy) - (rows + y))[:, np.newaxis]
        fx = (columns + dx) - (columns + x)
        top = (1 - fx) * around(y, x) + fx * around(y, x_next)
        bottom = (1 - fx) * around(y_next, x) + fx * around(y_next, x_next)
        points.append((1 - fy) * top + fy * bottom)
    return points


def _variance(points: Sequence[Array]) -> Array:
    """Variance over the points of each pattern, NaN if it is 0."""
    total, squares = np.zeros_like(points[0]), np.zeros_like(points[0])
    for point in points:
        total += point
        squares += point * point
    variance = (squares - (total * total) / len(points)) / len(points)
    return np.where(variance != 0, variance, np.nan)


def _code(signs: Sequence[Array]) -> Array:
    code = np.zeros(signs[0].shape, np.int64)
    for bit, sign in enumerate(signs):
        code |= sign.astype(np.int64) << bit
    return code


def _least_rotation(code: Array, count: int) -> Array:
    """The least code among all rotations of each pattern."""
    least = code
    for _ in range(count - 1):
        code = (code >> 1) | ((code & 1) << (count - 1))
        least = np.minimum(least, code)
    return least


def _uniform(signs: Sequence[Array], rotated: bool) -> Array:
    """Codes by the number of points set and, if `rotated`, their rotation; one code for patterns with over two changes."""
    count = len(signs)
    changes = sum((a != b).astype(np.int64) for a, b in pairwise(signs))
    ones = sum(sign.astype(np.int64) for sign in signs)
    if not rotated:
        return np.where(changes <= 2, ones, count + 1).astype(np.float64)
    stacked = np.stack(signs)
    first_one, first_zero = stacked.argmax(axis=0), (~stacked).argmax(axis=0)
    rotation = np.where(first_one == 0, ones - first_zero, count - first_one)
    code = 1 + (ones - 1) * count + rotation
    code = np.where(ones == 0, 0, np.where(ones == count, count * (count - 1) + 1, code))
    return np.where(changes <= 2, code, count * (count - 1) + 2).astype(np.float64)
