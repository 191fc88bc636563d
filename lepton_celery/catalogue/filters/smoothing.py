"""`skimage.filters`: gaussians, differences of gaussians, unsharp masks and medians."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.filters.rank import DTYPES
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.promise import IDENTICAL, Promise, within
from lepton_celery.catalogue.shared.halos import GAUSSIAN, check_mode, gaussian_halo
from lepton_celery.errors import InputError
from lepton_celery.kernels import Kernel, trials
from lepton_celery.kernels.border import MODES, is_plain

# ------------------------------------------------------------------------------------------------ gaussians


def _difference_halo(arguments: Arguments) -> tuple[int, ...]:
    low, high = arguments["low_sigma"], arguments["high_sigma"]
    if high is None:  # scikit-image's default, the ratio that approximates the Laplacian best
        high = [1.6 * float(s) for s in np.atleast_1d(low)]
        high = high[0] if np.isscalar(low) else high
    return gaussian_halo({**arguments, "high_sigma": high}, "high_sigma")


def _check_gaussian(arguments: Arguments) -> None:
    check_mode(arguments)
    gaussian_halo(arguments)


def _covers_smoothing(arguments: Arguments, *sigmas: str) -> bool:
    """Whether the kernel covers the arguments: native floats or integers, one mode for all axes, no negative sigma."""
    image, mode = arguments["image"], arguments["mode"]
    given = [arguments[name] for name in sigmas if arguments[name] is not None]
    positive = all(bool(np.all(np.asarray(sigma) >= 0)) for sigma in given)
    return is_plain(image) and isinstance(mode, str) and mode in MODES and positive


def _smoothing_trials(example: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    defaults = {"cval": 0.3, "truncate": 4.0, "channel_axis": None, **example}
    modes = cycle(MODES)
    for image in (*trials.floats(), *trials.integers("uint8", "int16")):
        yield {"image": image, "mode": next(modes), **defaults}


_GAUSSIAN_KERNEL = Kernel(
    "lepton_celery.kernels.gaussian.gaussian",
    lambda arguments: _covers_smoothing(arguments, "sigma"),
    lambda: _smoothing_trials({"sigma": 2.2, "preserve_range": False}),
)
_DIFFERENCE_KERNEL = Kernel(
    "lepton_celery.kernels.gaussian.difference_of_gaussians",
    lambda arguments: _covers_smoothing(arguments, "low_sigma", "high_sigma"),
    lambda: _smoothing_trials({"low_sigma": 1.3, "high_sigma": None}),
)

# ------------------------------------------------------------------------------------------------ unsharp masks

_UNSHARP = Stencil(lambda arguments: gaussian_halo(arguments, "radius"))


@declare(Local("lepton.unsharp", geometry=_UNSHARP, cost_ns=8.0, tap_ns=0.33))
def unsharp(
    image: Array, bounds: tuple[float, float] | None, radius: Any, amount: float, channel_axis: int | None = None
) -> Array:
    """`skimage.filters.unsharp_mask` of a float image, clipped to `bounds`."""
    from skimage.filters import unsharp_mask

    result: Array = unsharp_mask(image, radius, amount, preserve_range=True, channel_axis=channel_axis)
    return result if bounds is None else np.clip(result, bounds[0], bounds[1], out=result)


@declare(Local("lepton.unsharp_clipped", values=("negative",), geometry=_UNSHARP, cost_ns=9.0, tap_ns=0.33))
def unsharp_clipped(image: Array, negative: bool, radius: Any, amount: float, channel_axis: int | None = None) -> Array:
    """`unsharp`, clipped to [-1, 1] if the whole image has a pixel below 0 (`negative`), and to [0, 1] otherwise."""
    return unsharp(image, (-1.0, 1.0) if negative else (0.0, 1.0), radius, amount, channel_axis)


def _check_unsharp(arguments: Arguments) -> None:
    axis = arguments["channel_axis"]
    if axis is not None and axis < 0:
        raise InputError(
            f"scikit-image leaves pixels unset for channel_axis={axis}; "
            f"count from the first axis: channel_axis={axis + len(arguments['image'].shape)}"
        )


@declare(Composite("filters.unsharp_mask", check=_check_unsharp, gives="image"))
def _expand_unsharp(arguments: Arguments, build: Build) -> Lazy:
    image, preserve = arguments["image"], arguments["preserve_range"]
    options = {name: arguments[name] for name in ("radius", "amount", "channel_axis")}
    if preserve:
        return build("lepton.unsharp", image=image, bounds=None, **options)
    scaled = build("util.img_as_float", image=image)
    scaled = scaled if image.dtype == np.float32 else build("numpy.astype", x=scaled, dtype="float64")
    if image.dtype.kind in "bu":
        return build("lepton.unsharp", image=scaled, bounds=[0.0, 1.0], **options)
    negative = build("lepton.any_negative", image=scaled)
    return build("lepton.unsharp_clipped", image=scaled, negative=negative, **options)


# ------------------------------------------------------------------------------------------------ medians


def _check_median(arguments: Arguments) -> None:
    check_mode(arguments)
    image = arguments["image"]
    if arguments["behavior"] == "rank" and image.dtype.name not in DTYPES:
        raise InputError(
            f"behavior='rank' for an image of {image.dtype}, which scikit-image scales by its maximum; "
            "convert it to uint8 or uint16 first, or use behavior='ndimage'"
        )


def _median_promise(arguments: Arguments) -> Promise:
    """Identical, except for 1-D float images, for which SciPy has an algorithm of its own."""
    image = arguments["image"]
    if len(image.shape) > 1 or image.dtype.kind != "f" or arguments["behavior"] == "rank":
        return IDENTICAL
    return within(1, "a zero may have the other sign, 0.0 or -0.0")


@declare(Composite("filters.median", check=_check_median, promise=_median_promise, gives="image"))
def _expand_median(arguments: Arguments, build: Build) -> Lazy:
    image, footprint = arguments["image"], arguments["footprint"]
    footprint = np.ones((3,) * len(image.shape), bool) if footprint is None else footprint
    if arguments["behavior"] == "rank":
        return build("filters.rank.median", image=image, footprint=footprint)
    edge = {"mode": arguments["mode"], "cval": arguments["cval"]}
    return build("ndimage.median_filter", input=image, footprint=footprint, **edge)


ENTRIES = (
    Local(
        "filters.gaussian",
        geometry=Stencil(gaussian_halo, GAUSSIAN),
        check=_check_gaussian,
        kernel=_GAUSSIAN_KERNEL,
        cost_ns=4.0,
        tap_ns=0.33,
    ),
    Local(
        "filters.difference_of_gaussians",
        geometry=Stencil(_difference_halo, "as gaussian, of high_sigma"),
        check=check_mode,
        example={"low_sigma": 1},
        kernel=_DIFFERENCE_KERNEL,
        cost_ns=9.0,
        tap_ns=0.6,
    ),
)
