"""`skimage.feature`: structure tensors, Hessians and shape indices: derivatives of first and second order at each pixel."""

from __future__ import annotations

import math

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shapes
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.axes import LeadingAxis, integral
from lepton_celery.catalogue.shared.halos import check_mode, gaussian_halo, gaussian_radius, per_axis
from lepton_celery.errors import InputError

TENSOR = "int(4 * sigma + 0.5) + 1 per axis"
"""The halo of a structure tensor, in words."""


def tensor_halo(arguments: Arguments) -> tuple[int, ...]:
    """Reach of `structure_tensor`: a Sobel filter, then a gaussian."""
    return tuple(h + 1 for h in gaussian_halo(arguments))


def check_one_pixel_axes(arguments: Arguments) -> None:
    """Refuse images with an axis of one pixel, which scikit-image removes."""
    shape = tuple(arguments["image"].shape)
    if 1 in shape:
        raise InputError(f"an image of shape {shape} has an axis of one pixel; pick its one position first: image[0]")


def check_tensor(arguments: Arguments) -> None:
    """Refuse modes and images that a structure tensor cannot take."""
    check_mode(arguments)
    check_one_pixel_axes(arguments)


def _elements(arguments: Arguments) -> int:
    """The number of distinct elements of a symmetric matrix with one row per axis."""
    ndim = len(arguments["image"].shape)
    return ndim * (ndim + 1) // 2


def _eigenvalues(images: Shapes) -> int:
    return 2 if len(images) == 3 else len(images[0])


def _derivative_halo(arguments: Arguments) -> tuple[int, ...]:
    """Two gaussian derivatives in turn, each of sigma / sqrt(2)."""
    sigmas = per_axis(arguments["sigma"], len(arguments["image"].shape), None, "sigma")
    truncate = 8 if all(s > 1 for s in sigmas) else 100  # scikit-image's own choice
    return tuple(2 * gaussian_radius(s / math.sqrt(2), truncate) for s in sigmas)


def _box_halo(arguments: Arguments) -> int:
    """Reach of the box filters that approximate second derivatives, in pixels of the integral image."""
    return int(3 * arguments["sigma"]) + 2


def _smooth_halo(arguments: Arguments) -> tuple[int, ...]:
    return tuple(h + 2 for h in gaussian_halo(arguments))


@declare(Local("lepton.box_determinant", dtype_kinds="f", geometry=Stencil(_box_halo), cost_ns=50.0))
def box_determinant(image: Array, sigma: float) -> Array:
    """The approximation of `skimage.feature.hessian_matrix_det`, from the integral image."""
    from skimage.feature._hessian_det_appx import _hessian_matrix_det

    return np.array(_hessian_matrix_det(image, sigma))


def _smooth(arguments: Arguments, build: Build) -> Lazy:
    """The float image, smoothed as in `hessian_matrix`."""
    scaled = build("util.img_as_float", image=arguments["image"])
    return build("filters.gaussian", image=scaled, **{name: arguments[name] for name in ("sigma", "mode", "cval")})


@declare(Composite("feature.hessian_matrix", returns=_elements, check=check_mode, gives="image"))
def _expand_hessian(arguments: Arguments, build: Build) -> Lazy:
    order, index = arguments["order"], arguments["result_index"]
    if arguments["use_gaussian_derivatives"]:
        given = {name: arguments[name] for name in ("image", "sigma", "mode", "cval")}
        return build("lepton.gaussian_hessian", **given, order=order, use_gaussian_derivatives=True, result_index=index)
    # only the smoothing uses the mode (`np.gradient` is one-sided at the image's edge), so it is a node of its own
    smooth = _smooth(arguments, build)
    return build(
        "lepton.hessian", image=smooth, sigma=0, order=order, use_gaussian_derivatives=False, result_index=index
    )


@declare(Composite("feature.shape_index", check=check_mode, ndims=(2,), gives="image"))
def _expand_shape_index(arguments: Arguments, build: Build) -> Lazy:
    return build("lepton.shape_index", image=_smooth(arguments, build), sigma=0)


@declare(Composite("feature.hessian_matrix_det", gives="image"))
def _expand_determinant(arguments: Arguments, build: Build) -> Lazy:
    image, sigma = arguments["image"], arguments["sigma"]
    if len(image.shape) == 2 and arguments["approximate"]:
        sums = integral(build("util.img_as_float", image=image), build)
        return build("lepton.box_determinant", image=sums, sigma=sigma)
    return build("lepton.hessian_determinant", image=image, sigma=sigma, approximate=False)


ENTRIES: tuple[Entry, ...] = (
    Local(
        "feature.structure_tensor",
        geometry=Stencil(tensor_halo, TENSOR),
        returns=_elements,
        check=check_tensor,
        ndims=(2, 3, 4, 5),
        cost_ns=120.0,
        tap_ns=1.7,
    ),
    *(
        Local(
            f"feature.{name}",
            images=(),
            sequences=(sequence,),
            dtype_kinds="f",
            geometry=LeadingAxis(_eigenvalues),
            cost_ns=5.0,
        )
        for name, sequence in (("structure_tensor_eigenvalues", "A_elems"), ("hessian_matrix_eigvals", "H_elems"))
    ),
    Local(
        "lepton.gaussian_hessian",
        source="skimage.feature.hessian_matrix",
        returns=_elements,
        geometry=Stencil(_derivative_halo),
        cost_ns=60.0,
        tap_ns=3.0,
    ),
    Local(
        "lepton.hessian",
        source="skimage.feature.hessian_matrix",
        returns=_elements,
        dtype_kinds="f",
        geometry=Stencil(2),
        cost_ns=15.0,
    ),
    Local(
        "lepton.shape_index",
        source="skimage.feature.shape_index",
        dtype_kinds="f",
        geometry=Stencil(2),
        cost_ns=27.0,
    ),
    Local(
        "lepton.hessian_determinant",
        source="skimage.feature.hessian_matrix_det",
        geometry=Stencil(_smooth_halo),
        cost_ns=250.0,
        tap_ns=0.33,
    ),
)
