"""`skimage.exposure.match_histograms`: an image transformed to have the histogram of another one."""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Partial, Partials, Shape, Where
from lepton_celery.catalogue.declare import declare, whole
from lepton_celery.catalogue.entries import Build, Composite, Local, Reduction, ValueFunction
from lepton_celery.catalogue.results import value_of
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

_BINS_PER_PIXEL = 4
"""Number of levels for each pixel of a block above which sorting the pixels is quicker than a bin for each level."""


def _lowest(dtype: DType) -> int:
    return 0 if dtype.kind == "b" else int(np.iinfo(dtype).min)


def _channel_count(shape: Shape, axis: int | None) -> int:
    return 1 if axis is None else shape[axis]


def _channel_numbers(image: Array, axis: int, where: Where) -> Array:
    """The channel of each pixel, in a shape that is broadcast to the image's."""
    axis %= image.ndim
    shape = [1] * image.ndim
    shape[axis] = image.shape[axis]
    return np.arange(where.region.start[axis], where.region.stop[axis]).reshape(shape)


def _levels(image: Array, axis: int | None, where: Where) -> Array:
    """The number of each pixel's value among the levels of all channels."""
    level = image.astype(np.intp)
    if lowest := _lowest(image.dtype):
        level -= lowest
    if axis is not None:
        level += _channel_numbers(image, axis, where) << (8 * image.dtype.itemsize)
    return level


def merge_levels(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """How often each level occurs in each channel, shape `(channels, levels)`."""
    image = arguments["image"]
    levels = 1 << (8 * np.dtype(image.dtype).itemsize)
    total = np.zeros(_channel_count(image.shape, arguments["channel_axis"]) * levels, np.int64)
    for _, partial in partials:
        total[partial["level"]] += partial["count"]
    return total.reshape(-1, levels)


@declare(
    Reduction(
        "lepton.count_levels", merge=merge_levels, result=value_of(np.int64, -1, -1), wants_where=True, cost_ns=40.0
    )
)
def count_levels(image: Array, channel_axis: int | None, where: Where) -> Partial:
    """How often each value occurs in each channel of a block of 8-bit or 16-bit integers; only values that occur."""
    bins = _channel_count(where.shape, channel_axis) << (8 * image.dtype.itemsize)
    level = _levels(image, channel_axis, where).ravel()
    if bins > _BINS_PER_PIXEL * level.size:
        occurring, count = np.unique(level, return_counts=True)
        return {"level": occurring, "count": count}
    counts = np.bincount(level, minlength=bins)
    occurring = np.flatnonzero(counts)
    return {"level": occurring, "count": counts[occurring]}


@declare(ValueFunction("lepton.matched_levels", values=("counts", "template"), result=value_of(float, -1, -1)))
def matched_levels(counts: Array, template: Array, lowest: int) -> Array:
    """The new value of each level, channel by channel, as in `skimage.exposure.match_histograms`."""
    table = np.empty(counts.shape)
    for channel, (source, wanted) in enumerate(zip(counts, template, strict=True)):
        values = np.flatnonzero(wanted)
        quantiles = np.cumsum(wanted[values]) / wanted.sum()
        table[channel] = np.interp(np.cumsum(source) / source.sum(), quantiles, values + lowest)
    return table


def _dtype(arguments: Arguments) -> DType:
    return np.dtype(float) if arguments["channel_axis"] is None else np.dtype(arguments["image"].dtype)


@declare(Local("lepton.look_up", values=("table",), wants_where=True, dtype=_dtype, cost_ns=8.0))
def look_up(image: Array, table: Array, channel_axis: int | None, where: Where) -> Array:
    """Each pixel's value in the table of its channel."""
    result: Array = np.take(table, _levels(image, channel_axis, where))
    # with channels, scikit-image writes into an image of the same dtype
    return result if channel_axis is None else result.astype(image.dtype)


@declare(whole("lepton.match_whole", images=("image", "reference"), cost_ns=200.0))
def match_whole(image: Array, reference: Array, channel_axis: int | None) -> Array:
    """`skimage.exposure.match_histograms`, with the images given by position: it moves the channel axis only of those."""
    from skimage.exposure import match_histograms

    result: Array = match_histograms(image, reference, channel_axis=channel_axis)
    return result


def _check(arguments: Arguments) -> None:
    image, reference, axis = (arguments[name] for name in ("image", "reference", "channel_axis"))
    shapes = f"image of shape {tuple(image.shape)} and reference of shape {tuple(reference.shape)}"
    if len(image.shape) != len(reference.shape):
        raise InputError(f"{shapes} have different numbers of axes; give two images of the same kind")
    if axis is not None and image.shape[axis] != reference.shape[axis]:
        raise InputError(f"{shapes} have different numbers of channels; give two images of the same kind")
    if image.dtype.kind == "u" and reference.dtype.kind == "f":
        raise InputError(
            f"an image of {image.dtype} cannot be matched with a reference of {reference.dtype}; convert one of them"
        )


@declare(
    Composite(
        "exposure.match_histograms",
        images=("image", "reference"),
        # for wider unsigned integers, scikit-image has one bin for each value up to the greatest
        dtypes=tuple("bool uint8 uint16 int8 int16 int32 int64 float32 float64".split()),
        check=_check,
        gives="image",
    )
)
def _expand(arguments: Arguments, build: Build) -> Lazy:
    images = {name: arguments[name] for name in ("image", "reference")}
    axis = arguments["channel_axis"]
    if any(image.dtype.kind == "f" or image.dtype.itemsize > 2 for image in images.values()):
        return build("lepton.match_whole", **images, channel_axis=axis)
    counts = [build("lepton.count_levels", image=image, channel_axis=axis) for image in images.values()]
    lowest = _lowest(images["reference"].dtype)
    table = build("lepton.matched_levels", counts=counts[0], template=counts[1], lowest=lowest)
    return build("lepton.look_up", image=images["image"], table=table, channel_axis=axis)
