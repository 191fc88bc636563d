"""scikit-image's names and signatures, lazily: a call makes a node of the graph instead of pixels.

from lepton_celery.skimage import filters, measure
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
