"""`skimage.restoration`: denoising, background subtraction and deconvolution."""

from __future__ import annotations

import math
from math import ceil
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shapes, Where
from lepton_celery.catalogue.declare import declare, whole
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.promise import IDENTICAL, Promise, approximate
from lepton_celery.catalogue.shared.halos import footprint_halo
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

# ------------------------------------------------------------------------------------------------ halos


def _spatial(radius: int, arguments: Arguments) -> tuple[int, ...]:
    """The halo `radius` on each spatial axis, and 0 along the channels."""
    ndim, channel = len(arguments["image"].shape), arguments["channel_axis"]
    return tuple(0 if channel is not None and axis == channel % ndim else radius for axis in range(ndim))


class AllChannels(Stencil):
    """A stencil over the spatial axes; each pixel depends on all channels of the pixels around it."""

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        (read,) = super().reads(region, images[:1], arguments)
        if arguments["channel_axis"] is None:
            return [read]
        start, stop, channel = list(read.start), list(read.stop), arguments["channel_axis"] % read.ndim
        start[channel], stop[channel] = 0, images[0][channel]
        return [Region(tuple(start), tuple(stop))]


def _ball_halo(arguments: Arguments) -> tuple[int, ...]:
    ndim = len(arguments["image"].shape)
    if arguments["kernel"] is not None:
        return footprint_halo(np.asarray(arguments["kernel"]), ndim)
    return (max(0, ceil(arguments["radius"])),) * ndim


