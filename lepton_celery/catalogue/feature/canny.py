"""`skimage.feature.canny`: a smoothed image's ridges of its gradient, kept where they are strong somewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.components import components_where
from lepton_celery.catalogue.shared.halos import constant, gaussian_halo
from lepton_celery.errors import InputError

_DEFAULTS = {"low_threshold": 0.1, "high_threshold": 0.2}


def canny_smooth(image: Array, mask: Array | None, sigma: Any, mode: str, cval: float) -> Array:
    """The smoothed image, what the mask hides left out of account."""
    from skimage.feature._canny import _preprocess

    smoothed: Array = _preprocess(image, mask, sigma, mode, cval)[0]
    return smoothed


def _gradient(smoothed: Array) -> tuple[Array, Array, Array]:
    """Along the first axis, along the second, and its length, operation by operation as in scikit-image."""
    from scipy.ndimage import sobel

    along_columns, along_rows = sobel(smoothed, axis=1), sobel(smoothed, axis=0)
    length = along_rows * along_rows
    length += along_columns * along_columns
    return along_rows, along_columns, np.sqrt(length, out=length)


def canny_magnitude(smoothed: Array) -> Array:
    return _gradient(smoothed)[2]


def canny_thin(smoothed: Array, mask: Array | None, low: Any, high: Any) -> Array:
    """The gradient's length on its ridges, where that is at least `low` and all pixels around are in the mask."""
    from scipy.ndimage import binary_erosion
    from skimage.feature._canny_cy import _nonmaximum_suppression_bilinear

    if high < low:
        raise InputError(f"low_threshold {low} is greater than high_threshold {high}; give them in this order")
    # nothing is found at the image's edge; at another edge of a block, that is trimmed off
    inside = np.ones(smoothed.shape, bool) if mask is None else mask.astype(bool)
    inside = binary_erosion(inside, np.ones((3, 3), bool), border_value=0)
    along_rows, along_columns, length = _gradient(smoothed)
    return np.asarray(_nonmaximum_suppression_bilinear(along_rows, along_columns, length, inside, low))


def _greatest(dtype: np.dtype[Any]) -> Any:
    """What thresholds are given in parts of: the greatest pixel of the dtype."""
    from skimage.util.dtype import dtype_limits

    return dtype_limits(np.zeros(0, dtype), clip_negative=False)[1]


def _expand(arguments: Arguments, build: Build) -> Any:
    image, mask = arguments["image"], arguments["mask"]
    smoothed = build(
        "lepton.canny_smooth", **{name: arguments[name] for name in ("image", "mask", "sigma", "mode", "cval")}
    )
    given = [arguments[name] for name in _DEFAULTS]
    if arguments["use_quantiles"]:
        fractions = [default if q is None else q for q, default in zip(given, _DEFAULTS.values(), strict=True)]
        magnitude = build("lepton.canny_magnitude", smoothed=smoothed)
        found = build("numpy.percentile", a=magnitude, q=tuple(100.0 * q for q in fractions))
        low, high = (build("lepton.item", values=found, index=at) for at in (0, 1))
    else:
        low, high = (
            default if value is None else value / _greatest(image.dtype)
            for value, default in zip(given, _DEFAULTS.values(), strict=True)
        )
    thin = build("lepton.canny_thin", smoothed=smoothed, mask=mask, low=low, high=high)
    edges = build("numpy.greater", x1=thin, x2=0)
    strong = build("numpy.greater_equal", x1=thin, x2=high)
    return components_where(build, edges, marker=build("numpy.logical_and", x1=edges, x2=strong))


def _check(arguments: Arguments) -> None:
    low, high = (default if arguments[name] is None else arguments[name] for name, default in _DEFAULTS.items())
    if arguments["use_quantiles"] and any(hasattr(q, "operation") or not 0.0 <= q <= 1.0 for q in (low, high)):
        raise InputError(f"thresholds {low} and {high} with use_quantiles; give numbers from 0 to 1")
    gaussian_halo(arguments)


def entries() -> list[Entry]:
    """The edge detector and its parts."""
    here = "lepton_celery.catalogue.feature.canny"
    return [
        Local(
            name="lepton.canny_smooth",
            source=f"{here}.canny_smooth",
            images=("image", "mask"),
            function=canny_smooth,
            geometry=Stencil(gaussian_halo, "int(4 * sigma + 0.5)"),
            cost_ns=15.0,
            tap_ns=0.7,
        ),
        Local(
            name="lepton.canny_magnitude",
            source=f"{here}.canny_magnitude",
            images=("smoothed",),
            function=canny_magnitude,
            geometry=Stencil(constant(1), "1"),
            cost_ns=25.0,
        ),
        Local(
            name="lepton.canny_thin",
            source=f"{here}.canny_thin",
            images=("smoothed", "mask"),
            values=("low", "high"),
            function=canny_thin,
            # one pixel for the gradient, one to compare it with
            geometry=Stencil(constant(2), "2"),
            cost_ns=50.0,
        ),
        Composite(
            name="feature.canny",
            source="skimage.feature.canny",
            images=("image", "mask"),
            values=("low_threshold", "high_threshold"),
            dtypes=("bool", "uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"),
            ndims=(2,),
            check=_check,
            expand=_expand,
            gives="image",
        ),
    ]
