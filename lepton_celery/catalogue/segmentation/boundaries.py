"""`skimage.segmentation`: boundaries of labels, labels grown by a distance, and the gradient for active contours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Shape, Shapes
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Local
from lepton_celery.catalogue.geometry import ColourOverLabels, Stencil
from lepton_celery.catalogue.shared.distance import check_distance, distance_formula, distance_halo
from lepton_celery.catalogue.shared.halos import gaussian_halo
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

_ON_PIXELS = Stencil(1, "1")


class Boundaries:
    """Boundaries on the pixels, or with `mode="subpixel"` also between them: `2 n - 1` on an axis of `n` pixels."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        if arguments["mode"] != "subpixel":
            return _ON_PIXELS.result_shape(images, arguments)
        return tuple(2 * n - 1 for n in images[0])

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        if arguments["mode"] != "subpixel":
            return _ON_PIXELS.reads(region, images, arguments)
        # pixel i is at position 2 i of the result; one more position is read on each side
        start = tuple(max(0, (a - 1) // 2) for a in region.start)
        stop = tuple(min(n, (b + 1) // 2 + 1) for b, n in zip(region.stop, images[0], strict=True))
        return [Region(start, stop)]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        if result.shape == read[0].shape:
            return _ON_PIXELS.trim(result, region, read)
        first = tuple(2 * a for a in read[0].start)
        return result[region.within(Region(first, tuple(a + n for a, n in zip(first, result.shape, strict=True))))]


@declare(
    Local(
        "segmentation.expand_labels",
        images=("label_image",),
        dtype_kinds="biu",
        samples={"label_image": "labels"},
        geometry=Stencil(distance_halo("distance"), distance_formula("distance")),
        check=check_distance("distance"),
        cost_ns=20.0,
    )
)
def expand_labels(label_image: Array, distance: float = 1, spacing: Any = 1) -> Array:
    """The function of scikit-image, except that a block without labels stays empty: SciPy needs one to measure distances."""
    from skimage.segmentation import expand_labels as expand

    if not label_image.any():
        return np.zeros_like(label_image)
    return np.asarray(expand(label_image, distance, spacing))


def _check_mode(arguments: Arguments) -> None:
    if arguments["mode"] == "subpixel":
        raise InputError("mode='subpixel' changes the image's shape; use 'thick', 'inner' or 'outer'")


def _check_sigma(arguments: Arguments) -> None:
    gaussian_halo(arguments)


ENTRIES = (
    Local(
        "segmentation.mark_boundaries",
        images=("image", "label_img"),
        samples={"label_img": "labels"},
        # one pixel for find_boundaries, one more for the dilation of the outline
        geometry=ColourOverLabels(lambda arguments: 1 if arguments["outline_color"] is None else 2),
        check=_check_mode,
        cost_ns=15.0,
    ),
    Local(
        "segmentation.find_boundaries",
        images=("label_img",),
        dtype_kinds="biu",
        samples={"label_img": "labels"},
        geometry=Boundaries(),
        cost_ns=10.0,
    ),
    Local(
        "segmentation.inverse_gaussian_gradient",
        geometry=Stencil(gaussian_halo, "int(4 * sigma + 0.5) per axis"),
        check=_check_sigma,
        cost_ns=14.0,
        tap_ns=0.5,
    ),
)
