"""`skimage.filters`: ridges and vessels by the eigenvalues of the Hessian, at several scales.

What scikit-image divides by is a maximum over the whole image: it is found first, for each scale, and given to every block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, ValueFunction, resolve
from lepton_celery.catalogue.feature.corners import check_mode
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.halos import gaussian_radius, local
from lepton_celery.errors import InputError

_RADIUS = "max over sigma of 2 * int(t * sigma / sqrt(2) + 0.5), t = 8 for sigma > 1, else 100"
_EXAMPLE = {"sigmas": (1.5, 2)}  # the defaults reach 142 pixels


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


def _eigenvalues(image: Array, sigma: float, black_ridges: bool, mode: str, cval: float) -> Array:
    from skimage.feature import hessian_matrix, hessian_matrix_eigvals

    image = image.astype(image.dtype if image.dtype == np.float32 else np.float64, copy=False)
    image = image if black_ridges else -image
    elements = hessian_matrix(image, sigma, mode=mode, cval=cval, use_gaussian_derivatives=True)
    found: Array = hessian_matrix_eigvals(elements)
    return found


def neuriteness(image: Array, sigma: float, alpha: float | None, black_ridges: bool, mode: str, cval: float) -> Array:
    """What `skimage.filters.meijering` finds at one scale, before it divides by the greatest.

    Source: `skimage.filters.meijering`.
    """
    from scipy import linalg

    eigenvalues = _eigenvalues(image, sigma, black_ridges, mode, cval)
    shape = 1 / (image.ndim + 1) if alpha is None else alpha
    matrix = linalg.circulant([1, *[shape] * (image.ndim - 1)]).astype(eigenvalues.dtype)
    values = np.tensordot(matrix, eigenvalues, 1)
    values = np.take_along_axis(values, abs(values).argmax(0)[None], 0).squeeze(0)
    result: Array = np.maximum(values, 0)
    return result


def brightest(values: Array, best: Array | None, extent: Array) -> Array:
    """One scale, divided by its greatest in the whole image, where it is above the scales before."""
    scaled = values / extent[1] if extent[1] > 0 else values
    result: Array = np.maximum(np.zeros_like(scaled) if best is None else best, scaled)
    return result


def structure(image: Array, sigma: float, black_ridges: bool, mode: str, cval: float) -> Array:
    """The Hessian's norm, by half of whose maximum `skimage.filters.frangi` scales where no gamma is given."""
    eigenvalues = _eigenvalues(image, sigma, black_ridges, mode, cval)
    magnitudes = np.take_along_axis(eigenvalues, abs(eigenvalues).argsort(0), 0)
    result: Array = np.sqrt((magnitudes**2).sum(0))
    return result


def half_maximum(extent: Array) -> Any:
    """frangi's gamma; 1 where the image has no structure at all."""
    half = extent[1] / 2
    return half if half != 0 else 1


def vesselness(
    image: Array,
    method: str,
    sigmas: Sequence[float],
    alpha: float,
    beta: float,
    gamma: Any,
    black_ridges: bool,
    mode: str,
    cval: float,
) -> Array:
    """`skimage.filters.frangi` or `hessian`, with gamma from the whole image."""
    function = resolve(f"skimage.filters.{method}")
    options = {"black_ridges": black_ridges, "mode": mode, "cval": cval}
    return np.asarray(function(image, sigmas, alpha=alpha, beta=beta, gamma=gamma, **options))


def _expand_meijering(arguments: Arguments, build: Build) -> Any:
    image = arguments["image"]
    options = {name: arguments[name] for name in ("alpha", "black_ridges", "mode", "cval")}
    best = None
    for sigma in _sigmas(arguments):
        values = build("lepton.neuriteness", image=image, sigma=sigma, **options)
        best = build("lepton.brightest", values=values, best=best, extent=build("lepton.extent", image=values))
    return best


def _expand_vesselness(name: str) -> Callable[[Arguments, Build], Any]:
    def expand(arguments: Arguments, build: Build) -> Any:
        image, gamma, sigmas = arguments["image"], arguments["gamma"], _sigmas(arguments)
        edge = {name: arguments[name] for name in ("black_ridges", "mode", "cval")}
        if gamma is None:
            norm = build("lepton.structure", image=image, sigma=sigmas[0], **edge)
            gamma = build("lepton.half_maximum", extent=build("lepton.extent", image=norm))
        shape = {"alpha": arguments["alpha"], "beta": arguments["beta"], "gamma": gamma}
        return build("lepton.vesselness", image=image, method=name, sigmas=tuple(sigmas), **shape, **edge)

    return expand


def _check(arguments: Arguments) -> None:
    check_mode(arguments)
    if not _sigmas(arguments):
        raise InputError("sigmas is empty; give at least one scale, in pixels")


def _one_scale(name: str, function: Any) -> Local:
    return Local(
        name=f"lepton.{name}",
        source=f"lepton_celery.catalogue.filters.ridges.{name}",
        function=function,
        geometry=Stencil(lambda arguments: hessian_radius(arguments["sigma"]), _RADIUS),
        cost_ns=400.0,
    )


def entries() -> list[Entry]:
    """Ridge filters."""
    here = "lepton_celery.catalogue.filters.ridges"
    return [
        local("filters.sato", _halo, _RADIUS, ndims=(2, 3), check=_check, example=_EXAMPLE, cost_ns=2500.0),
        *[
            Composite(
                name=f"filters.{name}",
                source=f"skimage.filters.{name}",
                ndims=(2, 3),
                check=_check,
                example=_EXAMPLE,
                expand=_expand_vesselness(name),
                gives="image",
            )
            for name in ("frangi", "hessian")
        ],
        Composite(
            name="filters.meijering",
            source="skimage.filters.meijering",
            ndims=(2, 3),
            check=_check,
            example=_EXAMPLE,
            expand=_expand_meijering,
            gives="image",
        ),
        _one_scale("neuriteness", neuriteness),
        _one_scale("structure", structure),
        Local(
            name="lepton.brightest",
            source=f"{here}.brightest",
            images=("values", "best"),
            values=("extent",),
            function=brightest,
            cost_ns=4.0,
        ),
        ValueFunction(
            name="lepton.half_maximum",
            source=f"{here}.half_maximum",
            images=(),
            values=("extent",),
            function=half_maximum,
            result=lambda arguments: ((), arguments["extent"].dtype),
        ),
        Local(
            name="lepton.vesselness",
            source=f"{here}.vesselness",
            values=("gamma",),
            function=vesselness,
            geometry=Stencil(_halo, _RADIUS),
            cost_ns=3000.0,
        ),
    ]
