"""The recipes that Dask can do, as its users write them: dask.array and dask-image on the threads of one process.

The others need what neither has: watersheds, peaks, percentiles that equal NumPy's, labels of objects that blocks cut.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def _open(path: Path) -> Any:
    from dask import array

    image = np.load(path, mmap_mode="r")
    return array.from_array(image, chunks=tuple(min(n, 1024 if image.ndim == 2 else 128) for n in image.shape))


def _compute(**arrays: Any) -> dict[str, Any]:
    import dask

    results = dask.compute(*arrays.values(), scheduler="threads", num_workers=2)
    return dict(zip(arrays, results, strict=True))


def background(path: Path) -> dict[str, Any]:
    """As `examples/recipes/background.py`; the halos are those that the functions need."""
    from dask import array
    from skimage import filters, morphology, restoration, util

    image = _open(path)

    def smooth(block: Any) -> Any:
        return filters.gaussian(block, sigma=40)

    pixels = image.map_blocks(util.img_as_float32, dtype=np.float32)
    around: dict[str, Any] = {"boundary": "nearest", "dtype": np.float32}
    return _compute(
        gaussian=pixels - array.map_overlap(smooth, pixels, depth=160, **around),
        rolling_ball=image - array.map_overlap(restoration.rolling_ball, image, depth=25, boundary="none", radius=25),
        tophat=array.map_overlap(
            morphology.white_tophat, image, depth=24, boundary="none", footprint=morphology.disk(12)
        ),
    )


def projection(path: Path) -> dict[str, Any]:
    """As `examples/recipes/projection.py`."""
    volume = _open(path)
    return _compute(projection=volume.max(axis=0), depth=volume.argmax(axis=0), profile=volume.mean(axis=(1, 2)))


def texture(path: Path) -> dict[str, Any]:
    """As `examples/recipes/texture.py`."""
    from dask import array
    from dask_image.ndfilters import uniform_filter
    from skimage import feature, filters, morphology

    image = _open(path)
    pixels = image.astype(np.float32)
    mean = uniform_filter(pixels, 15)
    return _compute(
        entropy=array.map_overlap(filters.rank.entropy, image, depth=5, boundary="none", footprint=morphology.disk(5)),
        patterns=array.map_overlap(
            feature.local_binary_pattern, image, P=8, R=1.0, method="uniform", depth=2, boundary="none"
        ),
        deviation=np.sqrt(array.maximum(uniform_filter(pixels * pixels, 15) - mean * mean, 0)),
    )


RECIPES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "background": background,
    "projection": projection,
    "texture": texture,
}
