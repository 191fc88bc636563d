"""`skimage.feature.blob_*`: local maxima of a filter response over the image and several scales, without overlaps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shapes, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local, ValueFunction
from lepton_celery.catalogue.feature.peaks import find_candidates
from lepton_celery.catalogue.results import ResultRule, ValueType, dtype_of, value_of
from lepton_celery.catalogue.shared.axes import TrailingAxis, integral
from lepton_celery.catalogue.shared.halos import gaussian_radius
from lepton_celery.catalogue.shared.smoothing import smoothed
from lepton_celery.catalogue.sizes import MOST
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

# ------------------------------------------------------------------------------------------------ responses


def _scales(images: Shapes, arguments: Arguments) -> int:
    return len(arguments["sigmas"])


def _gaussian_halo(arguments: Arguments) -> tuple[int, ...]:
    return tuple(gaussian_radius(widest) for widest in np.max(arguments["sigmas"], axis=0))


def _box_halo(arguments: Arguments) -> int:
    return int(3 * np.max(arguments["sigmas"])) + 2


class _Smoothed(TrailingAxis):
    """Responses from which the function has cut the halo already."""

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[..., region.start[-1] : region.stop[-1]]


_SMOOTHING: dict[str, Any] = {
    "dtype_kinds": "f",
    "wants_where": True,
    "wants_kernels": True,
    "dtype": dtype_of("image"),
}


@declare(Local("lepton.log_cube", geometry=_Smoothed(_scales, _gaussian_halo), cost_ns=780.0, **_SMOOTHING))
def log_cube(image: Array, sigmas: Array, where: Where, kernels: bool = False) -> Array:
    """The response of `skimage.feature.blob_log`, one per scale on a last axis, from `gaussian_laplace`."""
    responses = []
    for sigma in sigmas:
        of_axes = [[2 * (other == axis) for other in range(image.ndim)] for axis in range(image.ndim)]
        laplace, *more = (smoothed(image, sigma, orders, where, kernels) for orders in of_axes)
        for derivative in more:
            laplace = laplace + derivative
        responses.append(-laplace * np.mean(sigma) ** 2)
    return np.stack(responses, axis=-1)


@declare(
    Local(
        "lepton.dog_cube",
        geometry=_Smoothed(lambda images, arguments: _scales(images, arguments) - 1, _gaussian_halo),
        cost_ns=220.0,
        **_SMOOTHING,
    )
)
def dog_cube(image: Array, sigmas: Array, sigma_ratio: float, where: Where, kernels: bool = False) -> Array:
    """The response of `skimage.feature.blob_dog`, for one scale fewer than there are sigmas."""
    smooth = [smoothed(image, sigma, [0] * image.ndim, where, kernels) for sigma in sigmas]
    cube = np.stack([fine - coarse for fine, coarse in pairwise(smooth)], axis=-1)
    cube *= 1 / (sigma_ratio - 1)
    return cube


@declare(Local("lepton.doh_cube", dtype_kinds="f", geometry=TrailingAxis(_scales, _box_halo), cost_ns=20.0))
def doh_cube(image: Array, sigmas: Array, dtype: str) -> Array:
    """The response of `skimage.feature.blob_doh`, from the integral image."""
    from skimage.feature._hessian_det_appx import _hessian_matrix_det

    return np.stack([np.asarray(_hessian_matrix_det(image, s)).astype(dtype) for s in sigmas], axis=-1)


def _blobs_type(arguments: Arguments) -> ValueType:
    columns = arguments["coordinates"].shape[1] - 1 + (1 if arguments["scalar"] else arguments["sigmas"].shape[1])
    return (-1, columns), np.result_type(arguments["dtype"], arguments["sigmas"].dtype)


@declare(
    ValueFunction(
        "lepton.blobs",
        values=("coordinates",),
        result=_blobs_type,
    )
)
def blobs(coordinates: Array, sigmas: Array, overlap: float, scalar: bool, dtype: str) -> Array:
    """The rows that `skimage.feature.blob_*` returns for these peaks; of overlapping blobs, only the largest is kept."""
    from skimage.feature.blob import _prune_blobs

    if coordinates.size == 0:
        return np.empty((0, coordinates.shape[1] - 1 + (1 if scalar else sigmas.shape[1])))
    of_points = sigmas[coordinates[:, -1]]
    rows = np.hstack([coordinates.astype(dtype)[:, :-1], of_points[:, :1] if scalar else of_points])
    pruned: Array = _prune_blobs(rows, overlap, sigma_dim=1 if scalar else sigmas.shape[1])
    return pruned


# ------------------------------------------------------------------------------------------------ scales


def _float_name(image: Lazy) -> str:
    return "float32" if image.dtype == np.float32 else "float64"


def _is_scalar(arguments: Arguments) -> bool:
    return bool(np.isscalar(arguments["min_sigma"]) and np.isscalar(arguments["max_sigma"]))


def _extreme_sigmas(arguments: Arguments) -> tuple[Array, Array]:
    """The least and the greatest sigma per axis, in the image's float dtype."""
    image = arguments["image"]
    ndim, dtype = len(image.shape), _float_name(image)
    low, high = (
        np.full(ndim, s, dtype) if np.isscalar(s) else np.asarray(s, dtype)
        for s in (arguments["min_sigma"], arguments["max_sigma"])
    )
    if low.shape != (ndim,) or high.shape != (ndim,):
        raise InputError(
            f"min_sigma={arguments['min_sigma']} and max_sigma={arguments['max_sigma']} for an image of {ndim} axes; "
            "give one number, or one per axis"
        )
    return low, high


