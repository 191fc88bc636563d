"""`skimage.metrics`: mean squared errors, signal to noise ratios and Hausdorff distances of two images.

Means of floats are added up in NumPy's own order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, ValueFunction
from lepton_celery.catalogue.metrics.pairs import check_pair, dtype_range
from lepton_celery.catalogue.shared.buffers import total_of
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import InputError

_PAIR = ("image_true", "image_test")
_NORMALIZATIONS = ("euclidean", "min-max", "mean")


def _mean(image: Lazy, build: Build) -> Lazy:
    """`np.mean` with `dtype=np.float64`."""
    return build("lepton.mean_of", total=total_of(image, "float64", build), count=math.prod(image.shape))


def _floats(arguments: Arguments, names: tuple[str, str], build: Build) -> tuple[Lazy, Lazy]:
    """Both images in the float dtype that holds both."""
    images = [arguments[name] for name in names]
    dtype = "float32" if all(image.dtype == np.float32 for image in images) else "float64"
    left, right = (image if image.dtype == dtype else build("numpy.astype", x=image, dtype=dtype) for image in images)
    return left, right


def _squared_error(left: Lazy, right: Lazy, build: Build) -> Lazy:
    return _mean(build("numpy.square", x=build("numpy.subtract", x1=left, x2=right)), build)


@declare(Composite("metrics.mean_squared_error", images=("image0", "image1"), check=check_pair, gives=""))
def _expand_error(arguments: Arguments, build: Build) -> Lazy:
    return _squared_error(*_floats(arguments, ("image0", "image1"), build), build)


@declare(ValueFunction("lepton.root", values=("mean",)))
def root(mean: Any) -> Any:
    """The square root of a mean."""
    return np.sqrt(mean)


@declare(ValueFunction("lepton.normalized_error", values=("error", "scale")))
def normalized_error(error: Any, scale: Any) -> Any:
    """Source: `skimage.metrics.normalized_root_mse`, from the mean squared error."""
    return np.sqrt(error) / scale


def _check_root_error(arguments: Arguments) -> None:
    check_pair(arguments)
    if str(arguments["normalization"]).lower() not in _NORMALIZATIONS:
        raise InputError(f"normalization={arguments['normalization']!r}; use one of {', '.join(_NORMALIZATIONS)}")


@declare(Composite("metrics.normalized_root_mse", images=_PAIR, check=_check_root_error, gives=""))
def _expand_root_error(arguments: Arguments, build: Build) -> Lazy:
    true, test = _floats(arguments, _PAIR, build)
    form = arguments["normalization"].lower()
    if form == "min-max":
        scale = build("numpy.ptp", a=true)
    elif form == "mean":
        scale = build("numpy.mean", a=true)
    else:
        scale = build("lepton.root", mean=_mean(build("numpy.multiply", x1=true, x2=true), build))
    return build("lepton.normalized_error", error=_squared_error(true, test, build), scale=scale)


@declare(ValueFunction("lepton.signal_ratio", values=("error", "extent")))
def signal_ratio(error: Any, extent: Extent, data_range: float | None, dtype: str) -> Any:
    """Source: `skimage.metrics.peak_signal_noise_ratio`, from the mean squared error."""
    if data_range is None:
        low, high = dtype_range(dtype)
        if extent[1] > high or extent[0] < low:
            raise InputError(
                f"image_true has values from {extent[0]} to {extent[1]}, more than the {low} to {high} expected of {dtype}; "
                "give data_range"
            )
        data_range = high if extent[0] >= 0 else high - low
    return 10 * np.log10(float(data_range) ** 2 / error)


@declare(Composite("metrics.peak_signal_noise_ratio", images=_PAIR, check=check_pair, gives=""))
def _expand_signal_ratio(arguments: Arguments, build: Build) -> Lazy:
    true = arguments["image_true"]
    extent = build("lepton.extent", image=true) if arguments["data_range"] is None else None
    error = _squared_error(*_floats(arguments, _PAIR, build), build)
    given = {"data_range": arguments["data_range"], "dtype": str(true.dtype)}
    return build("lepton.signal_ratio", error=error, extent=extent, **given)


# ------------------------------------------------------------------------------------------------ distances


@declare(ValueFunction("lepton.hausdorff", values=("farthest0", "farthest1", "count0", "count1")))
def hausdorff(farthest0: Any, farthest1: Any, count0: Any, count1: Any) -> Any:
    """Source: `skimage.metrics.hausdorff_distance`, from the farthest pixels of each image and their numbers."""
    if count0 == 0 or count1 == 0:
        return 0 if count0 == count1 else np.inf
    return max(farthest0, farthest1)


def _check_distance(arguments: Arguments) -> None:
    check_pair(arguments)
    if arguments["method"] != "standard":
        raise InputError(f"method={arguments['method']!r} is not supported here; use method='standard'")


@declare(Composite("metrics.hausdorff_distance", images=("image0", "image1"), check=_check_distance, gives=""))
def _expand_distance(arguments: Arguments, build: Build) -> Lazy:
    images = arguments["image0"], arguments["image1"]
    values: dict[str, Lazy] = {}
    for number, (image, other) in enumerate((images, images[::-1])):
        distance = build("ndimage.distance_transform_edt", input=build("numpy.equal", x1=image, x2=0))
        inside = build("numpy.not_equal", x1=other, x2=0)
        farthest = build("numpy.where", condition=inside, x=distance, y=0.0)
        values[f"farthest{number}"] = build("numpy.max", a=farthest)
        values[f"count{number}"] = build("numpy.count_nonzero", a=image)
    return build("lepton.hausdorff", **values)
