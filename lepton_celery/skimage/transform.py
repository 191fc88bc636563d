"""Lazy `skimage.transform`."""

from __future__ import annotations

from typing import Any

from lepton_celery.graph.nodes import apply
from lepton_celery.skimage.lazy import lazy_module

__getattr__, __dir__ = lazy_module("transform")


def warp(image: Any, inverse_map: Any, *args: Any, **kwargs: Any) -> Any:
    """Lazy `skimage.transform.warp` by a matrix of shape (3, 3) or a homography, such as an `AffineTransform`."""
    # the matrix alone defines a homography, and it has a JSON form
    return apply("transform.warp", image, getattr(inverse_map, "params", inverse_map), *args, **kwargs)
