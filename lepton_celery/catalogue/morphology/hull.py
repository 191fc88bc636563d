"""`skimage.morphology.convex_hull_image`: first the hull of all pixels of the image, then the pixels inside it."""

from __future__ import annotations

import warnings

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials, Where
from lepton_celery.catalogue.declare import declare, whole
from lepton_celery.catalogue.entries import Build, Composite, Local, Reduction
from lepton_celery.catalogue.results import always, value_of
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region


def combine_outermost(partials: Partials, arguments: Arguments, grid: BlockGrid, region: Region) -> Partial:
    """The outermost pixels of several blocks."""
    of_blocks = [partial for _, partial in partials]
    return {
        "points": _ends(np.concatenate([partial["points"] for partial in of_blocks])),
        "any": np.logical_or.reduce([partial["any"] for partial in of_blocks]),
    }


def _ends(points: Array) -> Array:
    """The first and the last point of each row and each column."""
    is_end = np.zeros(len(points), bool)
    for along, across in ((0, 1), (1, 0)):
        order = np.lexsort((points[:, along], points[:, across]))
        line = points[order, across]
        changes = line[1:] != line[:-1]
        is_end[order] |= np.r_[True, changes] | np.r_[changes, True] if len(order) else False
    ends: Array = np.unique(points[is_end], axis=0)
    return ends


def merge_outermost(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The vertices of the hull; none if no pixel is set."""
    from scipy.spatial import ConvexHull, QhullError
    from skimage.morphology.convex_hull import _offsets_diamond
    from skimage.util import unique_rows

    outermost = combine_outermost(partials, arguments, grid, Region.whole(grid.shape))
    pixels = outermost["points"]
    if not len(pixels):
        if outermost["any"][0]:
            raise InputError(
                "all pixels of the image are multiples of 256, for which scikit-image finds no hull; give image != 0"
            )
        warnings.warn(
            "Input image is entirely zero, no valid convex hull. Returning empty image", UserWarning, stacklevel=1
        )
        return np.zeros((0, 2))
    points: Array = pixels
    if arguments["offset_coordinates"]:
        points = (pixels[:, np.newaxis, :] + _offsets_diamond(2)).reshape(-1, 2)
    try:
        hull = ConvexHull(unique_rows(points))
    except QhullError as error:  # all points lie on one line
        warnings.warn(
            f"Failed to get convex hull image. Returning empty image, see error message below:\n{error}", stacklevel=1
        )
        return np.zeros((0, 2))
    vertices: Array = hull.points[hull.vertices]
    return vertices


@declare(
    Reduction(
        "lepton.hull",
        merge=merge_outermost,
        combine=combine_outermost,
        result=value_of(np.float64, -1, 2),
        wants_where=True,
        cost_ns=5.0,
    )
)
def outermost(image: Array, offset_coordinates: bool, where: Where) -> Partial:
    """The first and the last pixel of each row and each column of a block, in coordinates of the whole image.

    `skimage.morphology.convex_hull_image` uses no other pixels either.
    """
    from skimage.morphology._convex_hull import possible_hull

    # scikit-image tests for an empty image before it converts the pixels to uint8
    any_pixel = np.array([bool(image.any())])
    points = np.asarray(possible_hull(np.ascontiguousarray(image, dtype=np.uint8)), np.int64).reshape(-1, 2)
    return {"points": points + np.array(where.region.start), "any": any_pixel}


@declare(Local("lepton.inside_hull", values=("vertices",), wants_where=True, dtype=always(bool), cost_ns=30.0))
def inside_hull(image: Array, vertices: Array, include_borders: bool, where: Where) -> Array:
    """Which pixels of a block are in the hull.

    scikit-image uses only differences of coordinates, which are multiples of 0.5, so coordinates that are counted from the
    block's first pixel give the same result.
    """
    from skimage.measure import grid_points_in_poly

    if not len(vertices):
        return np.zeros(image.shape, bool)
    labels = grid_points_in_poly(image.shape, vertices - np.array(where.region.start), binarize=False)
    inside: Array = labels >= 1 if include_borders else labels == 1
    return inside


def _check(arguments: Arguments) -> None:
    if not isinstance(arguments["tolerance"], int | float | np.number):
        raise InputError(f"tolerance={arguments['tolerance']!r}; give a number")


@declare(
    Composite(
        "morphology.convex_hull_image",
        dtype_kinds="biu",  # scikit-image casts floats to uint8, which is undefined for some of them
        ndims=(2, 3),
        check=_check,
        gives="image",
    )
)
def _expand(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["image"]
    if len(image.shape) != 2:
        return build("lepton.hull_of_solid", **arguments)
    vertices = build("lepton.hull", image=image, offset_coordinates=bool(arguments["offset_coordinates"]))
    return build(
        "lepton.inside_hull", image=image, vertices=vertices, include_borders=bool(arguments["include_borders"])
    )


ENTRIES = (whole("lepton.hull_of_solid", source="skimage.morphology.convex_hull_image", cost_ns=500.0),)
