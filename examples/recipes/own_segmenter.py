"""A segmenter of your own, run on overlapping tiles; objects that tiles cut are joined.

    python examples/recipes/own_segmenter.py    # writes cells.tif (labels) and cells.csv (a row for each cell)

`segment` stands for any function that gives labels, such as Cellpose or StarDist. Workers import it by name, and only if
their setting `allowed_functions` names it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage
from skimage import data, filters

import lepton_celery as lepton
from lepton_celery.skimage import measure


def sample(side: int = 768) -> Any:
    """Coins, which stand for cells, repeated like a mirror to `side` × `side` pixels."""
    coins = data.coins()[:side, :side]
    return np.pad(coins, [(0, side - n) for n in coins.shape], mode="symmetric")


def segment(tile: Any) -> Any:
    """Labels of the objects of one tile."""
    mask = ndimage.binary_opening(filters.gaussian(tile, sigma=2) > 0.45, iterations=2)
    return ndimage.label(mask)[0]


def recipe(image: Any) -> dict[str, Any]:
    """The labels of the whole image and a table of the cells, by the names of their files."""
    cells = lepton.map_overlap(segment, image, window=(512, 512), overlap=(80, 80), merge="labels")
    return {"cells.tif": cells, "cells.csv": measure.regionprops_table(cells, properties=("label", "area", "centroid"))}


if __name__ == "__main__":
    from own_segmenter import recipe  # whose `segment` other processes can import too

    lepton.run(recipe(lepton.open(sample())))
