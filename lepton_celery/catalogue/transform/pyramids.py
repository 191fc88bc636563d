"""`skimage.transform.pyramid_*`: images smoothed and made smaller or larger, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from lepton_celery.catalogue.arrays import Arguments, Lazy, Shape
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite
from lepton_celery.catalogue.sizes import MOST
from lepton_celery.catalogue.transform.interpolate import as_float
from lepton_celery.catalogue.transform.resize import ResizeOptions, resized
from lepton_celery.errors import InputError


def _smooth(image: Lazy, sigma: Any, arguments: Arguments, build: Build) -> Lazy:
    sigma = sigma if arguments["channel_axis"] is None else (sigma,) * (image.ndim - 1)
    options = {name: arguments[name] for name in ("mode", "cval", "channel_axis")}
    return build("filters.gaussian", image=image, sigma=sigma, preserve_range=True, **options)


def _scaled_shape(shape: Shape, scale: Callable[[int], float], arguments: Arguments) -> Shape:
    """Lengths scaled and rounded up, except along the channels."""
    axis = arguments["channel_axis"]
    channels = None if axis is None else axis % len(shape)
    return tuple(n if other == channels else math.ceil(scale(n)) for other, n in enumerate(shape))


def _factor(arguments: Arguments, name: str) -> float:
    factor = float(arguments[name])
    if factor <= 1:
        raise InputError(f"{name} {arguments[name]}; give a number greater than 1")
    return factor


def _sigma(arguments: Arguments, factor: float) -> Any:
    return 2 * factor / 6.0 if arguments["sigma"] is None else arguments["sigma"]


def _float_image(arguments: Arguments, build: Build) -> Lazy:
    return as_float(arguments["image"], arguments["preserve_range"], build)


def _layer(image: Lazy, shape: Sequence[int], arguments: Arguments, build: Build) -> Lazy:
    options = ResizeOptions(arguments["order"], arguments["mode"], arguments["cval"], anti_aliasing=False)
    return resized(image, shape, options, build)


def _reduced(image: Lazy, arguments: Arguments, build: Build) -> Lazy:
    factor = _factor(arguments, "downscale")
    smooth = _smooth(image, _sigma(arguments, factor), arguments, build)
    return _layer(smooth, _scaled_shape(image.shape, lambda n: n / factor, arguments), arguments, build)


@declare(Composite("transform.pyramid_reduce", gives="image"))
def _expand_reduce(arguments: Arguments, build: Build) -> Lazy:
    return _reduced(_float_image(arguments, build), arguments, build)


@declare(Composite("transform.pyramid_expand", gives="image"))
def _expand_expand(arguments: Arguments, build: Build) -> Lazy:
    factor = _factor(arguments, "upscale")
    image = _float_image(arguments, build)
    shape = _scaled_shape(image.shape, lambda n: arguments["upscale"] * n, arguments)
    return _smooth(_layer(image, shape, arguments, build), _sigma(arguments, factor), arguments, build)


def _gaussian_layers(arguments: Arguments) -> int:
    """The number of images of a gaussian pyramid: `max_layer` reductions at most, as long as the image gets smaller."""
    factor = _factor(arguments, "downscale")
    shape, layers = arguments["image"].shape, 1
    while layers - 1 != arguments["max_layer"]:
        smaller = _scaled_shape(shape, lambda n: n / factor, arguments)
        if smaller == shape:
            break
        shape, layers = smaller, layers + 1
    return layers


@declare(Composite("transform.pyramid_gaussian", returns=_gaussian_layers, gives="image"))
def _expand_gaussian(arguments: Arguments, build: Build) -> Lazy:
    image = _float_image(arguments, build)
    for _ in range(arguments["result_index"]):
        image = _reduced(image, arguments, build)
    return image


def _laplacian_layers(arguments: Arguments) -> int:
    factor = _factor(arguments, "downscale")
    if arguments["max_layer"] != -1:
        return max(0, int(arguments["max_layer"])) + 1
    axis, shape = arguments["channel_axis"], list(arguments["image"].shape)
    if axis is not None:
        shape.pop(axis)
    layers = math.ceil(math.log(max(shape), factor)) + 1
    if layers > MOST["max_layer"] + 1:
        raise InputError(f"downscale {factor} makes {layers:,} layers; give max_layer, at most {MOST['max_layer']}")
    return layers


@declare(Composite("transform.pyramid_laplacian", returns=_laplacian_layers, gives="image"))
def _expand_laplacian(arguments: Arguments, build: Build) -> Lazy:
    factor = _factor(arguments, "downscale")
    sigma = _sigma(arguments, factor)
    image = _float_image(arguments, build)
    smooth = _smooth(image, sigma, arguments, build)
    for _ in range(arguments["result_index"]):
        image = _layer(smooth, _scaled_shape(image.shape, lambda n: n / factor, arguments), arguments, build)
        smooth = _smooth(image, sigma, arguments, build)
    return build("numpy.subtract", x1=image, x2=smooth)
