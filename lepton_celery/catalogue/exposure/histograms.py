"""`skimage.exposure`: brightness and contrast, from the extent or the histogram of the whole image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Reduction
from lepton_celery.catalogue.filters.thresholds import narrow
from lepton_celery.catalogue.geometry import Whole, one_block
from lepton_celery.catalogue.shared.halos import local
from lepton_celery.catalogue.shared.pairwise import float_of
from lepton_celery.catalogue.shared.values import HISTOGRAM_DTYPES, bin_centers, extent_and_counts, value_function
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

# ------------------------------------------------------------------------------------------------ intensities


def rescale(image: Array, extent: Any, in_range: Any, out_range: Any) -> Array:
    """`rescale_intensity` with the whole image's extent where scikit-image would look at the image."""
    from skimage.exposure import rescale_intensity

    whole = (extent[0], extent[1])
    limits = [tuple(value) if isinstance(value, np.ndarray) else value for value in (in_range, out_range)]
    from_image = limits[1] == "image"
    result: Array = rescale_intensity(image, *(whole if value == "image" else value for value in limits))
    # a pair as out_range makes scikit-image return floats; 'image' keeps the image's dtype
    return result.astype(image.dtype, copy=False) if from_image else result


def _expand_rescale(arguments: Arguments, build: Build) -> Any:
    image = arguments["image"]
    # dtypes by their name
    limits = {
        name: np.dtype(arguments[name]).name if isinstance(arguments[name], type) else arguments[name]
        for name in ("in_range", "out_range")
    }
    needed = any(isinstance(value, str) and value == "image" for value in limits.values())
    extent = build("lepton.extent", image=image) if needed else [0, 0]
    return build("lepton.rescale", image=image, extent=extent, **limits)


def low_contrast(limits: Any, fraction_threshold: float, dtype: str) -> Any:
    """Source: `skimage.exposure.is_low_contrast`, from two percentiles of the image."""
    from skimage.util.dtype import dtype_limits

    if dtype == "bool":
        return not (limits[1] == 1 and limits[0] == 0)
    possible = dtype_limits(np.zeros(1, dtype), clip_negative=False)
    return (limits[1] - limits[0]) / (possible[1] - possible[0]) < fraction_threshold


def _expand_low_contrast(arguments: Arguments, build: Build) -> Any:
    image = arguments["image"]
    if image.dtype == bool:
        limits = build("lepton.extent", image=image)
    else:
        if len(image.shape) == 3 and image.shape[2] == 4:
            image = build("color.rgba2rgb", rgba=image)
        if len(image.shape) == 3 and image.shape[2] == 3:
            image = build("color.rgb2gray", rgb=image)
        percents = (arguments["lower_percentile"], arguments["upper_percentile"])
        limits = build("numpy.percentile", a=image, q=percents)
    threshold = arguments["fraction_threshold"]
    return build("lepton.low_contrast", limits=limits, fraction_threshold=threshold, dtype=str(image.dtype))


def _check_low_contrast(arguments: Arguments) -> None:
    if arguments["method"] != "linear":
        raise InputError(f"method={arguments['method']!r} is not supported here; use method='linear'")
    percents = arguments["lower_percentile"], arguments["upper_percentile"]
    if not all(0 <= percent <= 100 for percent in percents):
        raise InputError(f"percentiles {percents} are not within 0 and 100; give percents")


# ------------------------------------------------------------------------------------------------ histograms


def centers(extent: Any, limits: Any, nbins: int, dtype: str) -> Array:
    """The centres of `skimage.exposure.histogram`'s bins, between limits or, without, over the image's extent."""
    return bin_centers(extent if limits is None else limits, nbins, np.dtype(dtype))


def normalized(counts: Array) -> Array:
    """Source: `skimage.exposure.histogram` with `normalize=True`, from the counts."""
    shares: Array = counts / np.sum(counts)
    return shares


