"""`skimage.measure.find_contours`: each block finds the segments in its squares of four pixels, the merge joins them.

scikit-image passes over all squares in raster order, and joins each segment to the contours so far. Here the segments of
all blocks are brought into that order, and scikit-image joins them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials, View, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Reduction, ValueFunction
from lepton_celery.catalogue.results import ValueType
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import ArgumentTypeError, DtypeNotSupported, InputError
from lepton_celery.grid import BlockGrid, Region

_TOP, _BOTTOM, _LEFT, _RIGHT = range(4)
_CROSSED = {
    1: (_TOP, _LEFT),
    2: (_RIGHT, _TOP),
    3: (_RIGHT, _LEFT),
    4: (_LEFT, _BOTTOM),
    5: (_TOP, _BOTTOM),
    7: (_RIGHT, _BOTTOM),
    8: (_BOTTOM, _RIGHT),
    10: (_BOTTOM, _TOP),
    11: (_BOTTOM, _LEFT),
    12: (_LEFT, _RIGHT),
    13: (_TOP, _RIGHT),
    14: (_LEFT, _TOP),
}
"""The sides from which and to which a segment crosses a square, by the pixels above the level: 1 for the upper left one, 2
for the upper right, 4 for the lower left, 8 for the lower right."""
_SADDLES = {
    False: {6: ((_RIGHT, _TOP), (_LEFT, _BOTTOM)), 9: ((_TOP, _LEFT), (_BOTTOM, _RIGHT))},
    True: {6: ((_LEFT, _TOP), (_RIGHT, _BOTTOM)), 9: ((_TOP, _RIGHT), (_BOTTOM, _LEFT))},
}
"""The two segments of a square whose opposite corners are above the level, by whether high pixels are connected."""


def _crossings(pixels: Array, level: float, row: Array, column: Array, start: tuple[int, ...]) -> Array:
    """The points where the level crosses the four sides of squares, `(squares, sides, 2)`, in the image's coordinates."""

    def share(low: Array, high: Array) -> Array:
        return np.where(low == high, 0.0, (level - low) / (high - low))

    upper_left, upper_right = pixels[row, column], pixels[row, column + 1]
    lower_left, lower_right = pixels[row + 1, column], pixels[row + 1, column + 1]
    y, x = row + start[0], column + start[1]
    sides = (
        (y, x + share(upper_left, upper_right)),
        (y + 1, x + share(lower_left, lower_right)),
        (y + share(upper_left, lower_left), x),
        (y + share(upper_right, lower_right), x + 1),
    )
    return np.stack([np.stack(side, axis=-1).astype(np.float64) for side in sides], axis=1)


def _segments(pixels: Array, usable: Array, level: float, connect_high: bool, region: Region) -> tuple[Array, Array]:
    """The squares (row and column of the upper left pixel) and the segments in them, `(n, 2, 2)`, in raster order."""
    above = (pixels > level).astype(np.uint8)
    case = above[:-1, :-1] + 2 * above[:-1, 1:] + 4 * above[1:, :-1] + 8 * above[1:, 1:]
    inside = usable[:-1, :-1] & usable[:-1, 1:] & usable[1:, :-1] & usable[1:, 1:]
    row, column = np.nonzero((case != 0) & (case != 15) & inside)
    case = case[row, column]
    points = _crossings(pixels, level, row, column, region.start)
    squares, segments = [], []
    for turn in range(2):
        sides = {number: pair for number, pair in _CROSSED.items() if turn == 0}
        sides |= {number: pairs[turn] for number, pairs in _SADDLES[connect_high].items()}
        for number, (first, last) in sides.items():
            at = np.flatnonzero(case == number)
            squares.append(np.stack([row[at], column[at], np.full(at.size, turn)], axis=1))
            segments.append(np.stack([points[at, first], points[at, last]], axis=1))
    every, found = np.concatenate(squares), np.concatenate(segments)
    order = np.lexsort(every.T[::-1])
    return every[order, :2] + np.array(region.start), found[order]


