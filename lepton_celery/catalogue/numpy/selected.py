"""The pixels that a mask selects, in raster order: `image[mask]`."""

from __future__ import annotations

import math

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Reduction
from lepton_celery.catalogue.results import ValueType
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

SELECTED_PX = 1 << 26
"""The largest image, in pixels, of which pixels are selected: one process holds all of them."""


def _check_selection(arguments: Arguments) -> None:
    image, mask = arguments["image"], arguments["mask"]
    if mask.dtype != bool:
        raise InputError(f"an index of dtype {mask.dtype}; give slices, whole numbers, or a mask of bool")
    if mask.shape != image.shape:
        raise InputError(
            f"a mask of shape {mask.shape} for an image of shape {image.shape}; give a mask of the image's shape, and of "
            "an image with channels select one channel first: image[..., 0][mask]"
        )
    if math.prod(image.shape) > SELECTED_PX:
        raise InputError(
            f"one process would hold the selected pixels, for images of up to {SELECTED_PX:,}; this one has "
            f"{math.prod(image.shape):,}: select in a crop, or use numpy.where and a reduction with where=mask"
        )


def _selected_type(arguments: Arguments) -> ValueType:
    return (-1,), arguments["image"].dtype


def merge_selection(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The selected pixels of all blocks, in raster order."""
    parts = [partial for _, partial in partials]
    order = np.argsort(np.concatenate([part["position"] for part in parts]), kind="stable")
    pixels: Array = np.concatenate([part["pixels"] for part in parts])[order]
    return pixels


@declare(
    Reduction(
        "lepton.selected",
        images=("image", "mask"),
        check=_check_selection,
        merge=merge_selection,
        result=_selected_type,
        wants_where=True,
        cost_ns=4.0,
    )
)
def selected(image: Array, mask: Array, where: Where | None = None) -> Partial:
    """The selected pixels of a block, and their raster positions in the image."""
    assert where is not None
    inside = np.nonzero(mask)
    position = [axis + start for axis, start in zip(inside, where.region.start, strict=True)]
    return {"pixels": image[inside], "position": np.ravel_multi_index(position, where.shape)}


def select_pixels(image: Lazy, mask: Lazy, build: Build) -> Lazy:
    """The node of the selected pixels.

    Raises:
        InputError: the image is too large, or the mask does not fit.
    """
    _check_selection({"image": image, "mask": mask})
    return build("lepton.selected", image=image, mask=mask)