def cumulative(counts: Array, dtype: str) -> Array:
    """Source: `skimage.exposure.cumulative_distribution`, from the counts."""
    total = counts.cumsum()
    return (total / float(total[-1])).astype(dtype, copy=False)


def interpolate(image: Array, bins: Array, cdf: Array) -> Array:
    """Source: `skimage.exposure.equalize_hist`, behind its histogram."""
    result = np.interp(image.ravel(), bins, cdf).reshape(image.shape)
    return result.astype(float_of(image.dtype), copy=False)


def _limits(arguments: Arguments) -> Any:
    """The range that a dtype has where that is asked for; None: the image's own."""
    from skimage.util.dtype import dtype_limits

    if arguments.get("source_range", "image") == "image":
        return None
    return dtype_limits(np.zeros(1, arguments["image"].dtype), clip_negative=False)


def _bins(arguments: Arguments, build: Build) -> tuple[Any, Any]:
    """The counts and the centres of an image's histogram."""
    image, nbins, limits = arguments["image"], arguments["nbins"], _limits(arguments)
    masked = {"image": image, "mask": arguments.get("mask")}
    if limits is None:
        extent, counts = extent_and_counts(build, image, nbins, arguments.get("mask"))
    else:
        extent = build("lepton.extent", **masked)
        counts = build("lepton.histogram", **masked, extent=limits, nbins=nbins)
    return counts, build("lepton.centers", extent=extent, limits=limits, nbins=nbins, dtype=str(image.dtype))


def _expand_histogram(arguments: Arguments, build: Build) -> Any:
    counts, middle = _bins(arguments, build)
    if arguments["part"]:
        return middle
    return build("lepton.normalized", counts=counts) if arguments["normalize"] else counts


def _expand_cumulative(arguments: Arguments, build: Build) -> Any:
    counts, middle = _bins(arguments, build)
    return middle if arguments["part"] else build("lepton.cumulative", counts=counts, dtype=_float_name(arguments))


def _expand_equalize(arguments: Arguments, build: Build) -> Any:
    counts, middle = _bins(arguments, build)
    cdf = build("lepton.cumulative", counts=counts, dtype=_float_name(arguments))
    return build("lepton.interpolate", image=arguments["image"], bins=middle, cdf=cdf)


def _float_name(arguments: Arguments) -> str:
    return str(float_of(arguments["image"].dtype))


