"""`skimage.exposure`: histograms, cumulative distributions and `equalize_hist`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, float_dtype
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local, ValueFunction
from lepton_celery.catalogue.results import ResultRule, ValueType, given_dtype, value_of
from lepton_celery.catalogue.shared.histograms import (
    HISTOGRAM_DTYPES,
    WIDE_DTYPES,
    bin_centers,
    extent_and_counts,
)
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import InputError

# ------------------------------------------------------------------------------------------------ values


def _centers_type(arguments: Arguments) -> ValueType:
    dtype, nbins = np.dtype(arguments["dtype"]), int(arguments["nbins"])
    return ((-1,) if dtype.kind in "iu" else (nbins,)), bin_centers((0, 1), nbins, dtype).dtype


@declare(ValueFunction("lepton.centers", values=("extent",), result=_centers_type))
def centers(extent: Extent, limits: Any, nbins: int, dtype: str) -> Array:
    """The centres of `skimage.exposure.histogram`'s bins, between the limits or, without limits, over the image's extent."""
    return bin_centers(extent if limits is None else limits, nbins, np.dtype(dtype))


@declare(ValueFunction("lepton.normalized", values=("counts",), result=value_of(float, -1)))
def normalized(counts: Array) -> Array:
    """`skimage.exposure.histogram` with `normalize=True`, from the counts."""
    shares: Array = counts / np.sum(counts)
    return shares


@declare(
    ValueFunction("lepton.cumulative", values=("counts",), result=lambda arguments: ((-1,), given_dtype(arguments)))
)
def cumulative(counts: Array, dtype: str) -> Array:
    """`skimage.exposure.cumulative_distribution`, from the counts."""
    total = counts.cumsum()
    return (total / float(total[-1])).astype(dtype, copy=False)


@declare(
    Local(
        "lepton.interpolate",
        values=("bins", "cdf"),
        dtype=lambda arguments: float_dtype(arguments["image"].dtype),
        cost_ns=25.0,
    )
)
def interpolate(image: Array, bins: Array, cdf: Array) -> Array:
    """The last step of `skimage.exposure.equalize_hist`: each pixel mapped by the cumulative distribution."""
    result = np.interp(image.ravel(), bins, cdf).reshape(image.shape)
    return result.astype(float_dtype(image.dtype), copy=False)


# ------------------------------------------------------------------------------------------------ composites


def _limits(arguments: Arguments) -> Any:
    """The range of the dtype if `source_range` asks for it; None for the image's own extent."""
    from skimage.util.dtype import dtype_limits

    if arguments.get("source_range", "image") == "image":
        return None
    return dtype_limits(np.zeros(1, arguments["image"].dtype), clip_negative=False)


def _bins(arguments: Arguments, build: Build) -> tuple[Lazy, Lazy]:
    """The counts and the centres of an image's histogram."""
    image, nbins, limits = arguments["image"], arguments["nbins"], _limits(arguments)
    masked = {"image": image, "mask": arguments.get("mask")}
    if limits is None:
        extent, counts = extent_and_counts(build, image, nbins, arguments.get("mask"))
    else:
        extent = build("lepton.extent", **masked)
        counts = build("lepton.histogram", **masked, extent=limits, nbins=nbins)
    return counts, build("lepton.centers", extent=extent, limits=limits, nbins=nbins, dtype=str(image.dtype))


def _float_name(arguments: Arguments) -> str:
    return str(float_dtype(arguments["image"].dtype))


def _bins_result(counted: Callable[[Arguments], DTypeLike]) -> ResultRule:
    """Shape and dtype of the results of a histogram: counts, whose dtype `counted` gives, and the centres of bins."""

    def result(arguments: Arguments) -> ValueType:
        dtype, limits = arguments["image"].dtype, _limits(arguments)
        integer = dtype.kind in "iu"
        length = arguments["nbins"] if not integer else -1 if limits is None else limits[1] - limits[0] + 1
        middle = np.dtype(np.int64) if integer else float_dtype(dtype)
        return (int(length),), np.dtype(middle if arguments["result_index"] else counted(arguments))

    return result


def _check(arguments: Arguments) -> None:
    if arguments.get("channel_axis") is not None:
        raise InputError("channel_axis is not supported here; take the histogram of each channel, image[..., 0]")
    if arguments.get("source_range", "image") not in ("image", "dtype"):
        raise InputError(
            f"Incorrect value for `source_range` argument: {arguments['source_range']!r}; give 'image' or 'dtype'"
        )
    if arguments.get("source_range") == "dtype" and arguments["image"].dtype.name in WIDE_DTYPES:
        raise InputError(
            f"source_range='dtype' would need one bin for each value of {arguments['image'].dtype}; give 'image'"
        )
    mask = arguments.get("mask")
    if mask is not None and tuple(mask.shape) != tuple(arguments["image"].shape):
        raise InputError(
            f"mask of shape {mask.shape} does not match the image's {arguments['image'].shape}; give one shape"
        )


_COMMON: dict[str, Any] = {
    "dtypes": ("bool", *HISTOGRAM_DTYPES),
    "narrow_dtypes": WIDE_DTYPES,
    "check": _check,
}


@declare(
    Composite(
        "exposure.histogram",
        result=_bins_result(lambda arguments: np.float64 if arguments["normalize"] else np.int64),
        returns=2,
        **_COMMON,
    )
)
def _expand_histogram(arguments: Arguments, build: Build) -> Lazy:
    counts, middle = _bins(arguments, build)
    if arguments["result_index"]:
        return middle
    return build("lepton.normalized", counts=counts) if arguments["normalize"] else counts


@declare(Composite("exposure.cumulative_distribution", result=_bins_result(_float_name), returns=2, **_COMMON))
def _expand_cumulative(arguments: Arguments, build: Build) -> Lazy:
    counts, middle = _bins(arguments, build)
    return (
        middle if arguments["result_index"] else build("lepton.cumulative", counts=counts, dtype=_float_name(arguments))
    )


@declare(
    Composite("exposure.equalize_hist", images=("image", "mask"), samples={"mask": "mask"}, gives="image", **_COMMON)
)
def _expand_equalize(arguments: Arguments, build: Build) -> Lazy:
    counts, middle = _bins(arguments, build)
    cdf = build("lepton.cumulative", counts=counts, dtype=_float_name(arguments))
    return build("lepton.interpolate", image=arguments["image"], bins=middle, cdf=cdf)
