"""Nuclei in a stained section: unmix the stains, threshold, and separate touching nuclei by a watershed.

python examples/recipes/nuclei.py    # writes nuclei.tif (labels) and nuclei.csv (a row for each nucleus)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage import data

import lepton_celery as lepton
from lepton_celery import ndimage
from lepton_celery.skimage import color, feature, filters, measure, morphology, segmentation


def sample(side: int = 512) -> Any:
    """A stained section of `side` × `side` pixels: scikit-image's picture, repeated like a mirror."""
    section = data.immunohistochemistry()[:side, :side]
    return np.pad(section, [(0, side - n) for n in section.shape[:2]] + [(0, 0)], mode="symmetric")


def recipe(section: Any) -> dict[str, Any]:
    """The labels of the nuclei and a table of them, by the names of their files."""
    hematoxylin = filters.gaussian(color.rgb2hed(section)[..., 0], sigma=1.5)
    mask = hematoxylin > filters.threshold_otsu(hematoxylin)
    mask = morphology.remove_small_objects(mask, max_size=40)
    distance = ndimage.distance_transform_edt(mask)
    peaks = feature.peak_local_max(distance, min_distance=5, labels=measure.label(mask))
    markers = measure.label(lepton.points_to_mask(peaks, mask.shape))
    nuclei = segmentation.watershed(-distance, markers, mask=mask)
    table = measure.regionprops_table(nuclei, hematoxylin, properties=("label", "area", "centroid", "intensity_mean"))
    return {"nuclei.tif": nuclei, "nuclei.csv": table}


if __name__ == "__main__":
    lepton.run(recipe(lepton.open(sample())))
