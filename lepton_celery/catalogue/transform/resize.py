"""`skimage.transform`: `resize`, `rescale`, and local means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shape, Shapes, float_dtype
from lepton_celery.catalogue.declare import declare, whole
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.geometry import Stencil, Whole
from lepton_celery.catalogue.results import given_dtype
from lepton_celery.catalogue.shared.boxes import boxes
from lepton_celery.catalogue.shared.halos import gaussian_radius
from lepton_celery.catalogue.transform.interpolate import (
    WarpOptions,
    as_float,
    clipped,
    coefficients,
    in_range,
    ndimage_mode,
    spline_order,
)
from lepton_celery.errors import InputError
from lepton_celery.limits import MAX_AXES

# ------------------------------------------------------------------------------------------------ resize


@dataclass(frozen=True)
class ResizeOptions(WarpOptions):
    """The parameters of `skimage.transform.resize` besides the image and its new shape."""

    mode: str = "reflect"
    anti_aliasing: bool | None = None
    anti_aliasing_sigma: Any = None


def resized(image: Lazy, output_shape: Sequence[float], options: ResizeOptions, build: Build) -> Lazy:
    """The node of `skimage.transform.resize`: the image converted, smoothed, interpolated and clipped."""
    image, shape = _with_axes(image, output_shape, build)
    smaller = any(n < m for n, m in zip(shape, image.shape, strict=True))
    anti_aliasing = options.anti_aliasing
    if anti_aliasing is None:
        anti_aliasing = smaller and image.dtype != bool and not (image.dtype.kind in "iu" and options.order == 0)
    if anti_aliasing and image.dtype == bool:
        raise InputError("anti_aliasing of a bool image; leave it out, or convert the image with .astype first")
    order, mode = spline_order(options.order, image.dtype), ndimage_mode(options.mode)
    source = as_float(image, options.preserve_range, build) if order else image
    factors = np.divide(image.shape, shape)
    # as SciPy rounds lengths that are not whole numbers
    lengths = tuple(round(n * (1 / factor)) for n, factor in zip(image.shape, factors, strict=True))
    if options.mode == "wrap":
        given = {**asdict(options), "order": order, "anti_aliasing": anti_aliasing}
        return build(
            "lepton.resize_whole",
            image=image,
            output_shape=tuple(shape),
            options=tuple(given.items()),
            lengths=lengths,
            dtype=source.dtype.name,
        )
    pixels = source
    if anti_aliasing:
        pixels = _smoothed(source, factors, options.anti_aliasing_sigma, mode, options.cval, build)
    if any(factor != 1 for factor in factors):
        pixels, pad = coefficients(pixels, order, mode, options.cval, build)
        how = {"order": order, "mode": mode, "cval": options.cval, "pad": pad, "dtype": source.dtype.name}
        pixels = build("lepton.zoom", image=pixels, shape=lengths, **how)
    if not options.clip or (order == 0 and not anti_aliasing and in_range(image.dtype)):
        return pixels
    return clipped(pixels, source, options.mode, options.cval, build)


def _with_axes(image: Lazy, output_shape: Sequence[float], build: Build) -> tuple[Lazy, list[float]]:
    """The image and the new shape with the same number of axes."""
    shape = list(output_shape)
    if len(shape) > MAX_AXES:
        raise InputError(f"output_shape has {len(shape):,} lengths; an image has at most {MAX_AXES} axes")
    if len(shape) > image.ndim:
        image = build("numpy.expand_dims", a=image, axis=tuple(range(image.ndim, len(shape))))
    elif len(shape) == image.ndim - 1:
        shape.append(image.shape[-1])
    if len(shape) != image.ndim or not all(n >= 1 for n in shape):
        raise InputError(f"output_shape {output_shape} for an image of shape {image.shape}; give a length per axis")
    return image, shape


def _smoothed(image: Lazy, factors: Array, sigma: Any, mode: str, cval: float, build: Build) -> Lazy:
    """The image after the anti-aliasing filter."""
    sigmas = np.maximum(0, (factors - 1) / 2) if sigma is None else np.atleast_1d(sigma) * np.ones_like(factors)
    if np.any(sigmas < 0):
        raise InputError(f"anti_aliasing_sigma {sigma} is below 0; give standard deviations in pixels")
    if not np.any(sigmas > 1e-15):  # SciPy skips axes with a smaller sigma
        return image
    return build("lepton.smooth", input=image, sigma=tuple(sigmas.tolist()), mode=mode, cval=cval)


@dataclass(frozen=True)
class Reshaped(Whole):
    """Every pixel may depend on all pixels, and `shape` gives the shape of the result."""

    shape: Callable[[Arguments], Shape]

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return self.shape(arguments)


@declare(
    whole(
        "lepton.resize_whole",
        Reshaped(lambda arguments: tuple(arguments["lengths"])),
        dtype=given_dtype,
        cost_ns=60.0,
    )
)
def resize_whole(image: Array, lengths: Shape, dtype: str, options: Any, output_shape: Any) -> Array:
    """`skimage.transform.resize` of the whole image."""
    from skimage.transform import resize

    result: Array = resize(image, output_shape, **dict(options))
    return result


@declare(Composite("transform.resize", gives="image", example={"output_shape": (9, 40)}))
def _expand_resize(arguments: Arguments, build: Build) -> Lazy:
    return resized(arguments["image"], arguments["output_shape"], ResizeOptions.of(arguments), build)


def channels_last(image: Lazy, channel_axis: Any, function: Callable[[Lazy], Lazy], build: Build) -> Lazy:
    """Apply a function to an image with its channels moved to the last axis, and move them back."""
    if channel_axis is None:
        return function(image)
    axis = int(channel_axis)
    result = function(build("numpy.moveaxis", a=image, source=axis, destination=-1))
    return build("numpy.moveaxis", a=result, source=-1, destination=axis)


@declare(Composite("transform.rescale", gives="image", example={"scale": 0.6}))
def _expand_rescale(arguments: Arguments, build: Build) -> Lazy:
    channel_axis, scale = arguments["channel_axis"], np.atleast_1d(arguments["scale"])
    spatial = arguments["image"].ndim - (channel_axis is not None)
    if len(scale) not in (1, spatial):
        raise InputError(f"scale {arguments['scale']} for an image of {spatial} axes; give one number, or one per axis")

    def rescaled(image: Lazy) -> Lazy:
        factors = np.append(scale, 1) if channel_axis is not None and len(scale) > 1 else scale
        shape = np.maximum(np.round(factors * np.asarray(image.shape)), 1)
        if channel_axis is not None:
            shape[-1] = image.shape[-1]
        return resized(image, shape.tolist(), ResizeOptions.of(arguments), build)

    return channels_last(arguments["image"], channel_axis, rescaled, build)


# ------------------------------------------------------------------------------------------------ local means


@declare(Composite("transform.downscale_local_mean", gives="image", example={"factors": 2}))
def _expand_downscale(arguments: Arguments, build: Build) -> Lazy:
    return boxes(arguments["image"], "factors", arguments["factors"], "mean", arguments["cval"], None, build)


def _local_mean_shape(arguments: Arguments) -> Shape:
    """The shape that `skimage.transform.resize_local_mean` returns."""
    image, wanted = arguments["image"], tuple(arguments["output_shape"])
    shape, channel_axis = list(image.shape), arguments["channel_axis"]
    if channel_axis is None:
        wanted = (*wanted, shape[-1]) if len(wanted) == len(shape) - 1 else wanted
        if len(wanted) != len(shape):
            raise InputError(f"output_shape {wanted} for an image of shape {image.shape}; give a length per axis")
        return tuple(int(n) for n in wanted)
    axis = channel_axis % len(shape)
    channels = shape.pop(axis)
    if len(wanted) == len(shape) + 1 and axis == len(shape) and wanted[-1] == channels:
        wanted = wanted[:-1]
    if len(wanted) != len(shape):
        raise InputError(
            f"output_shape {wanted} for an image of shape {image.shape} with channel_axis {channel_axis}; "
            "give a length per axis, without the channels"
        )
    return (*(int(n) for n in wanted[:axis]), channels, *(int(n) for n in wanted[axis:]))


ENTRIES = (
    whole(
        "transform.resize_local_mean",
        Reshaped(_local_mean_shape),
        dtype=lambda arguments: float_dtype(np.dtype(arguments["image"].dtype)),
        example={"output_shape": (9, 40)},
        cost_ns=60.0,
    ),
    Local(
        "lepton.smooth",
        source="scipy.ndimage.gaussian_filter",
        images=("input",),
        geometry=Stencil(
            lambda arguments: tuple(gaussian_radius(sigma) for sigma in arguments["sigma"]),
            "int(4 * sigma + 0.5) per axis",
        ),
        cost_ns=4.0,
        tap_ns=0.33,
    ),
)
