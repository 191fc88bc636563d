"""NumPy's sum of arrays that are not contiguous, such as crops, or are converted: it adds up one buffer after another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Lazy, Partial, Partials, View, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Reduction
from lepton_celery.catalogue.shared.pairwise import BUFFER, in_groups, in_raster_order, read_run, share_of
from lepton_celery.grid import BlockGrid


def buffers(first: int, stop: int, layout: Sequence[int], converted: bool) -> Iterator[tuple[int, int]]:
    """The buffers that begin in a run of pixels: (start, stop) of each, in order.

    A buffer has whole inner axes of an array of shape `layout`, as many positions of the next axis as fit, and never pixels
    of several positions of the axis before that.
    """
    axes = [n for n in layout if n > 1] or [1]
    inner = 1
    while axes and inner * axes[-1] <= BUFFER:
        inner *= axes.pop()
    unit = inner * (axes[-1] if axes else 1)
    length = BUFFER // inner * inner
    if inner == 1 and not converted:
        length = unit  # lines longer than a buffer that need no conversion are added in place
    start = first // unit * unit
    start = min(start + -(-(first - start) // length) * length, start + unit)
    while start < stop:
        end = min(start + length, start // unit * unit + unit)
        yield start, end
        start = end


def merge_buffers(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
    """The sums of all buffers, added one after the other."""
    total = np.dtype(arguments["dtype"]).type(0)
    for _, partial in partials:
        for buffer_sum in partial["sums"]:
            total = total + buffer_sum
    return total


@declare(
    Reduction(
        "lepton.buffer_sums",
        merge=merge_buffers,
        result=lambda arguments: ((), np.dtype(arguments["dtype"])),
        reads_itself=True,
        cost_ns=1.0,
    )
)
def buffer_sums(image: View, layout: Sequence[int], dtype: str, where: Where) -> Partial:
    """The sums of the buffers in a block's share of the pixels."""
    sums: list[Any] = []
    for group in in_groups(buffers(*share_of(where.region, where.shape), layout, image.dtype != np.dtype(dtype))):
        first = group[0][0]
        run = read_run(image, first, group[-1][1]).astype(dtype, copy=False)
        sums += [np.add.reduce(run[start - first : stop - first]) for start, stop in group]
    return {"sums": np.array(sums, dtype)}


def sum_in_buffers(image: Lazy, layout: Sequence[int], dtype: str, build: Build) -> Lazy:
    """The sum of an image, as of an array of shape `layout` that is not contiguous or is converted to `dtype`."""
    return build("lepton.buffer_sums", image=in_raster_order(image, build), layout=tuple(layout), dtype=dtype)


def total_of(image: Lazy, dtype: str, build: Build) -> Lazy:
    """`np.sum` of a whole image in `dtype`."""
    if image.dtype == np.dtype(dtype):
        return build("numpy.sum", a=image)
    return sum_in_buffers(image, (math.prod(image.shape),), dtype, build)


def crop_sum(image: Lazy, crop: Sequence[tuple[int, int]], dtype: str, build: Build) -> Lazy:
    """`np.sum` of a crop, [start, stop) along each axis, which is not contiguous."""
    if all((start, stop) == (0, n) for (start, stop), n in zip(crop, image.shape, strict=True)):
        return total_of(image, dtype, build)
    part = build("lepton.select", image=image, index=tuple((start, stop, 1) for start, stop in crop))
    return sum_in_buffers(part, part.shape, dtype, build)