def merge_contours(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The contours of scikit-image's list, in its order."""
    from skimage.measure._find_contours import _assemble_contours

    of_blocks = [partial for _, partial in partials]
    squares = np.concatenate([partial["squares"] for partial in of_blocks])
    segments = np.concatenate([partial["segments"] for partial in of_blocks])
    order = np.lexsort((squares[:, 1], squares[:, 0]))  # stable, so that two segments of a square keep their order
    pairs = [(tuple(first), tuple(last)) for first, last in segments[order].tolist()]
    contours = _assemble_contours(pairs)
    found = np.empty(len(contours), object)
    for number, contour in enumerate(contours):
        found[number] = contour[::-1] if arguments["reverse"] else contour
    return found


@declare(
    Reduction(
        "lepton.contours",
        images=("image", "mask"),
        values=("level",),
        merge=merge_contours,
        result=lambda arguments: ((-1,), np.dtype(object)),
        reads_itself=True,
        cost_ns=20.0,
    )
)
def contours_partial(
    image: View, mask: View | None, level: Any, connect_high: bool, where: Where, reverse: bool
) -> Partial:
    """The segments in the squares whose upper left pixel is in this block; `reverse` is for the merge."""
    stop = tuple(min(n, b + 1) for n, b in zip(image.shape, where.region.stop, strict=True))
    region = Region(where.region.start, stop)
    pixels = image.read(region).astype(np.float64)
    usable = ~np.isnan(pixels)
    if mask is not None:
        usable &= mask.read(region)
    squares, segments = _segments(pixels, usable, float(level), connect_high, region)
    return {"squares": squares, "segments": segments}


@declare(ValueFunction("lepton.middle_level", values=("extent",)))
def middle_level(extent: Extent) -> float:
    """The level that scikit-image takes by default."""
    if np.isnan(extent[0]):
        raise InputError("the image has NaN, so the level is not known without the whole image; give a level")
    level: float = (extent[0] + extent[1]) / 2.0
    return level


def _check(arguments: Arguments) -> None:
    image, mask = arguments["image"], arguments["mask"]
    for name in ("fully_connected", "positive_orientation"):
        if arguments[name] not in ("low", "high"):
            raise InputError(f"{name}={arguments[name]!r}; give 'low' or 'high'")
    if isinstance(arguments["level"], str):
        raise ArgumentTypeError(f"level={arguments['level']!r} is text; give a number")
    if min(image.shape) < 2:
        raise InputError(f"image of shape {image.shape}; give one of at least 2 × 2 pixels")
    if arguments["level"] is None and image.dtype.kind == "b":
        raise InputError("level=None takes the middle of a bool image, which NumPy cannot compute; give level=0.5")
    if mask is not None and mask.shape != image.shape:
        raise InputError(f"mask of shape {mask.shape} for an image of shape {image.shape}; give the same shape")
    if mask is not None and mask.dtype != bool:
        raise DtypeNotSupported(f"mask has dtype {mask.dtype}, and must be a binary image; give bool, such as mask > 0")


def _contours_type(arguments: Arguments) -> ValueType:
    """An array of arrays of points, which no file format can store."""
    return (-1,), np.dtype(object)


@declare(
    Composite(
        "measure.find_contours",
        images=("image", "mask"),
        values=("level",),
        ndims=(2,),
        check=_check,
        result=_contours_type,
        example={"level": 0.4},
        needs_finite=True,
    )
)
def _expand(arguments: Arguments, build: Build) -> Lazy:
    image, level = arguments["image"], arguments["level"]
    if level is None:
        level = build("lepton.middle_level", extent=build("lepton.extent", image=image))
    return build(
        "lepton.contours",
        image=image,
        mask=arguments["mask"],
        level=level,
        connect_high=arguments["fully_connected"] == "high",
        reverse=arguments["positive_orientation"] == "high",
    )
