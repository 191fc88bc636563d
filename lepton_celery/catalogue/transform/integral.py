"""`skimage.transform`: sums over corners of the image, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Refused
from lepton_celery.catalogue.shared.axes import Lines, strips

_SPECTRAL = "each of its pixels adds up a line through the whole image"
_VOTES = "each pixel votes over the whole parameter space, and lines or circles are picked among all votes"
_WHOLE = "scikit-image on the whole image"

_REFUSED = {
    "radon": ("image", _SPECTRAL, _WHOLE),
    "iradon": ("radon_image", _SPECTRAL, _WHOLE),
    "iradon_sart": ("radon_image", _SPECTRAL, _WHOLE),
    "frt2": ("a", _SPECTRAL, _WHOLE),
    "ifrt2": ("a", _SPECTRAL, _WHOLE),
    "hough_line": ("image", _VOTES, _WHOLE),
    "hough_circle": ("image", _VOTES, _WHOLE),
    "hough_ellipse": ("image", _VOTES, _WHOLE),
    "probabilistic_hough_line": ("image", _VOTES, _WHOLE),
    "warp_coords": ("", "it calls a function of yours for every pixel", "transform.warp with a matrix of shape (3, 3)"),
}
"""Functions by the parameter that is the image, why they are refused and what to use instead."""


def _running_sum(image: Array, axis: int, dtype: str) -> Array:
    found: Array = image.cumsum(axis=axis, dtype=dtype)
    return found


def _expand_integral(arguments: Arguments, build: Build) -> Any:
    """Sums carried on from pixel to pixel along whole lines, axis by axis, so that they add up in the same order."""
    image, dtype = arguments["image"], arguments["dtype"]
    if dtype is None and image.dtype.kind == "f":
        dtype = np.promote_types(image.dtype, np.float64)
    dtype = np.zeros(1, image.dtype).cumsum(dtype=dtype).dtype.name
    for axis in range(image.ndim):
        image = build("lepton.running_sum", image=image, axis=axis, dtype=dtype)
    return image


def entries() -> list[Entry]:
    """Sums and refusals."""
    return [
        Composite(
            name="transform.integral_image",
            source="skimage.transform.integral_image",
            expand=_expand_integral,
            gives="image",
        ),
        Local(
            name="lepton.running_sum",
            source="lepton_celery.catalogue.transform.integral._running_sum",
            geometry=Lines(),
            own_stage=strips,
            cost_ns=12.0,
        ),
        *[
            Refused(
                name=f"transform.{name}",
                source=f"skimage.transform.{name}",
                images=(image,) if image else (),
                reason=reason,
                instead=instead,
            )
            for name, (image, reason, instead) in _REFUSED.items()
        ],
    ]
