"""`skimage.exposure`: brightness and contrast, pixel by pixel or from the extent of the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local, ValueFunction
from lepton_celery.catalogue.results import value_of
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import InputError


@declare(Local("lepton.rescale", values=("extent", "in_range", "out_range"), cost_ns=6.0))
def rescale(image: Array, extent: Extent, in_range: Any, out_range: Any) -> Array:
    """`skimage.exposure.rescale_intensity` of a block, with the whole image's extent in place of the block's."""
    from skimage.exposure import rescale_intensity

    whole = (extent[0], extent[1])
    limits = [tuple(value) if isinstance(value, np.ndarray) else value for value in (in_range, out_range)]
    from_image = limits[1] == "image"
    result: Array = rescale_intensity(image, *(whole if value == "image" else value for value in limits))
    # a pair as out_range makes scikit-image return floats; 'image' keeps the image's dtype
    return result.astype(image.dtype, copy=False) if from_image else result


@declare(Composite("exposure.rescale_intensity", values=("in_range", "out_range"), gives="image"))
def _expand_rescale(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["image"]
    # nodes hold dtypes by their names
    limits = {
        name: np.dtype(arguments[name]).name if isinstance(arguments[name], type) else arguments[name]
        for name in ("in_range", "out_range")
    }
    needed = any(isinstance(value, str) and value == "image" for value in limits.values())
    extent = build("lepton.extent", image=image) if needed else [0, 0]
    return build("lepton.rescale", image=image, extent=extent, **limits)


@declare(ValueFunction("lepton.low_contrast", values=("limits",), result=value_of(bool)))
def low_contrast(limits: Array, fraction_threshold: float, dtype: str) -> Any:
    """`skimage.exposure.is_low_contrast`, from two percentiles of the image."""
    from skimage.util.dtype import dtype_limits

    if dtype == "bool":
        return not (limits[1] == 1 and limits[0] == 0)
    possible = dtype_limits(np.zeros(1, dtype), clip_negative=False)
    return (limits[1] - limits[0]) / (possible[1] - possible[0]) < fraction_threshold


def _check_low_contrast(arguments: Arguments) -> None:
    if arguments["method"] != "linear":
        raise InputError(f"method={arguments['method']!r} is not supported here; use method='linear'")
    percents = arguments["lower_percentile"], arguments["upper_percentile"]
    if not all(0 <= percent <= 100 for percent in percents):
        raise InputError(f"percentiles {percents} are not within 0 and 100; give percents")


@declare(Composite("exposure.is_low_contrast", check=_check_low_contrast, result=value_of(bool)))
def _expand_low_contrast(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["image"]
    if image.dtype == bool:
        limits = build("lepton.extent", image=image)
    else:
        if len(image.shape) == 3 and image.shape[2] == 4:
            image = build("color.rgba2rgb", rgba=image)
        if len(image.shape) == 3 and image.shape[2] == 3:
            image = build("color.rgb2gray", rgb=image)
        percents = (arguments["lower_percentile"], arguments["upper_percentile"])
        limits = build("numpy.percentile", a=image, q=percents)
    threshold = arguments["fraction_threshold"]
    return build("lepton.low_contrast", limits=limits, fraction_threshold=threshold, dtype=str(image.dtype))


ENTRIES = (
    Local("exposure.adjust_gamma", cost_ns=15.0),
    Local("exposure.adjust_log", cost_ns=12.0),
    Local("exposure.adjust_sigmoid", cost_ns=12.0),
)
