"""Bright spots, found at several scales by the Laplacian and by differences of gaussians.

python examples/recipes/spots.py    # writes log.csv and dog.csv: row, column and sigma of each spot
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage import data

import lepton_celery as lepton
from lepton_celery.skimage import color, feature


def sample(side: int = 512) -> Any:
    """A photograph of galaxies, repeated like a mirror to `side` × `side` pixels."""
    field = data.hubble_deep_field()[:side, :side]
    return np.pad(field, [(0, side - n) for n in field.shape[:2]] + [(0, 0)], mode="symmetric")


def recipe(field: Any) -> dict[str, Any]:
    """The tables of spots by the names of their files."""
    gray = color.rgb2gray(field)
    return {
        "log.csv": feature.blob_log(gray, min_sigma=2, max_sigma=8, num_sigma=4, threshold=0.1),
        "dog.csv": feature.blob_dog(gray, min_sigma=2, max_sigma=8, threshold=0.05),
    }


if __name__ == "__main__":
    lepton.run(recipe(lepton.open(sample())))
