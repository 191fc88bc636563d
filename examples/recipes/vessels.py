"""Blood vessels of the retina: enhanced by ridge filters, cut by hysteresis, thinned to their centre lines and measured.

python examples/recipes/vessels.py    # writes vessels.tif, skeleton.tif and length.json
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage import data

import lepton_celery as lepton
from lepton_celery.skimage import filters, morphology, util


def sample(side: int = 512) -> Any:
    """The middle of a photograph of the retina; above 1000 pixels it is repeated like a mirror."""
    retina = data.retina()[206:1206, 206:1206]
    retina = retina[:side, :side]
    return np.pad(retina, [(0, side - n) for n in retina.shape[:2]] + [(0, 0)], mode="symmetric")


def recipe(retina: Any) -> dict[str, Any]:
    """A mask of the vessels, their centre lines and the length of these in pixels, by the names of their files."""
    green = util.img_as_float(retina[..., 1])
    ridges = filters.sato(green, sigmas=range(2, 6, 2), black_ridges=True)
    vessels = filters.apply_hysteresis_threshold(ridges, 0.01, 0.02)
    vessels = morphology.remove_small_objects(vessels, max_size=150)
    skeleton = morphology.skeletonize(vessels)
    return {"vessels.tif": vessels, "skeleton.tif": skeleton, "length.json": np.sum(skeleton)}


if __name__ == "__main__":
    lepton.run(recipe(lepton.open(sample())))
