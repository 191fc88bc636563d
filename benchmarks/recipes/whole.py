"""What the recipes use of `lepton_celery`, written by hand for the whole image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def points_to_mask(points: Any, shape: tuple[int, ...]) -> Any:
    """An image that is True at the points, as scikit-image's gallery makes it."""
    mask = np.zeros(shape, bool)
    mask[tuple(points.T)] = True
    return mask


def map_overlap(function: Callable[[Any], Any], image: Any, **options: Any) -> Any:
    """The function's result for the whole image, which needs no tiles."""
    return function(image)
