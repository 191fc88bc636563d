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
    side, steps = 2 * long, (0, long // 2, long)
    ramp = np.minimum(np.arange(1, long + 1), np.arange(long, 0, -1)).astype(np.float32)
    mosaic: Any = 0
    for number, tile in enumerate(tiles):
        y, x = steps[number // 3], steps[number % 3]
        faded = tile * ramp[:, None] * ramp
        mosaic = mosaic + np.pad(faded, ((y, side - long - y), (x, side - long - x)))
    weight = sum(np.pad(ramp, (step, side - long - step)) for step in steps)
    return {"mosaic.tif": mosaic / weight[:, None] / weight}


if __name__ == "__main__":
    lepton.run(recipe(*(lepton.open(tile) for tile in sample())))
