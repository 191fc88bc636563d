"""scikit-image's names and signatures, which build a lazy graph.

`from lepton_celery.skimage import filters, measure` instead of `from skimage import …`. `lazy` makes a module of such
functions from the catalogue. May import: the graph and below. Users import this; within the package only `ndimage` does.
"""

from __future__ import annotations

from lepton_celery.skimage import (
    color,
    exposure,
    feature,
    filters,
    measure,
    metrics,
    morphology,
    restoration,
    segmentation,
    transform,
    util,
)

__all__ = [
    "color",
    "exposure",
    "feature",
    "filters",
    "measure",
    "metrics",
    "morphology",
    "restoration",
    "segmentation",
    "transform",
    "util",
]
