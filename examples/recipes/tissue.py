"""How much of a slide is tissue, and how strongly it is stained: a mask, three grades, and the area of each.

python examples/recipes/tissue.py    # writes grades.png and area.csv
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage import data

import lepton_celery as lepton
from lepton_celery.skimage import color, filters, measure, morphology


def sample(side: int = 512) -> Any:
    """A round piece of stained tissue on a white slide, of `side` × `side` pixels."""
    section = data.immunohistochemistry()[:side, :side]
    section = np.pad(section, [(0, side - n) for n in section.shape[:2]] + [(0, 0)], mode="symmetric")
    y, x = np.ogrid[:side, :side]
    outside = (y - side / 2) ** 2 + (x - side / 2) ** 2 > (0.45 * side) ** 2
    return np.where(outside[..., None], np.uint8(240), section)


def recipe(slide: Any) -> dict[str, Any]:
    """The grade of each pixel, 0 outside the tissue and then 1 to 3, and the area of each, by the names of their files."""
    gray = filters.gaussian(color.rgb2gray(slide), sigma=3)
    tissue = gray < filters.threshold_otsu(gray)
    tissue = morphology.remove_small_holes(tissue, max_size=2000)
    stain = filters.gaussian(color.rgb2hed(slide)[..., 2], sigma=2)
    low, high = filters.threshold_multiotsu(stain, classes=3)
    grades = np.where(tissue, 1 + (stain > low) + (stain > high), 0).astype(np.uint8)
    return {"grades.png": grades, "area.csv": measure.regionprops_table(grades, properties=("label", "area"))}


if __name__ == "__main__":
    lepton.run(recipe(lepton.open(sample())))
