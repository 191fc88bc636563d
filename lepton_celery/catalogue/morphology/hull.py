"""`skimage.morphology.convex_hull_image`: one hull around all pixels of an image, then the pixels inside of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Reduction
from lepton_celery.catalogue.shared.halos import whole
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region


def outermost(image: Array, offset_coordinates: bool, where: Where) -> Partial:
    """The first and the last pixel of each row and each column of a block, in coordinates of the whole image.

    Source: `skimage.morphology.convex_hull_image`, which takes no others into account either.
    """
    from skimage.morphology._convex_hull import possible_hull

    # scikit-image counts pixels first, and then takes those that are not 0 as uint8
    any_pixel = np.array([bool(image.any())])
    points = np.asarray(possible_hull(np.ascontiguousarray(image, dtype=np.uint8)), np.int64).reshape(-1, 2)
    return {"points": points + np.array(where.region.start), "any": any_pixel}


def merge_outermost(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The vertices of the hull; none where no pixel is set."""
    from scipy.spatial import ConvexHull, QhullError
    from skimage.morphology.convex_hull import _offsets_diamond
    from skimage.util import unique_rows

    together = _together(partials)
    found = together["points"]
    if not len(found):
        if together["any"][0]:
            raise InputError(
                "all pixels of the image are multiples of 256, of which scikit-image finds no hull; give image != 0"
            )
        return np.zeros((0, 2))
    points: Array = found
    if arguments["offset_coordinates"]:
        points = (found[:, np.newaxis, :] + _offsets_diamond(2)).reshape(-1, 2)
    try:
        hull = ConvexHull(unique_rows(points))
    except QhullError:  # all on one line
        return np.zeros((0, 2))
    vertices: Array = hull.points[hull.vertices]
    return vertices


def combine_outermost(partials: Partials, arguments: Arguments, grid: BlockGrid, region: Region) -> Partial:
    return _together(partials)


def _together(partials: Partials) -> Partial:
    several = [partial for _, partial in partials]
    return {
        "points": _ends(np.concatenate([partial["points"] for partial in several])),
        "any": np.logical_or.reduce([partial["any"] for partial in several]),
    }


def _ends(points: Array) -> Array:
    """Of points, the first and the last of each row and each column."""
    kept = np.zeros(len(points), bool)
    for along, across in ((0, 1), (1, 0)):
        order = np.lexsort((points[:, along], points[:, across]))
        line = points[order, across]
        changes = line[1:] != line[:-1]
        kept[order] |= np.r_[True, changes] | np.r_[changes, True] if len(order) else False
    ends: Array = np.unique(points[kept], axis=0)
    return ends


def inside_hull(image: Array, vertices: Array, include_borders: bool, where: Where) -> Array:
    """Which pixels of a block are in the hull.

    Source: `skimage.morphology.convex_hull_image`. It goes by differences of coordinates, which are halves, so that they
    are the same for coordinates that begin with the block.
    """
    from skimage.measure import grid_points_in_poly

    if not len(vertices):
        return np.zeros(image.shape, bool)
    labels = grid_points_in_poly(image.shape, vertices - np.array(where.region.start), binarize=False)
    inside: Array = labels >= 1 if include_borders else labels == 1
    return inside


def _expand(arguments: Arguments, build: Build) -> Any:
    image = arguments["image"]
    if len(image.shape) != 2:
        return build("lepton.hull_of_solid", **arguments)
    vertices = build("lepton.hull", image=image, offset_coordinates=bool(arguments["offset_coordinates"]))
    return build(
        "lepton.inside_hull", image=image, vertices=vertices, include_borders=bool(arguments["include_borders"])
    )


def _check(arguments: Arguments) -> None:
    if not isinstance(arguments["tolerance"], int | float | np.number):
        raise InputError(f"tolerance={arguments['tolerance']!r}; give a number")


def entries() -> list[Entry]:
    """The hull of an image."""
    here, source = "lepton_celery.catalogue.morphology.hull", "skimage.morphology.convex_hull_image"
    return [
        Reduction(
            name="lepton.hull",
            source=f"{here}.outermost",
            partial=outermost,
            merge=merge_outermost,
            combine=combine_outermost,
            result=lambda arguments: ((-1, 2), np.dtype(np.float64)),
            wants_where=True,
            cost_ns=5.0,
        ),
        Local(
            name="lepton.inside_hull",
            source=f"{here}.inside_hull",
            values=("vertices",),
            function=inside_hull,
            wants_where=True,
            dtype=lambda arguments: np.dtype(bool),
            cost_ns=30.0,
        ),
        whole("lepton.hull_of_solid", source=source, cost_ns=500.0),
        Composite(
            name="morphology.convex_hull_image",
            source=source,
            # floats are cast to uint8, which is not defined for all of them
            dtype_kinds="biu",
            ndims=(2, 3),
            check=_check,
            expand=_expand,
            gives="image",
        ),
    ]