def _bins_result(counted: Callable[[Arguments], Any]) -> Callable[[Arguments], tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and dtype of a histogram's two parts: what is counted, and centres."""

    def result(arguments: Arguments) -> tuple[tuple[int, ...], np.dtype[Any]]:
        dtype, limits = arguments["image"].dtype, _limits(arguments)
        integer = dtype.kind in "iu"
        length = arguments["nbins"] if not integer else -1 if limits is None else limits[1] - limits[0] + 1
        middle = np.dtype(np.int64) if integer else float_of(dtype)
        return (int(length),), np.dtype(middle if arguments["part"] else counted(arguments))

    return result


def _check_histogram(arguments: Arguments) -> None:
    narrow(arguments)
    if arguments.get("channel_axis") is not None:
        raise InputError("channel_axis is not supported here; take the histogram of each channel, image[..., 0]")
    if arguments.get("source_range", "image") not in ("image", "dtype"):
        raise InputError(f"source_range={arguments['source_range']!r} is unknown; give 'image' or 'dtype'")
    mask = arguments.get("mask")
    if mask is not None and tuple(mask.shape) != tuple(arguments["image"].shape):
        raise InputError(f"mask of shape {mask.shape} does not match the image's {arguments['image'].shape}")


# ------------------------------------------------------------------------------------------------ matching


def _lowest(dtype: np.dtype[Any]) -> int:
    return 0 if dtype.kind == "b" else int(np.iinfo(dtype).min)


def _channels(shape: tuple[int, ...], axis: int | None) -> int:
    return 1 if axis is None else shape[axis]


def _channel_numbers(image: Array, axis: int | None, where: Where) -> Any:
    """The channel of each pixel, in a shape that goes with the image's."""
    if axis is None:
        return 0
    axis %= image.ndim
    shape = [1] * image.ndim
    shape[axis] = image.shape[axis]
    return np.arange(where.region.start[axis], where.region.stop[axis]).reshape(shape)


def count_levels(image: Array, channel_axis: int | None, where: Where) -> Partial:
    """How often each value of a narrow integer occurs in each channel; only those that do."""
    levels = 1 << (8 * image.dtype.itemsize)
    level = image.astype(np.int64) - _lowest(image.dtype) + _channel_numbers(image, channel_axis, where) * levels
    at, count = np.unique(level, return_counts=True)
    return {"at": at, "count": count}


def merge_levels(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    image = arguments["image"]
    levels = 1 << (8 * np.dtype(image.dtype).itemsize)
    total = np.zeros(_channels(image.shape, arguments["channel_axis"]) * levels, np.int64)
    for _, partial in partials:
        total[partial["at"]] += partial["count"]
    return total.reshape(-1, levels)


def matched_levels(counts: Array, template: Array, lowest: int) -> Array:
    """Source: `skimage.exposure.match_histograms`: what each value becomes, channel by channel."""
    table = np.empty(counts.shape)
    for channel, (source, wanted) in enumerate(zip(counts, template, strict=True)):
        values = np.flatnonzero(wanted)
        quantiles = np.cumsum(wanted[values]) / wanted.sum()
        table[channel] = np.interp(np.cumsum(source) / source.sum(), quantiles, values + lowest)
    return table


def look_up(image: Array, table: Array, channel_axis: int | None, where: Where) -> Array:
    """Each pixel's value in its channel's table."""
    result: Array = table[_channel_numbers(image, channel_axis, where), image.astype(np.int64) - _lowest(image.dtype)]
    # with channels, scikit-image writes into an image of the same dtype
    return result if channel_axis is None else result.astype(image.dtype)


def match_whole(image: Array, reference: Array, channel_axis: int | None) -> Array:
    """`skimage.exposure.match_histograms` itself, which moves the channels of positional arguments only."""
    from skimage.exposure import match_histograms

    result: Array = match_histograms(image, reference, channel_axis=channel_axis)
    return result


def _expand_match(arguments: Arguments, build: Build) -> Any:
    images = {name: arguments[name] for name in ("image", "reference")}
    axis = arguments["channel_axis"]
    if any(image.dtype.kind == "f" or image.dtype.itemsize > 2 for image in images.values()):
        return build("lepton.match_whole", **images, channel_axis=axis)
    counts = [build("lepton.count_levels", image=image, channel_axis=axis) for image in images.values()]
    lowest = _lowest(images["reference"].dtype)
    table = build("lepton.matched_levels", counts=counts[0], template=counts[1], lowest=lowest)
    return build("lepton.look_up", image=images["image"], table=table, channel_axis=axis)


def _check_match(arguments: Arguments) -> None:
    image, reference, axis = (arguments[name] for name in ("image", "reference", "channel_axis"))
    shapes = f"image of shape {tuple(image.shape)} and reference of shape {tuple(reference.shape)}"
    if len(image.shape) != len(reference.shape):
        raise InputError(f"{shapes} have different numbers of axes; give two images alike")
    if axis is not None and image.shape[axis] != reference.shape[axis]:
        raise InputError(f"{shapes} have different numbers of channels; give two images alike")
    if image.dtype.kind == "u" and reference.dtype.kind == "f":
        raise InputError(
            f"an image of {image.dtype} cannot be matched with a reference of {reference.dtype}; convert one of them"
        )


def _lookup_dtype(arguments: Arguments) -> np.dtype[Any]:
    return np.dtype(float) if arguments["channel_axis"] is None else arguments["image"].dtype


# ------------------------------------------------------------------------------------------------ entries


def _any_length(dtype: Any = np.float64, ndim: int = 1) -> Callable[[Arguments], tuple[tuple[int, ...], np.dtype[Any]]]:
    return lambda arguments: ((-1,) * ndim, np.dtype(dtype))


def _parts() -> list[Entry]:
    here = "lepton_celery.catalogue.exposure.histograms"
    return [
        Local(
            name="lepton.rescale",
            source=f"{here}.rescale",
            values=("extent", "in_range", "out_range"),
            cost_ns=6.0,
        ),
        Local(
            name="lepton.interpolate",
            source=f"{here}.interpolate",
            values=("bins", "cdf"),
            dtype=lambda arguments: float_of(arguments["image"].dtype),
            cost_ns=25.0,
        ),
        Reduction(
            name="lepton.count_levels",
            source=f"{here}.count_levels",
            partial=count_levels,
            merge=merge_levels,
            result=_any_length(np.int64, 2),
            wants_where=True,
            cost_ns=40.0,
        ),
        Local(
            name="lepton.look_up",
            source=f"{here}.look_up",
            values=("table",),
            wants_where=True,
            dtype=_lookup_dtype,
            cost_ns=8.0,
        ),
        Local(
            name="lepton.match_whole",
            source=f"{here}.match_whole",
            geometry=Whole(),
            own_stage=one_block,
            images=("image", "reference"),
            cost_ns=200.0,
        ),
        value_function(centers, ("extent",), _any_length()),
        value_function(normalized, ("counts",), _any_length()),
        value_function(cumulative, ("counts",), _any_length()),
        value_function(matched_levels, ("counts", "template"), _any_length(ndim=2)),
        value_function(low_contrast, ("limits",), lambda arguments: ((), np.dtype(bool))),
    ]


def entries() -> list[Entry]:
    """Brightness and contrast."""
    return [
        *_parts(),
        local("exposure.adjust_gamma", cost_ns=15.0),
        local("exposure.adjust_log", cost_ns=12.0),
        local("exposure.adjust_sigmoid", cost_ns=12.0),
        Composite(
            name="exposure.rescale_intensity",
            source="skimage.exposure.rescale_intensity",
            values=("in_range", "out_range"),
            expand=_expand_rescale,
            gives="image",
        ),
        Composite(
            name="exposure.histogram",
            source="skimage.exposure.histogram",
            dtypes=("bool", *HISTOGRAM_DTYPES),
            check=_check_histogram,
            expand=_expand_histogram,
            result=_bins_result(lambda arguments: np.float64 if arguments["normalize"] else np.int64),
            returns=2,
        ),
        Composite(
            name="exposure.cumulative_distribution",
            source="skimage.exposure.cumulative_distribution",
            dtypes=("bool", *HISTOGRAM_DTYPES),
            check=_check_histogram,
            expand=_expand_cumulative,
            result=_bins_result(_float_name),
            returns=2,
        ),
        Composite(
            name="exposure.equalize_hist",
            source="skimage.exposure.equalize_hist",
            images=("image", "mask"),
            samples={"mask": "mask"},
            dtypes=("bool", *HISTOGRAM_DTYPES),
            check=_check_histogram,
            expand=_expand_equalize,
            gives="image",
        ),
        Composite(
            name="exposure.match_histograms",
            source="skimage.exposure.match_histograms",
            images=("image", "reference"),
            # scikit-image counts unsigned integers, one bin for each value up to the greatest
            dtypes=tuple("bool uint8 uint16 int8 int16 int32 int64 float32 float64".split()),
            check=_check_match,
            expand=_expand_match,
            gives="image",
        ),
        Composite(
            name="exposure.is_low_contrast",
            source="skimage.exposure.is_low_contrast",
            check=_check_low_contrast,
            expand=_expand_low_contrast,
            result=lambda arguments: ((), np.dtype(bool)),
        ),
    ]
