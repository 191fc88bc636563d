"""Maps of texture: local entropy, local binary patterns, and the local standard deviation.

python examples/recipes/texture.py    # writes entropy.tif, patterns.tif and deviation.tif
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage import data

import lepton_celery as lepton
from lepton_celery import ndimage
from lepton_celery.skimage import feature, filters, morphology


def sample(side: int = 384) -> Any:
    """Grass beside bricks, repeated like a mirror to `side` × `side` pixels."""
    half = side // 2
    grass, brick = data.grass()[:side, :half], data.brick()[:side, : side - half]
    both = np.hstack([grass[: min(side, 512)], brick[: min(side, 512)]])
    return np.pad(both, [(0, side - n) for n in both.shape], mode="symmetric")


def recipe(image: Any) -> dict[str, Any]:
    """The maps by the names of their files."""
    pixels = image.astype(np.float32)
    mean = ndimage.uniform_filter(pixels, 15)
    deviation = np.sqrt(np.maximum(ndimage.uniform_filter(pixels * pixels, 15) - mean * mean, 0))
    return {
        "entropy.tif": filters.rank.entropy(image, morphology.disk(5)),
        "patterns.tif": feature.local_binary_pattern(image, P=8, R=1.0, method="uniform"),
        "deviation.tif": deviation,
    }


if __name__ == "__main__":
    lepton.run(recipe(lepton.open(sample())))
