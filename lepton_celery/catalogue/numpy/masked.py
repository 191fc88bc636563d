"""Reductions of floats with `where` over all pixels: NumPy adds up one run of the mask after the other, in one process."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials, View, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Reduction
from lepton_celery.catalogue.numpy.along_axes import Options
from lepton_celery.catalogue.numpy.selected import SELECTED_PX
from lepton_celery.catalogue.results import ValueType
from lepton_celery.catalogue.shared.first_block import in_first_block, of_first_block
from lepton_celery.catalogue.shared.memory_order import warn_of_order
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid


def merge_value(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
    """The value, which the first block computed."""
    return of_first_block(partials)[0]


def _type(arguments: Arguments) -> ValueType:
    few = np.ones((2,) * len(arguments["image"].shape), arguments["image"].dtype)
    return (), np.asarray(_reduced(few, few > 0, arguments["reduction"], arguments["options"])).dtype


def _reduced(image: Array, mask: Array, reduction: str, options: Options) -> Any:
    return getattr(np, reduction)(image, where=mask, **dict(options))


@declare(
    Reduction(
        "lepton.reduced_where",
        images=("image", "mask"),
        merge=merge_value,
        result=_type,
        reads_itself=True,
        cost_ns=8.0,
    )
)
def reduced_where(image: View, mask: View, reduction: str, options: Options, where: Where) -> Partial:
    """The first block calls `numpy.{reduction}` on the whole images."""
    return in_first_block(where, partial(_reduced, reduction=reduction, options=options), image, mask)


def reduce_where(image: Lazy, mask: Lazy, reduction: str, options: Options, build: Build) -> Lazy:
    """The node of a reduction of all pixels of the mask.

    Raises:
        InputError: one process cannot hold the image.

    Warns:
        NotExactWarning: NumPy's array would not lie in C order.
    """
    if math.prod(image.shape) > SELECTED_PX:
        raise InputError(
            f"numpy.{reduction} of all pixels of a {image.dtype} image with where runs in one process, for images of up to "
            f"{SELECTED_PX:,} pixels; this one has {math.prod(image.shape):,}: give axis, or reduce a crop"
        )
    usual = tuple(range(image.ndim))
    if any(one.layout is None or one.layout.order != usual or not one.layout.contiguous for one in (image, mask)):
        warn_of_order(f"numpy.{reduction} with where")
    _type({"image": image, "reduction": reduction, "options": options})  # NumPy refuses what it cannot do
    return build("lepton.reduced_where", image=image, mask=mask, reduction=reduction, options=options)