def _log_sigmas(arguments: Arguments) -> Array:
    low, high = _extreme_sigmas(arguments)
    if arguments["log_scale"]:
        return np.logspace(np.log10(low), np.log10(high), arguments["num_sigma"])
    return np.linspace(low, high, arguments["num_sigma"])


def _dog_sigmas(arguments: Arguments) -> Array:
    low, high = _extreme_sigmas(arguments)
    ratio = arguments["sigma_ratio"]
    if ratio <= 1:
        raise InputError(f"sigma_ratio={ratio}; give a ratio above 1")
    count = int(np.mean(np.log(high / low) / np.log(ratio) + 1))
    if count > MOST["num_sigma"]:
        raise InputError(f"sigma_ratio={ratio} makes {count:,} scales; at most {MOST['num_sigma']} are allowed")
    if count < 1:
        raise InputError(f"sigmas from {low} to {high} make no scale; give a max_sigma above min_sigma")
    return np.array([low * ratio**i for i in range(count + 1)])


def _doh_sigmas(arguments: Arguments) -> Array:
    low, high = arguments["min_sigma"], arguments["max_sigma"]
    if arguments["log_scale"]:
        return np.logspace(math.log(low, 10), math.log(high, 10), arguments["num_sigma"])
    return np.linspace(low, high, arguments["num_sigma"])


# ------------------------------------------------------------------------------------------------ composites


def _expand_blobs(
    cube: str, sigmas_of: Callable[[Arguments], Array], options: Callable[[Arguments], dict[str, Any]]
) -> Callable[[Arguments, Build], Lazy]:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        from skimage.feature.blob import _format_exclude_border

        image, sigmas, dtype = arguments["image"], sigmas_of(arguments), _float_name(arguments["image"])
        scaled = build("util.img_as_float", image=image)
        if cube == "lepton.doh_cube":
            scaled = integral(scaled, build)
        response = build(cube, image=scaled, sigmas=sigmas, **options(arguments))
        border = _format_exclude_border(len(image.shape), arguments.get("exclude_border", False))
        thresholds = arguments["threshold"], arguments["threshold_rel"]
        coordinates = build(
            "lepton.points",
            candidates=find_candidates(build, scaled, response, thresholds, border),
            shape=response.shape,
            num_peaks=math.inf,
            min_distance=1,
            p_norm=math.inf,
        )
        return build(
            "lepton.blobs",
            coordinates=coordinates,
            sigmas=sigmas.reshape(len(sigmas), -1),
            overlap=arguments["overlap"],
            scalar=_is_scalar(arguments),
            dtype="float64" if cube == "lepton.doh_cube" else dtype,
        )

    return expand


def _blobs_result(arguments: Arguments) -> ValueType:
    sigmas = _extreme_sigmas(arguments)[0]
    return (-1, len(sigmas) + (1 if _is_scalar(arguments) else len(sigmas))), sigmas.dtype


def _blob(
    name: str,
    sigmas: Callable[[Arguments], Array],
    options: Callable[[Arguments], dict[str, Any]],
    result: ResultRule = _blobs_result,
    ndims: tuple[int, ...] = (),
) -> Composite:
    expand = _expand_blobs(f"lepton.{name}_cube", sigmas, options)
    return Composite(f"feature.blob_{name}", ndims=ndims, expand=expand, result=result)


ENTRIES = (
    _blob("log", _log_sigmas, lambda arguments: {}),
    _blob("dog", _dog_sigmas, lambda arguments: {"sigma_ratio": arguments["sigma_ratio"]}),
    _blob(
        "doh",
        _doh_sigmas,
        lambda arguments: {"dtype": _float_name(arguments["image"])},
        value_of(np.float64, -1, 3),
        (2,),
    ),
)
