"""`skimage.filters.apply_hysteresis_threshold`: the components above a low threshold that have a pixel above a high one."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.results import always
from lepton_celery.catalogue.shared.components import components_where
from lepton_celery.catalogue.shared.label_joining import neighbourhood

_LEVELS = ("low", "high")


@declare(
    Local("lepton.above_low", images=("image", *_LEVELS), values=_LEVELS, dtype=always(bool), cost_ns=2.0),
)
def above_low(image: Array, low: Any, high: Any) -> Array:
    """Whether each pixel is above the low threshold, or above the high one if that is lower."""
    return np.asarray(image > np.clip(low, a_min=None, a_max=high))


@declare(Local("lepton.above_high", images=("image", "high"), values=("high",), dtype=always(bool), cost_ns=1.0))
def above_high(image: Array, high: Any) -> Array:
    """Whether each pixel is above the high threshold."""
    return np.asarray(image > high)


@declare(
    Composite(
        "filters.apply_hysteresis_threshold",
        images=("image", *_LEVELS),
        values=_LEVELS,
        gives="image",
        example={"low": 0.3, "high": 0.6},
    )
)
def _expand(arguments: Arguments, build: Build) -> Lazy:
    image, low, high = (arguments[name] for name in ("image", "low", "high"))
    candidates = build("lepton.above_low", image=image, low=low, high=high)
    cross = neighbourhood(1, len(image.shape))
    marker = build("lepton.above_high", image=image, high=high)
    return components_where(build, candidates, connectivity=cross, marker=marker)
