"""scikit-image's names and signatures, which build a lazy graph.

Users write `from lepton_celery.skimage import filters` instead of `from skimage import filters`. `lazy` makes the functions
of each module from the catalogue, and passes through what takes no pixels. Within the package only `ndimage` imports this
folder; it imports the graph and below.
"""

from __future__ import annotations

from lepton_celery.skimage import (
    color,
    data,
    draw,
    exposure,
    feature,
    filters,
    future,
    graph,
    io,
    measure,
    metrics,
    morphology,
    registration,
    restoration,
    segmentation,
    transform,
    util,
)

__all__ = [
    "color",
    "data",
    "draw",
    "exposure",
    "feature",
    "filters",
    "future",
    "graph",
    "io",
    "measure",
    "metrics",
    "morphology",
    "registration",
    "restoration",
    "segmentation",
    "transform",
    "util",
]
