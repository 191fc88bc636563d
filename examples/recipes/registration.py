"""Two rounds of one scene: the second is moved onto the first by the shift that phase correlation finds.

python examples/recipes/registration.py    # writes aligned.tif, difference.tif and shift.json
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage as scipy_ndimage
from skimage import data

import lepton_celery as lepton
from lepton_celery import ndimage
from lepton_celery.skimage import registration


def sample(side: int = 512) -> tuple[Any, Any]:
    """Two pictures of `side` × `side` pixels; the second is shifted by 5.25 rows and -7.75 columns."""
    scene = data.camera()[:side, :side].astype(np.float32) / 255
    scene = np.pad(scene, [(0, side - n) for n in scene.shape], mode="symmetric")
    return scene, scipy_ndimage.shift(scene, (5.25, -7.75), mode="nearest")


def recipe(first: Any, second: Any) -> dict[str, Any]:
    """The second picture on the grid of the first, their difference and the shift, by the names of their files."""
    shift, _, _ = registration.phase_cross_correlation(first, second, upsample_factor=20)
    aligned = ndimage.shift(second, shift, order=1, mode="nearest")
    return {"aligned.tif": aligned, "difference.tif": abs(aligned - first), "shift.json": shift}


if __name__ == "__main__":
    lepton.run(recipe(*(lepton.open(picture) for picture in sample())))
