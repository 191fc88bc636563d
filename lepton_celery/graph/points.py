"""`points_to_mask`: a list of points as a lazy image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from lepton_celery.graph.nodes import Image, Node, apply


def points_to_mask(points: Any, shape: Sequence[int]) -> Image:
    """A bool image of `shape` that is True at the points, such as the markers of a watershed.

    It is what `mask = numpy.zeros(shape, bool); mask[tuple(points.T)] = True` makes of an array of points.

    Args:
        points: lazy points, as from `feature.peak_local_max`, or an array or a list: a row for each point, with the whole
            number of its pixel along each axis.
        shape: the shape of the image, such as `image.shape`.

    Raises:
        InputError: the points do not fit the shape.
    """
    given = points if isinstance(points, Node) else np.asarray(points)
    return cast("Image", apply("lepton.points_to_mask", given, tuple(int(n) for n in shape)))
