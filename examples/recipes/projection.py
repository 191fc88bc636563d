"""A volume seen from above: its brightest pixels, the depth at which they lie, and the mean of each slice.

python examples/recipes/projection.py    # writes projection.tif, depth.tif and profile.csv
"""

from __future__ import annotations

from typing import Any

import numpy as np

import lepton_celery as lepton


def sample(side: int = 256) -> Any:
    """`side / 4` slices of `side` × `side` pixels, in which threads run through the depth."""
    dealer = np.random.default_rng(5)
    depth = side // 4
    z, y, x = np.ogrid[:depth, :side, :side]
    volume = dealer.poisson(20, (depth, side, side)).astype(np.uint16)
    for phase in (0.0, 1.3, 2.1):
        row = side * (0.5 + 0.35 * np.sin(phase + x * 9 / side))
        middle = depth * (0.5 + 0.4 * np.cos(2 * phase + x * 7 / side))
        volume += (900 * np.exp(-((y - row) ** 2 + 4 * (z - middle) ** 2) / 18)).astype(np.uint16)
    return volume


def recipe(volume: Any) -> dict[str, Any]:
    """The projection, the depth of its pixels and the mean of each slice, by the names of their files."""
    return {
        "projection.tif": volume.max(axis=0),
        "depth.tif": volume.argmax(axis=0),
        "profile.csv": volume.mean(axis=(1, 2)),
    }


if __name__ == "__main__":
    lepton.run(recipe(lepton.open(sample())))
