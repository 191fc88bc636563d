"""Sums of views: NumPy adds up floats in the order in which they lie in memory, which transposing changes."""

from __future__ import annotations

import warnings

from lepton_celery.catalogue.arrays import Lazy
from lepton_celery.catalogue.entries import Build
from lepton_celery.errors import NotExactWarning

BOUND = 1e-6
"""Largest share by which a sum in another order usually differs, of the sum of the magnitudes of the pixels."""


def in_memory_order(image: Lazy, build: Build) -> Lazy:
    """The image with its axes in the order in which NumPy's array has them, whose raster order is that of NumPy's sums.

    Warns:
        NotExactWarning: the array would be a view with gaps, or its order is not known.
    """
    layout = image.layout
    if layout is None or not layout.contiguous:
        warn_of_order("the sum")
    if layout is None or layout.order == tuple(range(image.ndim)):
        return image
    return build("lepton.turn", image=image, axes=layout.order, flips=())


def warn_of_order(what: str) -> None:
    """Warn that pixels are added up in another order than NumPy's."""
    warnings.warn(
        f"{what} may differ from NumPy's in its last digits (by less than {BOUND:g} of the sum of the magnitudes): "
        "the image is a view (a slice, flipped or transposed), or the order of its axes in memory is not known, and NumPy "
        "adds up floats in that order; copy the view first for the same digits",
        NotExactWarning,
        stacklevel=2,
    )