def _patch_halo(arguments: Arguments) -> tuple[int, ...]:
    return _spatial(int(arguments["patch_distance"]) + int(arguments["patch_size"]) // 2, arguments)


def _window_halo(arguments: Arguments) -> tuple[int, ...]:
    window = arguments["win_size"]
    if window is None:  # scikit-image's default, three sigmas on each side
        window = max(5, 2 * ceil(3 * arguments["sigma_spatial"]) + 1)
    return _spatial(int(window) // 2, arguments)


def _iterations_halo(arguments: Arguments) -> tuple[int, ...]:
    return _spatial(int(arguments["max_num_iter"]), arguments)


# ------------------------------------------------------------------------------------------------ bilateral


@declare(
    Local(
        "lepton.denoise_bilateral",
        values=("extent",),
        geometry=AllChannels(_window_halo, "win_size // 2"),
        wants_where=True,
        cost_ns=10_000.0,
    ),
    whole("lepton.denoise_bilateral_whole", source="skimage.restoration.denoise_bilateral", cost_ns=10_000.0),
)
def bilateral(image: Array, extent: Extent | None = None, where: Where | None = None, **options: Any) -> Array:
    """Run `skimage.restoration.denoise_bilateral` on a block, with the weights of the whole image.

    scikit-image computes a table of weights from the least and the greatest pixel of its input. A strip of the whole image's
    least and greatest pixel, added beyond the halo, gives a block the same table.
    """
    from skimage.restoration import denoise_bilateral

    if where is None or extent is None:  # the whole image, or a few pixels to find the dtype
        extent = np.array([image.min(), image.max()])
    if extent[0] == extent[1]:
        if image.dtype.kind != "f":
            raise InputError(
                f"all pixels are {extent[0]}; denoise_bilateral returns such an image as {image.dtype}, and any other as "
                "floats: convert it to a float dtype first"
            )
        return image
    inner = None if where is None else _inner_side(where, options.get("channel_axis"))
    if inner is None:
        return np.asarray(denoise_bilateral(image, **options)).reshape(image.shape)
    axis, first = inner
    strip = np.empty([2 if other == axis else n for other, n in enumerate(image.shape)], image.dtype)
    np.moveaxis(strip, axis, -1)[...] = extent
    wide = np.concatenate([strip, image] if first else [image, strip], axis)
    result = np.moveaxis(np.asarray(denoise_bilateral(wide, **options)).reshape(wide.shape), axis, 0)
    return np.moveaxis(result[2:] if first else result[:-2], 0, axis)


def _inner_side(where: Where, channel_axis: int | None) -> tuple[int, bool] | None:
    """A side of the block that is not the image's edge, as its axis and whether it is the lower side; None without one."""
    ndim = where.region.ndim
    for axis in range(ndim):
        if channel_axis is not None and axis == channel_axis % ndim:
            continue
        if where.region.start[axis] > 0:
            return axis, True
        if where.region.stop[axis] < where.shape[axis]:
            return axis, False
    return None


def _check_no_short_axes(name: str) -> Any:
    def check(arguments: Arguments) -> None:
        shape = arguments["image"].shape
        if 1 in shape:
            raise InputError(f"{name} drops axes of length 1, and the image has shape {shape}; index them with 0 first")

    return check


@declare(
    Composite(
        "restoration.denoise_bilateral",
        dtype_kinds="buf",  # for negative integers, scikit-image reads outside its table of weights
        ndims=(1, 2),
        check=_check_no_short_axes("denoise_bilateral"),
        gives="image",
    )
)
def _expand_bilateral(arguments: Arguments, build: Build) -> Lazy:
    if not arguments["sigma_color"]:  # the default is the standard deviation, a sum in the order of all pixels
        return build("lepton.denoise_bilateral_whole", **arguments)
    return build("lepton.denoise_bilateral", extent=build("lepton.extent", image=arguments["image"]), **arguments)


# ------------------------------------------------------------------------------------------------ total variation


def _check_iterations(arguments: Arguments) -> None:
    if arguments["max_num_iter"] < 1:
        raise InputError(f"max_num_iter={arguments['max_num_iter']}; give at least 1")


@declare(Composite("restoration.denoise_tv_chambolle", check=_check_iterations, gives="image"))
def _expand_chambolle(arguments: Arguments, build: Build) -> Lazy:
    # if eps is above 0, the energy of all pixels decides when to stop
    name = "lepton.denoise_tv_chambolle" + ("" if arguments["eps"] <= 0 else "_whole")
    return build(name, **arguments)


# ------------------------------------------------------------------------------------------------ non-local means


def _check_patch(arguments: Arguments) -> None:
    _check_no_short_axes("denoise_nl_means")(arguments)
    if arguments["patch_size"] < 2 and not arguments["fast_mode"]:
        raise InputError("patches of one pixel leave denoise_nl_means without a result; give patch_size of at least 2")


def _patch_taps(ndim: int, arguments: Arguments) -> float:
    """Number of pixel differences: one per pixel of each patch in reach, or 8 per patch in fast mode, which reuses sums."""
    ndim -= arguments["channel_axis"] is not None
    shifts = float((2 * arguments["patch_distance"] + 1) ** ndim)
    return shifts * (8.0 if arguments["fast_mode"] else float(arguments["patch_size"] ** ndim))


def _patch_promise(arguments: Arguments) -> Promise:
    if not arguments["fast_mode"]:
        return IDENTICAL
    return approximate(
        "fast_mode=True computes distances of patches from running sums over the whole image, whose rounding depends on "
        "where they begin, and ignores patches beyond a cut-off; use fast_mode=False",
        bound=0.2,  # measured: 0.14 for images of a few pixels, 0.03 for larger ones
    )


# ------------------------------------------------------------------------------------------------ the whole image


def _blur(ndim: int) -> Array:
    """A point spread function for tests of deconvolution."""
    return np.full((3,) * ndim, 3.0**-ndim)


def _check_wiener(arguments: Arguments) -> None:
    if not arguments["is_real"] or np.iscomplexobj(arguments["psf"]) or np.iscomplexobj(arguments["reg"]):
        raise InputError("complex images, psf and reg are not supported here; give real ones, and is_real=True")


@declare(
    whole(
        "restoration.unwrap_phase",
        ndims=(1, 2, 3),
        needs_finite=True,
        promise=approximate(
            "scikit-image starts at random whatever rng is, so pixels of two calls may differ by multiples of two pi, and "
            "by nothing else",
            bound=1e-12,
            period=2 * math.pi,
        ),
        cost_ns=220.0,
    )
)
def unwrap_phase(image: Array, **options: Any) -> Array:
    """Run `skimage.restoration.unwrap_phase`, except with NaN or infinity, for which it would never end."""
    from skimage.restoration import unwrap_phase as unwrap

    if not np.isfinite(image).all():
        raise InputError("the phase has NaN or infinity, with which unwrap_phase never ends; fill them first")
    return np.asarray(unwrap(image, **options))


_CHAMBOLLE: dict[str, Any] = {"source": "skimage.restoration.denoise_tv_chambolle", "cost_ns": 1200.0}

ENTRIES = (
    Local(
        "restoration.rolling_ball",
        geometry=Stencil(_ball_halo, "ceil(radius), kernel // 2"),
        example={"radius": 3},
        cost_ns=1500.0,
    ),
    Local(
        "restoration.denoise_nl_means",
        geometry=AllChannels(_patch_halo, "patch_distance + patch_size // 2"),
        check=_check_patch,
        promise=_patch_promise,
        example={"patch_size": 3, "patch_distance": 2, "fast_mode": False},
        cost_ns=100.0,
        tap_ns=0.8,
        taps=_patch_taps,
    ),
    Local("lepton.denoise_tv_chambolle", geometry=Stencil(_iterations_halo, "max_num_iter"), **_CHAMBOLLE),
    whole("lepton.denoise_tv_chambolle_whole", **_CHAMBOLLE),
    whole(
        "restoration.denoise_tv_bregman",
        ndims=(2, 3),
        check=_check_no_short_axes("denoise_tv_bregman"),
        cost_ns=190.0,
    ),
    whole("restoration.richardson_lucy", example={"psf": _blur}, cost_ns=1200.0),
    whole("restoration.wiener", example={"psf": _blur, "balance": 0.1}, check=_check_wiener, cost_ns=14.0),
    whole("restoration.inpaint_biharmonic", images=("image", "mask"), samples={"mask": "mask"}, cost_ns=50.0),
)
