"""`skimage.feature.graycomatrix` and `graycoprops`: how often two grey levels occur at a distance from each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials, Shape, Shapes, View, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local, Reduction
from lepton_celery.catalogue.results import ValueType, always
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region

_MAX_TABLE_LEVELS = 1 << 11
"""Levels up to which a table of all pairs is faster than sorting a block's pairs."""


def offset(angle: float, distance: float) -> tuple[int, int]:
    """How many pixels down and to the right the second pixel of a pair is; halves are rounded away from zero, as in C."""
    return _rounded(math.sin(angle) * distance), _rounded(math.cos(angle) * distance)


def _rounded(value: float) -> int:
    whole = math.trunc(value)
    return whole + (int(math.copysign(1, value)) if abs(value - whole) >= 0.5 else 0)


def merge_pairs(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The matrix of `skimage.feature.graycomatrix`, from the counts of all blocks."""
    levels = arguments["levels"]
    shape = (len(arguments["distances"]), len(arguments["angles"]))
    counts = np.zeros((levels * levels, *shape), dtype=np.uint32)
    for _, partial in partials:
        for number, (distance, angle) in enumerate(np.ndindex(shape)):
            if f"pair{number}" in partial:
                counts[partial[f"pair{number}"], distance, angle] += partial[f"count{number}"].astype(np.uint32)
    matrix = counts.reshape(levels, levels, *shape)
    if arguments["symmetric"]:
        matrix = matrix + np.transpose(matrix, (1, 0, 2, 3))
    if arguments["normed"]:
        matrix = matrix.astype(np.float64)
        sums = np.sum(matrix, axis=(0, 1), keepdims=True)
        sums[sums == 0] = 1
        matrix /= sums
    return matrix


def _matrix(arguments: Arguments) -> ValueType:
    levels = 256 if arguments["levels"] is None else int(arguments["levels"])
    shape = (levels, levels, len(arguments["distances"]), len(arguments["angles"]))
    return shape, np.dtype(np.float64 if arguments["normed"] else np.uint32)


@declare(
    Reduction("lepton.pairs", dtype_kinds="iu", merge=merge_pairs, result=_matrix, reads_itself=True, cost_ns=10.0)
)
def pairs_partial(
    image: View,
    distances: Sequence[float],
    angles: Sequence[float],
    levels: int,
    where: Where,
    symmetric: bool = False,
    normed: bool = False,
) -> Partial:
    """The pairs of levels that occur, and how often, among pairs whose first pixel is in this block."""
    pairs: Partial = {}
    for number, (distance, angle) in enumerate(product(distances, angles)):
        step = offset(angle, distance)
        first = Region(
            tuple(max(a, -d) for a, d in zip(where.region.start, step, strict=True)),
            tuple(
                max(a, -d, min(z, n - d))
                for a, z, d, n in zip(where.region.start, where.region.stop, step, where.shape, strict=True)
            ),
        )
        second = Region(
            tuple(a + d for a, d in zip(first.start, step, strict=True)),
            tuple(z + d for z, d in zip(first.stop, step, strict=True)),
        )
        if first.size:
            pair = _levels(image.read(first), levels) * levels + _levels(image.read(second), levels)
            pairs[f"pair{number}"], pairs[f"count{number}"] = _count(pair.ravel(), levels)
    _levels(image.read(where.region), levels)
    return pairs


def _levels(pixels: Array, levels: int) -> Array:
    """The pixels in a dtype that holds pairs of them, after a check that each is a level."""
    if pixels.min() < 0 or pixels.max() >= levels:
        raise InputError(
            f"the image has pixels from {pixels.min()} to {pixels.max()}, but levels={levels} allows 0 to {levels - 1}; "
            "rescale the image or give more levels"
        )
    return pixels.astype(np.int64)


def _count(values: Array, levels: int) -> tuple[Array, Array]:
    if levels > _MAX_TABLE_LEVELS:
        return np.unique(values, return_counts=True)
    counts = np.bincount(values)
    present = np.flatnonzero(counts)
    return present, counts[present]


def _check_pairs(arguments: Arguments) -> None:
    image = arguments["image"]
    if arguments["levels"] is None and image.dtype.itemsize > 1:
        raise InputError(f"an image of {image.dtype} needs levels, one more than its greatest pixel; give levels")
    for name in ("distances", "angles"):
        if np.ndim(arguments[name]) != 1 or len(arguments[name]) == 0:
            raise InputError(f"{name}={arguments[name]!r}; give a sequence of numbers")


@declare(
    Composite(
        "feature.graycomatrix",
        dtype_kinds="iu",
        check=_check_pairs,
        ndims=(2,),
        samples={"image": "labels"},
        example={"distances": (1,), "angles": (0.0,), "levels": 16},
        least={"levels": 1},
        result=_matrix,
    )
)
def _expand_pairs(arguments: Arguments, build: Build) -> Lazy:
    image, levels = arguments["image"], arguments["levels"]
    return build(
        "lepton.pairs",
        image=image,
        distances=[float(distance) for distance in arguments["distances"]],
        angles=[float(angle) for angle in arguments["angles"]],
        levels=256 if levels is None else int(levels),
        symmetric=bool(arguments["symmetric"]),
        normed=bool(arguments["normed"]),
    )


class Properties:
    """A number for each distance and angle of a co-occurrence matrix."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return images[0][2:]

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        return [Region.whole(images[0])]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.slices]


_PROPERTIES = (
    *("contrast", "dissimilarity", "homogeneity", "ASM", "energy"),
    *("correlation", "mean", "variance", "std", "entropy"),
)


def _check_matrix(arguments: Arguments) -> None:
    levels = arguments["P"].shape[:2]
    if levels[0] != levels[1]:
        raise InputError(f"P counts pairs of {levels[0]} and {levels[1]} levels; give a matrix of graycomatrix")


ENTRIES = (
    Local(
        "feature.graycoprops",
        check=_check_matrix,
        images=("P",),
        values=("P",),
        choices={"prop": _PROPERTIES},
        geometry=Properties(),
        ndims=(4,),
        dtype=always(np.float64),
        cost_ns=20.0,
    ),
)
