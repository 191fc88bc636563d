"""Nuclei in a volume: the recipe of a flat picture, with one axis more and the spacing of the slices.

python examples/recipes/nuclei_3d.py    # writes nuclei.tif (labels) and nuclei.csv (a row for each nucleus)
"""

from __future__ import annotations

from typing import Any

import numpy as np

import lepton_celery as lepton
from lepton_celery import ndimage
from lepton_celery.skimage import feature, filters, measure, segmentation

SPACING = (2.0, 1.0, 1.0)
"""Distance of neighbouring pixels along each axis, in micrometres."""


def sample(side: int = 96) -> Any:
    """A stack of `side / 2` slices of `side` × `side` pixels with round nuclei, some of which touch."""
    dealer = np.random.default_rng(11)
    shape = (side // 2, side, side)
    volume = np.zeros(shape, np.float32)
    grid = np.ogrid[tuple(slice(0, 13) for _ in shape)]
    ball = sum((s * (g - 6)) ** 2 for s, g in zip(SPACING, grid, strict=True)) < 36
    for corner in dealer.integers(0, np.subtract(shape, 13), (side**3 // 8000, 3)):
        volume[tuple(slice(c, c + 13) for c in corner)][ball] = dealer.uniform(0.6, 1)
    return volume + dealer.normal(0, 0.1, shape).astype(np.float32)


def recipe(volume: Any) -> dict[str, Any]:
    """The labels of the nuclei and a table of them, by the names of their files."""
    smooth = filters.gaussian(volume, sigma=1)
    mask = smooth > filters.threshold_otsu(smooth)
    distance = ndimage.distance_transform_edt(mask, sampling=SPACING)
    peaks = feature.peak_local_max(distance, min_distance=3, labels=measure.label(mask))
    markers = measure.label(lepton.points_to_mask(peaks, mask.shape))
    nuclei = segmentation.watershed(-distance, markers, mask=mask)
    table = measure.regionprops_table(nuclei, volume, properties=("label", "area", "centroid", "intensity_mean"))
    return {"nuclei.tif": nuclei, "nuclei.csv": table}


if __name__ == "__main__":
    lepton.run(recipe(lepton.open(sample())))
