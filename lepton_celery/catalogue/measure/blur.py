"""`skimage.measure.blur_effect`: how much the gradients of an image decrease when it is blurred."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local, ValueFunction
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.results import value_like
from lepton_celery.catalogue.shared.buffers import crop_sum
from lepton_celery.errors import InputError


@declare(
    Local(
        "lepton.blur_terms",
        images=("image", "blurred"),
        dtype_kinds="f",
        returns=2,
        geometry=Stencil(1),
        cost_ns=70.0,
    )
)
def blur_terms(image: Array, blurred: Array, axis: int) -> tuple[Array, Array]:
    """The absolute gradient of the image along an axis, and its excess over that of the blurred image."""
    from skimage.filters import sobel

    least = np.spacing(np.float64(1))
    sharp, blur = (np.maximum(least, np.abs(sobel(pixels, axis=axis))) for pixels in (image, blurred))
    return sharp, np.maximum(0, sharp - blur)


@declare(ValueFunction("lepton.blur_of_sums", values=("sharp", "steeper"), result=value_like("sharp")))
def blur_of_sums(sharp: Any, steeper: Any) -> Any:
    """The blur along an axis, from the sums of the two results of `blur_terms`."""
    return np.abs(sharp - steeper) / sharp


@declare(ValueFunction("lepton.greatest_blur", result=value_like("blur0")))
def greatest_blur(**blurs: Any) -> Any:
    """The greatest of the blurs along the axes."""
    return np.max(list(blurs.values()))


def _is_coloured(arguments: Arguments) -> bool:
    return arguments["channel_axis"] is not None


def _spatial_axes(arguments: Arguments) -> int:
    return len(arguments["image"].shape) - _is_coloured(arguments)


def _check(arguments: Arguments) -> None:
    if arguments["reduce_func"] not in (None, np.max):
        raise InputError("reduce_func other than numpy.max is not supported here; give None for the blur of each axis")
    if arguments["channel_axis"] not in (None, -1, len(arguments["image"].shape) - 1):
        raise InputError("scikit-image sums channels on another axis in another order; make them the last axis first")
    shape = list(arguments["image"].shape[: _spatial_axes(arguments)])
    if min(shape) <= 3:
        raise InputError(
            f"an image of {shape} pixels is too small to measure its blur; it needs more than 3 along each axis"
        )


@declare(
    Composite(
        "measure.blur_effect",
        check=_check,
        returns=lambda arguments: 0 if arguments["reduce_func"] else _spatial_axes(arguments),
        gives="",
    )
)
def _expand(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["image"]
    if _is_coloured(arguments):
        image = build("color.rgb2gray", rgb=image)
    image = build("util.img_as_float", image=image)
    axes = range(len(image.shape)) if arguments["reduce_func"] else [arguments["result_index"]]
    blurs = [_blur_along(image, axis, arguments["h_size"], build) for axis in axes]
    if not arguments["reduce_func"]:
        return blurs[0]
    return build("lepton.greatest_blur", **{f"blur{axis}": blur for axis, blur in enumerate(blurs)})


def _blur_along(image: Lazy, axis: int, size: int, build: Build) -> Lazy:
    blurred = build("ndimage.uniform_filter1d", input=image, size=size, axis=axis)
    terms = [build("lepton.blur_terms", image=image, blurred=blurred, axis=axis, result_index=n) for n in range(2)]
    crop = [(2, n - 1) for n in image.shape]
    sharp, steeper = (crop_sum(term, crop, str(term.dtype), build) for term in terms)
    return build("lepton.blur_of_sums", sharp=sharp, steeper=steeper)
