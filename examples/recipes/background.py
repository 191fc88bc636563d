"""An uneven background, subtracted in three ways: a wide gaussian, a rolling ball and a white top-hat.

python examples/recipes/background.py    # writes gaussian.tif, rolling_ball.tif and tophat.tif
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage import data

import lepton_celery as lepton
from lepton_celery.skimage import filters, morphology, restoration, util


def sample(side: int = 384) -> Any:
    """Coins under a lamp, repeated like a mirror to `side` × `side` pixels."""
    coins = data.coins()[:side, :side]
    return np.pad(coins, [(0, side - n) for n in coins.shape], mode="symmetric")


def recipe(image: Any) -> dict[str, Any]:
    """The images without background, by the names of their files."""
    pixels = util.img_as_float32(image)
    return {
        "gaussian.tif": pixels - filters.gaussian(pixels, sigma=40),
        "rolling_ball.tif": image - restoration.rolling_ball(image, radius=25),
        "tophat.tif": morphology.white_tophat(image, morphology.disk(12)),
    }


if __name__ == "__main__":
    lepton.run(recipe(lepton.open(sample())))
