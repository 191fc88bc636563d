"""`skimage.transform`: images made larger and smaller, and pyramids of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local
from lepton_celery.catalogue.geometry import Stencil, Whole, one_block
from lepton_celery.catalogue.shared.halos import gaussian_radius, whole
from lepton_celery.catalogue.transform.interpolate import (
    as_float,
    clipped,
    coefficients,
    in_range,
    ndimage_mode,
    spline_order,
)
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

# ------------------------------------------------------------------------------------------------ resize


def resized(
    image: Any,
    output_shape: Sequence[float],
    build: Build,
    *,
    order: int | None = None,
    mode: str = "reflect",
    cval: float = 0,
    clip: bool = True,
    preserve_range: bool = False,
    anti_aliasing: bool | None = None,
    anti_aliasing_sigma: Any = None,
) -> Any:
    """The node that stands for `skimage.transform.resize`: the image converted, smoothed, interpolated and clipped."""
    shape = list(output_shape)
    if len(shape) > image.ndim:
        image = build("numpy.expand_dims", a=image, axis=tuple(range(image.ndim, len(shape))))
    elif len(shape) == image.ndim - 1:
        shape.append(image.shape[-1])
    if len(shape) != image.ndim or not all(n >= 1 for n in shape):
        raise InputError(f"output_shape {output_shape} for an image of shape {image.shape}; give a length per axis")
    smaller = any(n < m for n, m in zip(shape, image.shape, strict=True))
    if anti_aliasing is None:
        anti_aliasing = smaller and image.dtype != bool and not (image.dtype.kind in "iu" and order == 0)
    if anti_aliasing and image.dtype == bool:
        raise InputError("anti_aliasing of a bool image; leave it out, or convert the image with .astype first")
    order, ndi_mode = spline_order(order, image.dtype), ndimage_mode(mode)
    source = as_float(image, preserve_range, build) if order else image
    factors = np.divide(image.shape, shape)
    # as SciPy has it, for lengths that are not whole numbers
    lengths = tuple(round(n * (1 / factor)) for n, factor in zip(image.shape, factors, strict=True))
    if mode == "wrap":
        given = (order, mode, cval, clip, preserve_range, anti_aliasing, anti_aliasing_sigma)
        options = tuple(zip(_RESIZE, given, strict=True))
        return build(
            "lepton.resize_whole",
            image=image,
            output_shape=tuple(shape),
            options=options,
            lengths=lengths,
            dtype=source.dtype.name,
        )
    found = _smoothed(source, factors, anti_aliasing_sigma, ndi_mode, cval, build) if anti_aliasing else source
    if any(factor != 1 for factor in factors):
        found, pad = coefficients(found, order, ndi_mode, cval, build)
        how = {"order": order, "mode": ndi_mode, "cval": cval, "pad": pad, "dtype": source.dtype.name}
        found = build("lepton.zoom", image=found, shape=lengths, **how)
    if not clip or (order == 0 and not anti_aliasing and in_range(image.dtype)):
        return found
    return clipped(found, source, mode, cval, build)


def _smoothed(image: Any, factors: Array, sigma: Any, mode: str, cval: float, build: Build) -> Any:
    """What keeps an image that is made smaller from aliasing."""
    sigmas = np.maximum(0, (factors - 1) / 2) if sigma is None else np.atleast_1d(sigma) * np.ones_like(factors)
    if np.any(sigmas < 0):
        raise InputError(f"anti_aliasing_sigma {sigma} is below 0; give standard deviations in pixels")
    if not np.any(sigmas > 1e-15):  # SciPy leaves out axes with less
        return image
    return build("lepton.smooth", input=image, sigma=tuple(sigmas.tolist()), mode=mode, cval=cval)


def _smooth_halo(arguments: Arguments) -> tuple[int, ...]:
    return tuple(gaussian_radius(sigma) for sigma in arguments["sigma"])


@dataclass(frozen=True)
class Reshaped(Whole):
    """Every pixel may depend on all pixels, and the result has a shape of its own."""

    shape: Callable[[Arguments], tuple[int, ...]]

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return self.shape(arguments)


def _resize_whole(image: Array, lengths: Any, dtype: str, options: Any, output_shape: Any) -> Array:
    from skimage.transform import resize

    found: Array = resize(image, output_shape, **dict(options))
    return found


_RESIZE = ("order", "mode", "cval", "clip", "preserve_range", "anti_aliasing", "anti_aliasing_sigma")


def _options(arguments: Arguments, names: Sequence[str] = _RESIZE) -> dict[str, Any]:
    return {name: arguments[name] for name in names}


def _expand_resize(arguments: Arguments, build: Build) -> Any:
    return resized(arguments["image"], arguments["output_shape"], build, **_options(arguments))


def channels_last(image: Any, channel_axis: Any, function: Callable[[Any], Any], build: Build) -> Any:
    """What a function makes of the image with its channels, if it has any, on the last axis."""
    if channel_axis is None:
        return function(image)
    axis = int(channel_axis)
    found = function(build("numpy.moveaxis", a=image, source=axis, destination=-1))
    return build("numpy.moveaxis", a=found, source=-1, destination=axis)


def _expand_rescale(arguments: Arguments, build: Build) -> Any:
    channel_axis, scale = arguments["channel_axis"], np.atleast_1d(arguments["scale"])
    spatial = arguments["image"].ndim - (channel_axis is not None)
    if len(scale) not in (1, spatial):
        raise InputError(f"scale {arguments['scale']} for an image of {spatial} axes; give one number, or one per axis")

    def rescaled(image: Any) -> Any:
        factors = np.append(scale, 1) if channel_axis is not None and len(scale) > 1 else scale
        shape = np.maximum(np.round(factors * np.asarray(image.shape)), 1)
        if channel_axis is not None:
            shape[-1] = image.shape[-1]
        return resized(image, shape.tolist(), build, **_options(arguments))

    return channels_last(arguments["image"], channel_axis, rescaled, build)


# ------------------------------------------------------------------------------------------------ pyramids

_SMOOTH = ("mode", "cval", "channel_axis")
_LAYER = ("order", "mode", "cval")


def _smooth(image: Any, sigma: Any, arguments: Arguments, build: Build) -> Any:
    channel_axis = arguments["channel_axis"]
    sigma = sigma if channel_axis is None else (sigma,) * (image.ndim - 1)
    return build("filters.gaussian", image=image, sigma=sigma, preserve_range=True, **_options(arguments, _SMOOTH))


def _scaled_shape(shape: tuple[int, ...], scale: Callable[[int], float], arguments: Arguments) -> tuple[int, ...]:
    """Lengths scaled, and rounded up, but for the channels."""
    axis = arguments["channel_axis"]
    channels = None if axis is None else axis % len(shape)
    return tuple(n if at == channels else math.ceil(scale(n)) for at, n in enumerate(shape))


def _factor(arguments: Arguments, name: str) -> float:
    factor = float(arguments[name])
    if factor <= 1:
        raise InputError(f"{name} {arguments[name]}; give a number greater than 1")
    return factor


def _sigma(arguments: Arguments, factor: float) -> Any:
    return 2 * factor / 6.0 if arguments["sigma"] is None else arguments["sigma"]


def _layer(image: Any, shape: tuple[int, ...], arguments: Arguments, build: Build) -> Any:
    return resized(image, shape, build, anti_aliasing=False, **_options(arguments, _LAYER))


def _reduced(image: Any, arguments: Arguments, build: Build) -> Any:
    factor = _factor(arguments, "downscale")
    smooth = _smooth(image, _sigma(arguments, factor), arguments, build)
    return _layer(smooth, _scaled_shape(image.shape, lambda n: n / factor, arguments), arguments, build)


def _expand_reduce(arguments: Arguments, build: Build) -> Any:
    return _reduced(as_float(arguments["image"], arguments["preserve_range"], build), arguments, build)


def _expand_expand(arguments: Arguments, build: Build) -> Any:
    factor = _factor(arguments, "upscale")
    image = as_float(arguments["image"], arguments["preserve_range"], build)
    shape = _scaled_shape(image.shape, lambda n: arguments["upscale"] * n, arguments)
    return _smooth(_layer(image, shape, arguments, build), _sigma(arguments, factor), arguments, build)


def _gaussian_layers(arguments: Arguments) -> int:
    """Images of a gaussian pyramid: until one more would be no smaller, or `max_layer` are made."""
    factor = _factor(arguments, "downscale")
    shape, layers = arguments["image"].shape, 1
    while layers - 1 != arguments["max_layer"]:
        smaller = _scaled_shape(shape, lambda n: n / factor, arguments)
        if smaller == shape:
            break
        shape, layers = smaller, layers + 1
    return layers


def _expand_gaussian(arguments: Arguments, build: Build) -> Any:
    image = as_float(arguments["image"], arguments["preserve_range"], build)
    for _ in range(arguments["part"]):
        image = _reduced(image, arguments, build)
    return image


def _laplacian_layers(arguments: Arguments) -> int:
    factor = _factor(arguments, "downscale")
    if arguments["max_layer"] != -1:
        return max(0, int(arguments["max_layer"])) + 1
    axis, shape = arguments["channel_axis"], list(arguments["image"].shape)
    if axis is not None:
        shape.pop(axis)
    return math.ceil(math.log(max(shape), factor)) + 1


def _expand_laplacian(arguments: Arguments, build: Build) -> Any:
    factor = _factor(arguments, "downscale")
    sigma = _sigma(arguments, factor)
    image = as_float(arguments["image"], arguments["preserve_range"], build)
    smooth = _smooth(image, sigma, arguments, build)
    for _ in range(arguments["part"]):
        image = _layer(smooth, _scaled_shape(image.shape, lambda n: n / factor, arguments), arguments, build)
        smooth = _smooth(image, sigma, arguments, build)
    return build("numpy.subtract", x1=image, x2=smooth)


# ------------------------------------------------------------------------------------------------ local means


def _local_mean_shape(arguments: Arguments) -> tuple[int, ...]:
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


def _float_dtype(arguments: Arguments) -> np.dtype[Any]:
    dtype: np.dtype[Any] = arguments["image"].dtype
    return np.dtype(dtype) if np.dtype(dtype).kind == "f" else np.dtype(np.float64)


# ------------------------------------------------------------------------------------------------ boxes


@dataclass(frozen=True)
class Boxes:
    """A pixel of the result stands for a box of `arguments["block_size"]` pixels, boxes anchored at the image's origin."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return tuple(-(-n // size) for n, size in zip(images[0], arguments["block_size"], strict=True))

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        axes = zip(region.start, region.stop, arguments["block_size"], images[0], strict=True)
        return [Region(*zip(*((start * size, min(n, stop * size)) for start, stop, size, n in axes), strict=True))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


REDUCTIONS = ("mean", "max", "min", "sum", "median")
"""Functions of NumPy that a box of pixels may be reduced by."""


def reduce_boxes(
    image: Array, block_size: Sequence[int], func: str, cval: float, dtype: str | None, where: Where
) -> Array:
    """`skimage.measure.block_reduce` of boxes that begin at the image's first pixel.

    NumPy adds up in an order that it chooses by the layout of the array; with a single box along an axis that order is
    another. Where the whole image has more boxes than one, so has the array that is reduced here.
    """
    from skimage.measure import block_reduce

    counts = [-(-n // size) for n, size in zip(image.shape, block_size, strict=True)]
    missing = [
        (0, (2 if count == 1 and n > size else count) * size - m)
        for m, count, n, size in zip(image.shape, counts, where.shape, block_size, strict=True)
    ]
    if any(behind for _, behind in missing):
        image = np.pad(image, missing, mode="constant", constant_values=cval)
    options = {} if dtype is None else {"dtype": np.dtype(dtype)}
    found: Array = block_reduce(image, tuple(block_size), getattr(np, func), cval, options)
    return found[tuple(slice(count) for count in counts)]


def _reduced_dtype(arguments: Arguments) -> np.dtype[Any]:
    options = {} if arguments["dtype"] is None else {"dtype": np.dtype(arguments["dtype"])}
    one = np.ones((1, 1), arguments["image"].dtype)
    dtype: np.dtype[Any] = getattr(np, arguments["func"])(one, axis=(1,), **options).dtype
    return dtype


def _expand_block_reduce(arguments: Arguments, build: Build) -> Any:
    func, options = arguments["func"], dict(arguments["func_kwargs"] or {})
    name = func if isinstance(func, str) else getattr(func, "__name__", None)
    if name not in REDUCTIONS or (callable(func) and func is not getattr(np, name)):
        raise InputError(f"func {func!r}; give one of {', '.join(f'numpy.{known}' for known in REDUCTIONS)}")
    dtype = options.pop("dtype", None)
    if options or (dtype is not None and name not in ("mean", "sum")):
        raise InputError(
            f"func_kwargs {arguments['func_kwargs']!r} of numpy.{name}; only dtype of mean and sum is supported"
        )
    return _boxes(arguments["image"], "block_size", arguments["block_size"], name, arguments["cval"], dtype, build)


def _boxes(image: Any, name: str, sizes: Any, func: str, cval: float, dtype: Any, build: Build) -> Any:
    per_axis = list(sizes) if np.ndim(sizes) else [sizes] * image.ndim
    if len(per_axis) != image.ndim or not all(isinstance(n, int | np.integer) and n >= 1 for n in per_axis):
        raise InputError(
            f"{name} {sizes!r} for an image of shape {image.shape}; give a whole number of at least 1 per axis"
        )
    block_size = tuple(int(n) for n in per_axis)
    kept = None if dtype is None else np.dtype(dtype).name
    return build("lepton.reduce_boxes", image=image, block_size=block_size, func=func, cval=cval, dtype=kept)


def _expand_downscale(arguments: Arguments, build: Build) -> Any:
    return _boxes(arguments["image"], "factors", arguments["factors"], "mean", arguments["cval"], None, build)


# ------------------------------------------------------------------------------------------------ entries


def _composite(name: str, expand: Callable[[Arguments, Build], Any], **options: Any) -> Composite:
    options.setdefault("source", f"skimage.{name}")
    return Composite(name=name, expand=expand, gives="image", **options)


def entries() -> list[Entry]:
    """Other sizes."""
    here = "lepton_celery.catalogue.transform.resize"
    return [
        _composite("transform.resize", _expand_resize, example={"output_shape": (9, 40)}),
        _composite("transform.rescale", _expand_rescale, example={"scale": 0.6}),
        _composite("transform.pyramid_reduce", _expand_reduce),
        _composite("transform.pyramid_expand", _expand_expand),
        _composite("transform.pyramid_gaussian", _expand_gaussian, returns=_gaussian_layers),
        _composite("transform.pyramid_laplacian", _expand_laplacian, returns=_laplacian_layers),
        _composite("transform.downscale_local_mean", _expand_downscale, example={"factors": 2}),
        _composite("measure.block_reduce", _expand_block_reduce),
        whole(
            "transform.resize_local_mean",
            geometry=Reshaped(_local_mean_shape),
            dtype=_float_dtype,
            example={"output_shape": (9, 40)},
            cost_ns=60.0,
        ),
        Local(
            name="lepton.resize_whole",
            source=f"{here}._resize_whole",
            geometry=Reshaped(lambda arguments: tuple(arguments["lengths"])),
            own_stage=one_block,
            dtype=lambda arguments: np.dtype(arguments["dtype"]),
            cost_ns=60.0,
        ),
        Local(
            name="lepton.smooth",
            source="scipy.ndimage.gaussian_filter",
            images=("input",),
            geometry=Stencil(_smooth_halo, "int(4 * sigma + 0.5) per axis"),
            cost_ns=4.0,
            tap_ns=0.33,
        ),
        Local(
            name="lepton.reduce_boxes",
            source=f"{here}.reduce_boxes",
            geometry=Boxes(),
            wants_where=True,
            dtype=_reduced_dtype,
            cost_ns=60.0,
        ),
    ]
