"""Histograms of whole images, as `skimage.exposure.histogram` and `numpy.histogram` count them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Partial, Partials
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Reduction, ValueFunction
from lepton_celery.catalogue.results import value_of
from lepton_celery.catalogue.shared.values import NO_PIXELS, Extent, pixels_of
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

WIDE_DTYPES = ("uint32", "int32", "int64")
"""Dtypes that have a histogram if their pixels range over few values, because each value has a bin."""
HISTOGRAM_DTYPES = ("uint8", "int8", "uint16", "int16", "float32", "float64", *WIDE_DTYPES)
"""Dtypes that have a histogram."""
MAX_BINS = 1 << 24
"""The widest range of whole numbers that is counted value by value."""

Bins = int | Sequence[float] | Array
"""A number of bins, or their edges."""


def range_of(extent: Any) -> tuple[int, int]:
    """The least and the greatest of an image's whole numbers.

    Raises:
        InputError: they are so far apart that one bin per value would be too many.
    """
    low, high = int(extent[0]), int(extent[1])
    if high - low >= MAX_BINS:
        raise InputError(
            f"the image's values range over [{low}, {high}], and a histogram has one bin for each of up to {MAX_BINS:,} "
            "values; convert the image to uint16 or a float dtype first"
        )
    return low, high


def finite(extent: Any) -> tuple[Any, Any]:
    """The extent as a pair; refused unless it is finite, because a histogram needs finite edges."""
    low, high = extent
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(
            f"the image's values range over [{low}, {high}]; a histogram needs finite values: fill NaN first"
        )
    return low, high


def merge_counts(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The sum of all blocks' counts, which may differ in length."""
    total = np.zeros(0, dtype=np.int64)
    for _, partial in partials:
        counts = partial["counts"]
        if counts.size > total.size:
            total = np.pad(total, (0, counts.size - total.size))
        total[: counts.size] += counts
    return total


_COUNTS: dict[str, Any] = {"values": ("extent",), "merge": merge_counts, "result": value_of(np.int64, -1)}


@declare(Reduction("lepton.binned", cost_ns=7.0, **_COUNTS))
def binned_partial(image: Array, extent: Extent | None, bins: Bins) -> Partial:
    """The counts of `numpy.histogram` for a block, over the range `extent` or, without one, between the edges `bins`."""
    if extent is None:
        return {"counts": np.histogram(image, bins=bins)[0]}
    return {"counts": np.histogram(image, bins=bins, range=finite(extent))[0]}


@declare(Reduction("lepton.histogram", images=("image", "mask"), cost_ns=7.0, **_COUNTS))
def histogram_partial(image: Array, extent: Extent, nbins: int, mask: Array | None = None) -> Partial:
    """The counts of `skimage.exposure.histogram` for a block, over the range `extent`."""
    pixels = pixels_of(image, mask)
    if image.dtype.kind == "b":
        pixels, extent = pixels.view(np.uint8), np.asarray(extent).astype(np.uint8)
    if image.dtype.kind not in "iu":
        return binned_partial(pixels, extent, nbins)
    low, high = range_of(extent)
    return {"counts": np.bincount(pixels.astype(np.int64) - low, minlength=high - low + 1)}


@declare(
    Reduction(
        "lepton.full_histogram",
        images=("image", "mask"),
        merge=merge_counts,
        result=value_of(np.int64, 256),
        cost_ns=1.5,
    )
)
def full_histogram_partial(image: Array, mask: Array | None = None) -> Partial:
    """The number of pixels with each of the 256 values of an 8-bit dtype, in ascending order of the values."""
    pixels = pixels_of(image, mask)
    if image.dtype.kind == "i":  # -128 becomes 0
        pixels = pixels.view(np.uint8) ^ np.uint8(0x80)
    if not pixels.size:
        return {"counts": np.zeros(256, np.int64)}
    # Pillow takes a fifth of the time of bincount, which converts bytes to int64 first
    from PIL import Image

    return {"counts": np.array(Image.fromarray(pixels.reshape(1, -1)).histogram(), np.int64)}


@declare(
    ValueFunction(
        "lepton.extent_of_counts", values=("counts",), result=lambda arguments: ((2,), np.dtype(arguments["dtype"]))
    )
)
def extent_of_counts(counts: Array, dtype: str) -> Extent:
    """The least and the greatest value with a count above 0."""
    present = np.flatnonzero(counts)
    if not present.size:
        raise InputError(NO_PIXELS)
    return (present[[0, -1]] + np.iinfo(dtype).min).astype(dtype)


@declare(ValueFunction("lepton.counts_within", values=("counts", "extent"), result=value_of(np.int64, -1)))
def counts_within(counts: Array, extent: Extent) -> Array:
    """The counts from the least to the greatest value that occurs, cut from the counts of all values."""
    least = int(np.iinfo(str(extent.dtype)).min)
    return counts[int(extent[0]) - least : int(extent[1]) - least + 1]


def extent_and_counts(build: Build, image: Lazy, nbins: int, mask: Lazy | None = None) -> tuple[Lazy, Lazy]:
    """The nodes of an image's extent and of `skimage.exposure.histogram`'s counts over it.

    For 8-bit images, one pass over the image counts all values, and the extent follows from the counts.
    """
    if image.dtype.kind in "iu" and image.dtype.itemsize == 1:
        all_counts = build("lepton.full_histogram", image=image, mask=mask)
        extent = build("lepton.extent_of_counts", counts=all_counts, dtype=str(image.dtype))
        return extent, build("lepton.counts_within", counts=all_counts, extent=extent)
    extent = build("lepton.extent", image=image, mask=mask)
    return extent, build("lepton.histogram", image=image, mask=mask, extent=extent, nbins=nbins)


def bin_centers(extent: Any, nbins: int, dtype: DType) -> Array:
    """The bin centres of `skimage.exposure.histogram`, in the dtype that it returns."""
    low, high = finite(extent)
    if dtype.kind in "iu":
        return np.arange(int(low), int(high) + 1)
    if dtype.kind == "b":
        low, high, dtype = np.uint8(low), np.uint8(high), np.dtype(np.uint8)
    # the edges depend only on the range and the dtype
    edges = np.histogram_bin_edges(np.zeros(1, dtype), bins=nbins, range=(low, high))
    centers: Array = (edges[:-1] + edges[1:]) / 2.0
    return centers
