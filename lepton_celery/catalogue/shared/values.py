"""Whole-image values that many functions share: extent, sign, histogram.

Every value is exact: extents and integer counts do not depend on the order in which blocks are merged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials
from lepton_celery.catalogue.entries import Build, Entry, Reduction, ValueFunction
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

HISTOGRAM_DTYPES = ("uint8", "int8", "uint16", "int16", "float32", "float64")
"""Wider integers would need one bin for each of their values."""

NO_PIXELS = "no pixel counts here, so there is no least or greatest; give a mask that is not all False"

Partials = Partials


def pixels_of(image: Array, mask: Array | None) -> Array:
    """The pixels that count, as one run."""
    return image.ravel() if mask is None else image[mask.astype(bool)]


def extent_partial(image: Array, mask: Array | None = None) -> Partial:
    """Least and greatest pixel; NaN if there is one, as `np.min` has it."""
    pixels = pixels_of(image, mask)
    found = [pixels.min(), pixels.max()] if pixels.size else []
    return {"extent": np.array(found, dtype=image.dtype)}


def merge_extent(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    total: Array | None = None
    for _, partial in partials:
        found = partial["extent"]
        if found.size:
            total = found if total is None else np.array([min_nan(total[0], found[0]), max_nan(total[1], found[1])])
    if total is None:
        raise InputError(NO_PIXELS)
    return total


def min_nan(a: Any, b: Any) -> Any:
    """The lesser, NaN if either is."""
    return np.minimum(a, b)


def max_nan(a: Any, b: Any) -> Any:
    """The greater, NaN if either is."""
    return np.maximum(a, b)


def any_negative(image: Array) -> Partial:
    return {"any": np.array([bool((image < 0).any())])}


def merge_any(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
    found = False
    for _, partial in partials:
        found = found or bool(partial["any"][0])
    return np.bool_(found)


def histogram_partial(image: Array, extent: Any, nbins: int, mask: Array | None = None) -> Partial:
    """Counts of `skimage.exposure.histogram` over a range of values, by default the whole image's, for this block."""
    pixels = pixels_of(image, mask)
    if image.dtype.kind == "b":
        pixels, extent = pixels.view(np.uint8), np.asarray(extent).astype(np.uint8)
    if image.dtype.kind not in "iu":
        return binned_partial(pixels, extent, nbins)
    low, high = int(extent[0]), int(extent[1])
    return {"counts": np.bincount(pixels.astype(np.int64) - low, minlength=high - low + 1)}


def extent_and_counts(build: Build, image: Any, nbins: int, mask: Any = None) -> tuple[Any, Any]:
    """Nodes of an image's extent and of `skimage.exposure.histogram`'s counts over it.

    Pixels of 8 bits are counted value by value in one pass over the image, which shows the extent too.
    """
    if image.dtype.kind in "iu" and image.dtype.itemsize == 1:
        every = build("lepton.full_histogram", image=image, mask=mask)
        extent = build("lepton.extent_of_counts", counts=every, dtype=str(image.dtype))
        return extent, build("lepton.counts_within", counts=every, extent=extent)
    extent = build("lepton.extent", image=image, mask=mask)
    return extent, build("lepton.histogram", image=image, mask=mask, extent=extent, nbins=nbins)


def full_histogram_partial(image: Array, mask: Array | None = None) -> Partial:
    """How many pixels have each of the 256 values, from the least that the dtype has."""
    pixels = pixels_of(image, mask)
    if image.dtype.kind == "i":  # from -128, as from 0
        pixels = pixels.view(np.uint8) ^ np.uint8(0x80)
    if not pixels.size:
        return {"counts": np.zeros(256, np.int64)}
    # Pillow counts bytes as they are, which takes a fifth of the time: bincount makes them int64 first
    from PIL import Image

    return {"counts": np.array(Image.fromarray(pixels.reshape(1, -1)).histogram(), np.int64)}


def extent_of_counts(counts: Array, dtype: str) -> Array:
    """Least and greatest value that has a count."""
    present = np.flatnonzero(counts)
    if not present.size:
        raise InputError(NO_PIXELS)
    return (present[[0, -1]] + np.iinfo(dtype).min).astype(dtype)


