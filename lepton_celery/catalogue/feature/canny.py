"""`skimage.feature.canny`: ridges of the gradient's magnitude that are connected to a pixel above the high threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.components import components_where
from lepton_celery.catalogue.shared.halos import gaussian_halo
from lepton_celery.errors import InputError

_DEFAULTS = {"low_threshold": 0.1, "high_threshold": 0.2}


@declare(
    Local(
        "lepton.canny_smooth",
        images=("image", "mask"),
        geometry=Stencil(gaussian_halo, "int(4 * sigma + 0.5)"),
        cost_ns=15.0,
        tap_ns=0.7,
    )
)
def canny_smooth(image: Array, mask: Array | None, sigma: Any, mode: str, cval: float) -> Array:
    """The smoothed image, to which pixels outside the mask do not contribute."""
    from skimage.feature._canny import _preprocess

    smoothed: Array = _preprocess(image, mask, sigma, mode, cval)[0]
    return smoothed


def _gradient(smoothed: Array) -> tuple[Array, Array, Array]:
    """The gradient along the first and the second axis, and its magnitude, computed as in scikit-image."""
    from scipy.ndimage import sobel

    along_columns, along_rows = sobel(smoothed, axis=1), sobel(smoothed, axis=0)
    length = along_rows * along_rows
    length += along_columns * along_columns
    return along_rows, along_columns, np.sqrt(length, out=length)


@declare(Local("lepton.canny_magnitude", images=("smoothed",), geometry=Stencil(1, "1"), cost_ns=25.0))
def canny_magnitude(smoothed: Array) -> Array:
    """The gradient's magnitude."""
    return _gradient(smoothed)[2]


@declare(
    Local(
        "lepton.canny_thin",
        images=("smoothed", "mask"),
        values=("low", "high"),
        geometry=Stencil(2, "2"),  # one pixel for the gradient, one for its comparison with neighbours
        cost_ns=50.0,
    )
)
def canny_thin(smoothed: Array, mask: Array | None, low: Any, high: Any) -> Array:
    """The gradient's magnitude on its ridges, where it is at least `low` and all neighbours are in the mask; else 0."""
    from scipy.ndimage import binary_erosion
    from skimage.feature._canny_cy import _nonmaximum_suppression_bilinear

    if high < low:
        raise InputError(f"low_threshold {low} is greater than high_threshold {high}; give them in this order")
    # pixels at the image's edge are no ridges in scikit-image; those at other edges of the block are trimmed off
    inside = np.ones(smoothed.shape, bool) if mask is None else mask.astype(bool)
    inside = binary_erosion(inside, np.ones((3, 3), bool), border_value=0)
    along_rows, along_columns, length = _gradient(smoothed)
    return np.asarray(_nonmaximum_suppression_bilinear(along_rows, along_columns, length, inside, low))


def _greatest_pixel(dtype: DType) -> Any:
    """The greatest value of a dtype, by which scikit-image divides the thresholds."""
    from skimage.util.dtype import dtype_limits

    return dtype_limits(np.zeros(0, dtype), clip_negative=False)[1]


def _check(arguments: Arguments) -> None:
    low, high = (default if arguments[name] is None else arguments[name] for name, default in _DEFAULTS.items())
    if arguments["use_quantiles"] and any(hasattr(q, "operation") or not 0.0 <= q <= 1.0 for q in (low, high)):
        raise InputError(f"thresholds {low} and {high} with use_quantiles; give numbers from 0 to 1")
    gaussian_halo(arguments)


@declare(
    Composite(
        "feature.canny",
        images=("image", "mask"),
        values=("low_threshold", "high_threshold"),
        dtypes=("bool", "uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"),
        other_dtypes="64-bit integer images are not supported",
        ndims=(2,),
        check=_check,
        gives="image",
    )
)
def _expand(arguments: Arguments, build: Build) -> Lazy:
    image, mask = arguments["image"], arguments["mask"]
    smoothed = build(
        "lepton.canny_smooth", **{name: arguments[name] for name in ("image", "mask", "sigma", "mode", "cval")}
    )
    given = [arguments[name] for name in _DEFAULTS]
    low: Lazy | float
    high: Lazy | float
    if arguments["use_quantiles"]:
        fractions = [default if q is None else q for q, default in zip(given, _DEFAULTS.values(), strict=True)]
        magnitude = build("lepton.canny_magnitude", smoothed=smoothed)
        quantiles = build("numpy.percentile", a=magnitude, q=tuple(100.0 * q for q in fractions))
        low, high = (build("lepton.item", values=quantiles, index=index) for index in (0, 1))
    else:
        low, high = (
            default if value is None else value / _greatest_pixel(image.dtype)
            for value, default in zip(given, _DEFAULTS.values(), strict=True)
        )
    thin = build("lepton.canny_thin", smoothed=smoothed, mask=mask, low=low, high=high)
    edges = build("numpy.greater", x1=thin, x2=0)
    strong = build("numpy.greater_equal", x1=thin, x2=high)
    return components_where(build, edges, marker=build("numpy.logical_and", x1=edges, x2=strong))
