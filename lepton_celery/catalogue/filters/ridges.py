"""`skimage.filters`: ridges and vessels, from the eigenvalues of the Hessian at several scales.

scikit-image normalizes by maxima over the whole image. These are computed first and passed to every block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, ValueFunction, resolve
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.results import value_like
from lepton_celery.catalogue.shared.halos import check_mode, gaussian_radius
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import InputError

_RADIUS = "max over sigma of 2 * int(t * sigma / sqrt(2) + 0.5), t = 8 for sigma > 1, else 100"


def hessian_radius(sigma: float) -> int:
    """Reach of `hessian_matrix(use_gaussian_derivatives=True)`: two Gaussian derivatives, one after the other."""
    return 2 * gaussian_radius(sigma / math.sqrt(2), 8 if sigma > 1 else 100)


def _sigmas(arguments: Arguments) -> list[float]:
    if arguments.get("scale_range") is not None and arguments.get("scale_step") is not None:
        raise InputError("scale_range and scale_step are gone from scikit-image; give sigmas")
    sigmas = [float(sigma) for sigma in np.atleast_1d(list(arguments["sigmas"]))]
    if not all(sigma > 0 for sigma in sigmas):
        raise InputError(f"sigmas={list(arguments['sigmas'])}; give scales above 0, in pixels")
    return sigmas


def _halo(arguments: Arguments) -> int:
    return max((hessian_radius(sigma) for sigma in _sigmas(arguments)), default=0)


_ONE_SCALE = Stencil(lambda arguments: hessian_radius(arguments["sigma"]), _RADIUS)


def _eigenvalues(image: Array, sigma: float, black_ridges: bool, mode: str, cval: float) -> Array:
    from skimage.feature import hessian_matrix, hessian_matrix_eigvals

    image = image.astype(image.dtype if image.dtype == np.float32 else np.float64, copy=False)
    image = image if black_ridges else -image
    elements = hessian_matrix(image, sigma, mode=mode, cval=cval, use_gaussian_derivatives=True)
    eigenvalues: Array = hessian_matrix_eigvals(elements)
    return eigenvalues


@declare(Local("lepton.neuriteness", geometry=_ONE_SCALE, cost_ns=400.0))
def neuriteness(image: Array, sigma: float, alpha: float | None, black_ridges: bool, mode: str, cval: float) -> Array:
    """The response of `skimage.filters.meijering` at one scale, before it is divided by its maximum."""
    from scipy import linalg

    eigenvalues = _eigenvalues(image, sigma, black_ridges, mode, cval)
    shape = 1 / (image.ndim + 1) if alpha is None else alpha
    matrix = linalg.circulant([1, *[shape] * (image.ndim - 1)]).astype(eigenvalues.dtype)
    values = np.tensordot(matrix, eigenvalues, 1)
    values = np.take_along_axis(values, abs(values).argmax(0)[None], 0).squeeze(0)
    result: Array = np.maximum(values, 0)
    return result


@declare(Local("lepton.brightest", images=("values", "best"), values=("extent",), cost_ns=4.0))
def brightest(values: Array, best: Array | None, extent: Extent) -> Array:
    """The pixelwise maximum of `best`, the result for earlier scales, and `values` divided by their whole-image maximum."""
    scaled = values / extent[1] if extent[1] > 0 else values
    result: Array = np.maximum(np.zeros_like(scaled) if best is None else best, scaled)
    return result


@declare(Local("lepton.structure", geometry=_ONE_SCALE, cost_ns=400.0))
def structure(image: Array, sigma: float, black_ridges: bool, mode: str, cval: float) -> Array:
    """The Hessian's norm; half its maximum is the default gamma of `skimage.filters.frangi`."""
    eigenvalues = _eigenvalues(image, sigma, black_ridges, mode, cval)
    magnitudes = np.take_along_axis(eigenvalues, abs(eigenvalues).argsort(0), 0)
    result: Array = np.sqrt((magnitudes**2).sum(0))
    return result


@declare(ValueFunction("lepton.half_maximum", values=("extent",), result=value_like("extent")))
def half_maximum(extent: Extent) -> Any:
    """The default gamma of `frangi`; 1 if the norm of the Hessian is 0 everywhere."""
    half = extent[1] / 2
    return half if half != 0 else 1


@declare(Local("lepton.vesselness", values=("gamma",), geometry=Stencil(_halo, _RADIUS), cost_ns=3000.0))
def vesselness(image: Array, method: str, sigmas: Sequence[float], gamma: Any, **options: Any) -> Array:
    """`skimage.filters.frangi` or `hessian`, with a gamma that was computed from the whole image or given."""
    return np.asarray(resolve(f"skimage.filters.{method}")(image, sigmas, gamma=gamma, **options))


def _check(arguments: Arguments) -> None:
    check_mode(arguments)
    if not _sigmas(arguments):
        raise InputError("sigmas is empty; give at least one scale, in pixels")


_COMMON: dict[str, Any] = {
    "ndims": (2, 3),
    "check": _check,
    "example": {"sigmas": (1.5, 2)},  # the default sigmas have a halo of 142 pixels
}


@declare(Composite("filters.meijering", gives="image", **_COMMON))
def _expand_meijering(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["image"]
    options = {name: arguments[name] for name in ("alpha", "black_ridges", "mode", "cval")}
    best: Lazy | None = None
    for sigma in _sigmas(arguments):
        values = build("lepton.neuriteness", image=image, sigma=sigma, **options)
        best = build("lepton.brightest", values=values, best=best, extent=build("lepton.extent", image=values))
    assert best is not None  # `_check` refuses an empty `sigmas`
    return best


def _expand_vesselness(name: str) -> Callable[[Arguments, Build], Lazy]:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        image, gamma, sigmas = arguments["image"], arguments["gamma"], _sigmas(arguments)
        edge = {name: arguments[name] for name in ("black_ridges", "mode", "cval")}
        if gamma is None:
            norm = build("lepton.structure", image=image, sigma=sigmas[0], **edge)
            gamma = build("lepton.half_maximum", extent=build("lepton.extent", image=norm))
        shape = {"alpha": arguments["alpha"], "beta": arguments["beta"], "gamma": gamma}
        return build("lepton.vesselness", image=image, method=name, sigmas=tuple(sigmas), **shape, **edge)

    return expand


ENTRIES: tuple[Entry, ...] = (
    Local("filters.sato", geometry=Stencil(_halo, _RADIUS), cost_ns=2500.0, **_COMMON),
    *(
        Composite(f"filters.{name}", expand=_expand_vesselness(name), gives="image", **_COMMON)
        for name in ("frangi", "hessian")
    ),
)