def counts_within(counts: Array, extent: Array) -> Array:
    """Those counts of all values that lie between the least and the greatest that occur."""
    least = int(np.iinfo(str(extent.dtype)).min)
    return counts[int(extent[0]) - least : int(extent[1]) - least + 1]


def binned_partial(image: Array, extent: Any, bins: Any) -> Partial:
    """Counts of `numpy.histogram` over a range of values, for this block's pixels."""
    if extent is None:
        return {"counts": np.histogram(image, bins=bins)[0]}
    return {"counts": np.histogram(image, bins=bins, range=finite(extent))[0]}


def finite(extent: Any) -> tuple[Any, Any]:
    """The extent as a pair, refused where a histogram cannot have it."""
    low, high = extent
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(
            f"the image's values range over [{low}, {high}]; a histogram needs finite values: fill NaN first"
        )
    return low, high


def merge_counts(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    total = np.zeros(0, dtype=np.int64)
    for _, partial in partials:
        found = partial["counts"]
        if found.size > total.size:
            total = np.pad(total, (0, found.size - total.size))
        total[: found.size] += found
    return total


def bin_centers(extent: Any, nbins: int, dtype: np.dtype[Any]) -> Array:
    """Centres of the bins of `skimage.exposure.histogram`, in the dtype in which it has them."""
    low, high = finite(extent)
    if dtype.kind in "iu":
        return np.arange(int(low), int(high) + 1)
    if dtype.kind == "b":
        low, high, dtype = np.uint8(low), np.uint8(high), np.dtype(np.uint8)
    # NumPy derives the edges from the range and the dtype alone
    edges = np.histogram_bin_edges(np.zeros(1, dtype), bins=nbins, range=(low, high))
    centers: Array = (edges[:-1] + edges[1:]) / 2.0
    return centers


def item(values: Array, index: int) -> Any:
    return values[index]


def value_function(
    function: Callable[..., Any],
    values: tuple[str, ...],
    result: Callable[[Arguments], tuple[tuple[int, ...], np.dtype[Any]]],
) -> ValueFunction:
    """The entry of a function of whole-image values, `lepton.` and its name."""
    return ValueFunction(
        name=f"lepton.{function.__name__}",
        source=f"{function.__module__}.{function.__name__}",
        images=(),
        values=values,
        function=function,
        result=result,
    )


def entries() -> list[Entry]:
    """Whole-image values."""
    here = "lepton_celery.catalogue.shared.values"
    return [
        Reduction(
            name="lepton.extent",
            source=f"{here}.extent_partial",
            images=("image", "mask"),
            partial=extent_partial,
            merge=merge_extent,
            result=lambda arguments: ((2,), arguments["image"].dtype),
            cost_ns=1.0,
        ),
        Reduction(
            name="lepton.any_negative",
            source=f"{here}.any_negative",
            partial=any_negative,
            merge=merge_any,
            result=lambda arguments: ((), np.dtype(bool)),
            cost_ns=1.0,
        ),
        *[
            Reduction(
                name=f"lepton.{name}",
                source=f"{here}.{partial.__name__}",
                images=images,
                values=("extent",),
                partial=partial,
                merge=merge_counts,
                result=lambda arguments: ((-1,), np.dtype(np.int64)),
                cost_ns=7.0,
            )
            for name, partial, images in (
                ("histogram", histogram_partial, ("image", "mask")),
                ("binned", binned_partial, ("image",)),
            )
        ],
        Reduction(
            name="lepton.full_histogram",
            source=f"{here}.full_histogram_partial",
            images=("image", "mask"),
            partial=full_histogram_partial,
            merge=merge_counts,
            result=lambda arguments: ((256,), np.dtype(np.int64)),
            cost_ns=1.5,
        ),
        value_function(extent_of_counts, ("counts",), lambda arguments: ((2,), np.dtype(arguments["dtype"]))),
        value_function(counts_within, ("counts", "extent"), lambda arguments: ((-1,), np.dtype(np.int64))),
        value_function(item, ("values",), lambda arguments: ((), arguments["values"].dtype)),
    ]
