"""More contrast: a stretch between two percentiles, the equalized histogram, and CLAHE.

python examples/recipes/contrast.py    # writes stretched.png, equalized.tif and clahe.tif
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage import data

import lepton_celery as lepton
from lepton_celery.skimage import exposure


def sample(side: int = 512) -> Any:
    """A pale photograph of the moon, repeated like a mirror to `side` × `side` pixels."""
    moon = data.moon()[:side, :side]
    return np.pad(moon, [(0, side - n) for n in moon.shape], mode="symmetric")


def recipe(image: Any) -> dict[str, Any]:
    """The images with more contrast, by the names of their files."""
    p2, p98 = np.percentile(image, (2, 98))
    return {
        "stretched.png": exposure.rescale_intensity(image, in_range=(p2, p98)),
        "equalized.tif": exposure.equalize_hist(image),
        "clahe.tif": exposure.equalize_adapthist(image, clip_limit=0.03),
    }


if __name__ == "__main__":
    lepton.run(recipe(lepton.open(sample())))
