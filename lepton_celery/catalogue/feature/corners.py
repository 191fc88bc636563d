"""`skimage.feature`: derivatives of first and second order at each pixel, and how much of a corner they make it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Refused
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.axes import LeadingAxis, Shapes, integral
from lepton_celery.catalogue.shared.halos import gaussian_halo, gaussian_radius, local, per_axis
from lepton_celery.errors import InputError

_TENSOR = "int(4 * sigma + 0.5) + 1 per axis"


def tensor_halo(arguments: Arguments) -> tuple[int, ...]:
    """Reach of `structure_tensor`: a Sobel filter, then a gaussian."""
    return tuple(h + 1 for h in gaussian_halo(arguments))


def _derivative_halo(arguments: Arguments) -> tuple[int, ...]:
    """Two gaussian derivatives in turn, each of sigma / sqrt(2)."""
    sigmas = per_axis(arguments["sigma"], len(arguments["image"].shape), None, "sigma")
    truncate = 8 if all(s > 1 for s in sigmas) else 100  # as scikit-image has it
    return tuple(2 * gaussian_radius(s / math.sqrt(2), truncate) for s in sigmas)


def _box_halo(arguments: Arguments) -> int:
    """Reach of the box filters that stand for second derivatives, in pixels of the integral image."""
    return int(3 * arguments["sigma"]) + 2


def _elements(arguments: Arguments) -> int:
    ndim = len(arguments["image"].shape)
    return ndim * (ndim + 1) // 2


def check_mode(arguments: Arguments) -> None:
    """Only `wrap` on all axes is read from the opposite side; `grid-wrap` is another name of it."""
    mode = arguments.get("mode")
    if mode == "grid-wrap":
        raise InputError("mode='grid-wrap' is not supported here; use mode='wrap'")
    if not isinstance(mode, str | None) and any(str(one).endswith("wrap") for one in mode):
        raise InputError(f"mode={mode} wraps some axes, which is not supported here; use mode='wrap' for all axes")


def check_axes(arguments: Arguments) -> None:
    """scikit-image drops axes of one pixel here."""
    shape = tuple(arguments["image"].shape)
    if 1 in shape:
        raise InputError(f"an image of shape {shape} has an axis of one pixel; pick its one position first: image[0]")


def _check_tensor(arguments: Arguments) -> None:
    check_mode(arguments)
    check_axes(arguments)


def _eigenvalues(images: Shapes) -> int:
    return 2 if len(images) == 3 else len(images[0])


def _box_determinant(image: Array, sigma: float) -> Array:
    """Source: `skimage.feature.hessian_matrix_det`, from the integral image."""
    from skimage.feature._hessian_det_appx import _hessian_matrix_det

    return np.array(_hessian_matrix_det(image, sigma))


def _smooth(arguments: Arguments, build: Build) -> Any:
    """The float image, smoothed as `hessian_matrix` does."""
    scaled = build("util.img_as_float", image=arguments["image"])
    return build("filters.gaussian", image=scaled, **{name: arguments[name] for name in ("sigma", "mode", "cval")})


def _expand_hessian(arguments: Arguments, build: Build) -> Any:
    order, part = arguments["order"], arguments["part"]
    if arguments["use_gaussian_derivatives"]:
        given = {name: arguments[name] for name in ("image", "sigma", "mode", "cval")}
        return build("lepton.gaussian_hessian", **given, order=order, use_gaussian_derivatives=True, part=part)
    # differences are one-sided at the image's edge whatever the mode, so they are a part of their own
    smooth = _smooth(arguments, build)
    return build("lepton.hessian", image=smooth, sigma=0, order=order, use_gaussian_derivatives=False, part=part)


def _expand_shape_index(arguments: Arguments, build: Build) -> Any:
    return build("lepton.shape_index", image=_smooth(arguments, build), sigma=0)


def _expand_determinant(arguments: Arguments, build: Build) -> Any:
    image, sigma = arguments["image"], arguments["sigma"]
    if len(image.shape) == 2 and arguments["approximate"]:
        sums = integral(build("util.img_as_float", image=image), build)
        return build("lepton.box_determinant", image=sums, sigma=sigma)
    return build("lepton.hessian_determinant", image=image, sigma=sigma, approximate=False)


def _smooth_halo(arguments: Arguments) -> tuple[int, ...]:
    return tuple(h + 2 for h in gaussian_halo(arguments))


def entries() -> list[Entry]:
    """Derivatives and corner measures."""
    tensor = {"check": _check_tensor, "ndims": (2,), "tap_ns": 1.7}
    return [
        local(
            "feature.structure_tensor",
            tensor_halo,
            _TENSOR,
            returns=_elements,
            check=_check_tensor,
            ndims=(2, 3, 4, 5),
            cost_ns=120.0,
            tap_ns=1.7,
        ),
        local("feature.corner_harris", tensor_halo, _TENSOR, cost_ns=130.0, **tensor),
        local("feature.corner_shi_tomasi", tensor_halo, _TENSOR, cost_ns=130.0, **tensor),
        local("feature.corner_foerstner", tensor_halo, _TENSOR, returns=2, cost_ns=170.0, **tensor),
        local("feature.corner_kitchen_rosenfeld", 2, check=check_mode, ndims=(2,), cost_ns=330.0),
        local(
            "feature.corner_moravec",
            lambda arguments: 2 * int(arguments["window_size"]),
            "2 * window_size",
            ndims=(2,),
            cost_ns=90.0,
        ),
        local("feature.corner_fast", 3, check=check_axes, ndims=(2,), cost_ns=220.0),
        *[
            Local(
                name=f"feature.{name}",
                source=f"skimage.feature.{name}",
                images=(),
                sequences=(sequence,),
                dtype_kinds="f",
                geometry=LeadingAxis(_eigenvalues),
                cost_ns=cost,
            )
            for name, sequence, cost in (
                ("structure_tensor_eigenvalues", "A_elems", 5.0),
                ("hessian_matrix_eigvals", "H_elems", 5.0),
            )
        ],
        Local(
            name="lepton.gaussian_hessian",
            source="skimage.feature.hessian_matrix",
            returns=_elements,
            geometry=Stencil(_derivative_halo),
            cost_ns=60.0,
            tap_ns=3.0,
        ),
        Local(
            name="lepton.hessian",
            source="skimage.feature.hessian_matrix",
            returns=_elements,
            dtype_kinds="f",
            geometry=Stencil(lambda arguments: 2),
            cost_ns=15.0,
        ),
        Composite(
            name="feature.hessian_matrix",
            source="skimage.feature.hessian_matrix",
            returns=_elements,
            check=check_mode,
            expand=_expand_hessian,
            gives="image",
        ),
        Local(
            name="lepton.shape_index",
            source="skimage.feature.shape_index",
            dtype_kinds="f",
            geometry=Stencil(lambda arguments: 2),
            cost_ns=27.0,
        ),
        Composite(
            name="feature.shape_index",
            source="skimage.feature.shape_index",
            check=check_mode,
            ndims=(2,),
            expand=_expand_shape_index,
            gives="image",
        ),
        Local(
            name="lepton.box_determinant",
            source="lepton_celery.catalogue.feature.corners._box_determinant",
            dtype_kinds="f",
            geometry=Stencil(_box_halo),
            cost_ns=50.0,
        ),
        Local(
            name="lepton.hessian_determinant",
            source="skimage.feature.hessian_matrix_det",
            geometry=Stencil(_smooth_halo),
            cost_ns=250.0,
            tap_ns=0.33,
        ),
        Composite(
            name="feature.hessian_matrix_det",
            source="skimage.feature.hessian_matrix_det",
            expand=_expand_determinant,
            gives="image",
        ),
        *[
            Refused(name=f"feature.{name}", source=f"skimage.feature.{name}", images=(), reason=reason, instead=instead)
            for name, reason, instead in _REFUSED
        ],
    ]


_AT_POINTS = "it works around given points and returns figures for them, not an image"
_REFUSED = [
    ("corner_orientations", _AT_POINTS, "feature.corner_peaks for the points, then skimage on a crop around each"),
    ("corner_subpix", _AT_POINTS, "feature.corner_peaks for the points, then skimage on a crop around each"),
]
