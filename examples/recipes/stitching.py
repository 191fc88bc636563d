"""Tiles of a microscope stage, stitched at their known positions; where they overlap, they fade into each other.

python examples/recipes/stitching.py    # writes mosaic.tif
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage import data

import lepton_celery as lepton


def sample(side: int = 512) -> tuple[Any, ...]:
    """Nine overlapping tiles of one picture of `side` × `side` pixels; each has another brightness."""
    scene = data.camera()[:side, :side].astype(np.float32) / 255
    scene = np.pad(scene, [(0, side - n) for n in scene.shape], mode="symmetric")
    long, step = side // 2, side // 4
    corners = [(y, x) for y in (0, step, 2 * step) for x in (0, step, 2 * step)]
    return tuple(scene[y : y + long, x : x + long] * (1 + 0.02 * n) for n, (y, x) in enumerate(corners))


def recipe(*tiles: Any) -> dict[str, Any]:
    """The mosaic, by the name of its file. The tiles lie in three rows, and each overlaps half of the next."""
    long = tiles[0].shape[0]
    side, step = 2 * long, long // 2
    ramp = np.minimum(np.arange(1, long + 1), np.arange(long, 0, -1)).astype(np.float32)
    weight = np.outer(ramp, ramp)
    total: Any = 0
    weights = np.zeros((side, side), np.float32)
    for number, tile in enumerate(tiles):
        y, x = number // 3 * step, number % 3 * step
        around = ((y, side - long - y), (x, side - long - x))
        total = total + np.pad(tile * weight, around)
        weights += np.pad(weight, around)
    return {"mosaic.tif": total / weights}


if __name__ == "__main__":
    lepton.run(recipe(*(lepton.open(tile) for tile in sample())))
