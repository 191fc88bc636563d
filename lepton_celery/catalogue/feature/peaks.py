"""`skimage.feature`: peaks, corners and blobs. Lists of points, in scikit-image's order.

A block finds its candidates: pixels that are the greatest around, with their values. What follows looks at all of them,
as it does in scikit-image: order by value, spacing, pruning. So points are whole-image values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Reduction, ValueFunction
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.axes import Shapes, TrailingAxis, integral
from lepton_celery.catalogue.shared.halos import footprint_halo, gaussian_radius
from lepton_celery.catalogue.shared.values import merge_extent
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

# ------------------------------------------------------------------------------------------------ candidates


def is_peak(image: Array, size: int, footprint: Array | None) -> Array:
    """Whether each pixel is the greatest under the footprint, by default a cube of `size` pixels."""
    from scipy.ndimage import maximum_filter

    under = np.ones((size,) * image.ndim, bool) if footprint is None else footprint
    if under.size == 1:
        return np.ones(image.shape, bool)
    found: Array = image == maximum_filter(image, footprint=under, mode="nearest")
    return found


def _peak_halo(arguments: Arguments) -> tuple[int, ...]:
    ndim = len(arguments["image"].shape)
    if arguments["footprint"] is None:
        return (arguments["size"] // 2,) * ndim
    return footprint_halo(arguments["footprint"], ndim)


def candidates_partial(
    response: Array,
    mask: Array,
    extent: Array | None,
    threshold_abs: Any,
    threshold_rel: Any,
    border: Sequence[int],
    where: Where,
) -> Partial:
    """Positions and values of this block's peaks, and whether it has a pixel that is none.

    `response` has the image's axes, cut to the block, and may have further ones behind them.
    """
    if response.dtype.kind == "f" and np.isnan(response).any():
        raise InputError("the image has NaN, of which no peak can be told; fill it first, with numpy.nan_to_num")
    more = response.shape[len(where.shape) :]
    start, shape = (*where.region.start, *(0 for _ in more)), (*where.shape, *more)
    low, high = (None, None) if extent is None else extent
    # on literals and pixels as they are: the comparison is done in the dtype that NumPy finds for both
    threshold = low if threshold_abs is None else threshold_abs
    if threshold_rel is not None:
        threshold = max(threshold, threshold_rel * high)
    position = [p + s for p, s in zip(np.nonzero(mask & (response > threshold)), start, strict=True)]
    inside = np.ones(position[0].size, bool)
    for p, width, n in zip(position, border, shape, strict=True):
        inside &= (p >= width) & (p < n - width)
    position = [p[inside] for p in position]
    local = tuple(p - s for p, s in zip(position, start, strict=True))
    return {
        "at": np.ravel_multi_index(position, shape).astype(np.int64),
        "value": response[local],
        "other": np.array([not mask.all()]),
    }


def merge_candidates(partials: Partials, arguments: Arguments, grid: BlockGrid) -> dict[str, Array]:
    """All candidates, in raster order; none of an image whose every pixel is the greatest around."""
    parts = [partial for _, partial in partials]
    at = np.concatenate([part["at"] for part in parts])
    value = np.concatenate([part["value"] for part in parts])
    if not arguments["lone"] and not any(part["other"][0] for part in parts):
        at, value = at[:0], value[:0]
    order = np.argsort(at)
    return {"at": at[order], "value": value[order]}


def _candidates(
    build: Build,
    image: Any,
    response: Any,
    threshold_abs: Any,
    threshold_rel: Any,
    border: Sequence[int],
    size: int = 3,
    footprint: Array | None = None,
) -> Any:
    """The node of the peaks of `response`, whose blocks are those of `image`."""
    extent = None
    if threshold_abs is None or threshold_rel is not None:
        extent = build("lepton.response_extent", image=image, response=response)
    # a footprint of one pixel makes every pixel a peak, and so does an image of one
    lone = (size if footprint is None else footprint.size) == 1 or math.prod(response.shape) == 1
    return build(
        "lepton.candidates",
        image=image,
        response=response,
        mask=build("lepton.is_peak", image=response, size=size, footprint=footprint),
        extent=extent,
        threshold_abs=threshold_abs,
        threshold_rel=threshold_rel,
        border=[int(width) for width in border],
        lone=lone,
    )


# ------------------------------------------------------------------------------------------------ peaks


def points(found: dict[str, Array], shape: Sequence[int], num_peaks: float, min_distance: Any, p_norm: float) -> Array:
    """Source: `skimage.feature.peak_local_max`, its last step: order by value, then spacing."""
    from skimage._shared.coord import ensure_spacing

    order = np.argsort(-found["value"], kind="stable")
    coordinates: Array = np.transpose(np.unravel_index(found["at"][order], tuple(shape)))
    if min_distance > 1:
        most = int(num_peaks) if np.isfinite(num_peaks) else None
        coordinates = ensure_spacing(coordinates, spacing=min_distance, p_norm=p_norm, max_out=most)
    return coordinates[: int(num_peaks)] if len(coordinates) > num_peaks else coordinates


def spaced_corners(coordinates: Array, min_distance: Any, num_peaks: float, p_norm: float) -> Array:
    """Source: `skimage.feature.corner_peaks`, its last step: no corner near one that comes before it."""
    from scipy.spatial import cKDTree

    if len(coordinates):
        tree = cKDTree(coordinates)
        rejected: set[int] = set()
        for index, point in enumerate(coordinates):
            if index not in rejected:
                rejected.update(set(tree.query_ball_point(point, r=min_distance, p=p_norm)) - {index})
        coordinates = np.delete(coordinates, tuple(rejected), axis=0)[: None if np.isinf(num_peaks) else num_peaks]
    return coordinates


def _check_peaks(arguments: Arguments) -> None:
    if arguments["labels"] is not None:
        raise InputError(
            "peaks of each labelled object are not supported here; use labels=None and pick points by their label"
        )
    distance = arguments["min_distance"]
    if not isinstance(distance, int | np.integer) or distance < 0:
        raise InputError(f"min_distance={distance!r}; give a whole number of pixels, 0 or more")


def _expand_peaks(arguments: Arguments, build: Build) -> Any:
    from skimage.feature.peak import _get_excluded_border_width

    image, distance, footprint = arguments["image"], int(arguments["min_distance"]), arguments["footprint"]
    border = _get_excluded_border_width(image, distance, arguments["exclude_border"])
    found = _candidates(
        build,
        image,
        image,
        arguments["threshold_abs"],
        arguments["threshold_rel"],
        border,
        2 * distance + 1,
        None if footprint is None else np.asarray(footprint),
    )
    given = {name: arguments[name] for name in ("num_peaks", "p_norm")}
    return build("lepton.points", found=found, shape=image.shape, min_distance=distance, **given)


def _check_corners(arguments: Arguments) -> None:
    _check_peaks(arguments)
    if not arguments["indices"]:
        raise InputError("corner_peaks with indices=False is not supported here; use the coordinates")


def _expand_corners(arguments: Arguments, build: Build) -> Any:
    names = ("image", "min_distance", "threshold_abs", "threshold_rel", "exclude_border", "footprint")
    peaks = build("feature.peak_local_max", **{name: arguments[name] for name in names})
    given = {name: arguments[name] for name in ("min_distance", "num_peaks", "p_norm")}
    return build("lepton.spaced_corners", coordinates=peaks, **given)


# ------------------------------------------------------------------------------------------------ blobs


def _log_cube(image: Array, sigmas: Array) -> Array:
    """Source: `skimage.feature.blob_log`: how much of a blob there is at each pixel, for each scale."""
    from scipy.ndimage import gaussian_laplace

    return np.stack([-gaussian_laplace(image, s) * np.mean(s) ** 2 for s in sigmas], axis=-1)


def _dog_cube(image: Array, sigmas: Array, sigma_ratio: float) -> Array:
    """Source: `skimage.feature.blob_dog`, likewise; one scale fewer than sigmas."""
    from skimage.filters import gaussian

    smooth = [gaussian(image, sigma=s, mode="reflect") for s in sigmas]
    cube = np.stack([fine - coarse for fine, coarse in pairwise(smooth)], axis=-1)
    cube *= 1 / (sigma_ratio - 1)
    return cube


def _doh_cube(image: Array, sigmas: Array, dtype: str) -> Array:
    """Source: `skimage.feature.blob_doh`, likewise, from the integral image."""
    from skimage.feature._hessian_det_appx import _hessian_matrix_det

    return np.stack([np.asarray(_hessian_matrix_det(image, s)).astype(dtype) for s in sigmas], axis=-1)


def _gaussian_reach(arguments: Arguments) -> tuple[int, ...]:
    return tuple(gaussian_radius(widest) for widest in np.max(arguments["sigmas"], axis=0))


def _box_reach(arguments: Arguments) -> int:
    return int(3 * np.max(arguments["sigmas"])) + 2


def blobs(coordinates: Array, sigmas: Array, overlap: float, scalar: bool, dtype: str) -> Array:
    """Source: `skimage.feature.blob_log` and its likes, their last step: of blobs that overlap, the largest."""
    from skimage.feature.blob import _prune_blobs

    if coordinates.size == 0:
        return np.empty((0, coordinates.shape[1] - 1 + (1 if scalar else sigmas.shape[1])))
    found = sigmas[coordinates[:, -1]]
    rows = np.hstack([coordinates.astype(dtype)[:, :-1], found[:, :1] if scalar else found])
    pruned: Array = _prune_blobs(rows, overlap, sigma_dim=1 if scalar else sigmas.shape[1])
    return pruned


def _float_name(image: Any) -> str:
    return "float32" if image.dtype == np.float32 else "float64"


def _is_scalar(arguments: Arguments) -> bool:
    return bool(np.isscalar(arguments["min_sigma"]) and np.isscalar(arguments["max_sigma"]))


def _extremes(arguments: Arguments) -> tuple[Array, Array]:
    """The least and the greatest sigma per axis, in the image's float dtype."""
    image = arguments["image"]
    ndim, dtype = len(image.shape), _float_name(image)
    low, high = (
        np.full(ndim, s, dtype) if np.isscalar(s) else np.asarray(s, dtype)
        for s in (arguments["min_sigma"], arguments["max_sigma"])
    )
    if low.shape != (ndim,) or high.shape != (ndim,):
        raise InputError(f"min_sigma and max_sigma want one number, or one for each of the {ndim} axes")
    return low, high


def _log_sigmas(arguments: Arguments) -> Array:
    low, high = _extremes(arguments)
    if arguments["log_scale"]:
        return np.logspace(np.log10(low), np.log10(high), arguments["num_sigma"])
    return np.linspace(low, high, arguments["num_sigma"])


def _dog_sigmas(arguments: Arguments) -> Array:
    low, high = _extremes(arguments)
    ratio = arguments["sigma_ratio"]
    if ratio <= 1:
        raise InputError(f"sigma_ratio={ratio}; give a ratio above 1")
    count = int(np.mean(np.log(high / low) / np.log(ratio) + 1))
    if count < 1:
        raise InputError(f"sigmas from {low} to {high} make no scale; give a max_sigma above min_sigma")
    return np.array([low * ratio**i for i in range(count + 1)])


def _doh_sigmas(arguments: Arguments) -> Array:
    low, high = arguments["min_sigma"], arguments["max_sigma"]
    if arguments["log_scale"]:
        return np.logspace(math.log(low, 10), math.log(high, 10), arguments["num_sigma"])
    return np.linspace(low, high, arguments["num_sigma"])


def _expand_blobs(
    cube: str, sigmas_of: Callable[[Arguments], Array], options: Callable[[Arguments], dict[str, Any]]
) -> Callable[[Arguments, Build], Any]:
    def expand(arguments: Arguments, build: Build) -> Any:
        from skimage.feature.blob import _format_exclude_border

        image, sigmas, dtype = arguments["image"], sigmas_of(arguments), _float_name(arguments["image"])
        scaled = build("util.img_as_float", image=image)
        if cube == "lepton.doh_cube":
            scaled = integral(scaled, build)
        response = build(cube, image=scaled, sigmas=sigmas, **options(arguments))
        border = _format_exclude_border(len(image.shape), arguments.get("exclude_border", False))
        thresholds = arguments["threshold"], arguments["threshold_rel"]
        found = _candidates(build, scaled, response, *thresholds, border)
        coordinates = build(
            "lepton.points", found=found, shape=response.shape, num_peaks=math.inf, min_distance=1, p_norm=math.inf
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


def _blobs_result(arguments: Arguments) -> tuple[tuple[int, ...], np.dtype[Any]]:
    sigmas = _extremes(arguments)[0]
    return (-1, len(sigmas) + (1 if _is_scalar(arguments) else len(sigmas))), sigmas.dtype


def _scales(images: Shapes, arguments: Arguments) -> int:
    return len(arguments["sigmas"])


# ------------------------------------------------------------------------------------------------ entries


def _extent_partial(response: Array) -> Partial:
    return {"extent": np.array([response.min(), response.max()], dtype=response.dtype)}


def _coordinates(arguments: Arguments) -> tuple[tuple[int, ...], np.dtype[Any]]:
    return (-1, len(arguments["image"].shape)), np.dtype(np.int64)


def _any_rows(columns: Callable[[Arguments], int], dtype: Any) -> Any:
    return lambda arguments: ((-1, columns(arguments)), np.dtype(dtype))


_THREE = _any_rows(lambda arguments: 3, np.float64)


def entries() -> list[Entry]:
    """Peaks, corners and blobs."""
    here = "lepton_celery.catalogue.feature.peaks"
    return [
        Local(
            name="lepton.is_peak",
            source=f"{here}.is_peak",
            geometry=Stencil(_peak_halo),
            cost_ns=50.0,
        ),
        Reduction(
            name="lepton.response_extent",
            source=f"{here}.candidates_partial",
            images=("image", "response"),
            partial=lambda image, response: _extent_partial(response),
            merge=merge_extent,
            result=lambda arguments: ((2,), arguments["response"].dtype),
            cost_ns=1.0,
        ),
        Reduction(
            name="lepton.candidates",
            source=f"{here}.candidates_partial",
            images=("image", "response", "mask"),
            values=("extent",),
            partial=lambda image, lone, **arguments: candidates_partial(**arguments),
            merge=merge_candidates,
            result=lambda arguments: ((-1,), arguments["response"].dtype),
            wants_where=True,
            cost_ns=5.0,
        ),
        ValueFunction(
            name="lepton.points",
            source=f"{here}.points",
            images=(),
            values=("found",),
            function=points,
            result=_any_rows(lambda arguments: len(arguments["shape"]), np.int64),
        ),
        ValueFunction(
            name="lepton.spaced_corners",
            source=f"{here}.spaced_corners",
            images=(),
            values=("coordinates",),
            function=spaced_corners,
            result=_any_rows(lambda arguments: arguments["coordinates"].shape[1], np.int64),
        ),
        ValueFunction(
            name="lepton.blobs",
            source=f"{here}.blobs",
            images=(),
            values=("coordinates",),
            function=blobs,
            result=_any_rows(lambda arguments: arguments["sigmas"].shape[1], np.float64),
        ),
        Composite(
            name="feature.peak_local_max",
            source="skimage.feature.peak_local_max",
            dtype_kinds="iuf",
            check=_check_peaks,
            expand=_expand_peaks,
            result=_coordinates,
        ),
        Composite(
            name="feature.corner_peaks",
            source="skimage.feature.corner_peaks",
            dtype_kinds="iuf",
            check=_check_corners,
            expand=_expand_corners,
            result=_coordinates,
        ),
        *[
            Local(
                name=f"lepton.{name}_cube",
                source=f"{here}._{name}_cube",
                dtype_kinds="f",
                geometry=TrailingAxis(length, halo),
                cost_ns=cost,
            )
            for name, length, halo, cost in (
                ("log", _scales, _gaussian_reach, 780.0),
                ("dog", lambda images, arguments: _scales(images, arguments) - 1, _gaussian_reach, 220.0),
                ("doh", _scales, _box_reach, 20.0),
            )
        ],
        *[
            Composite(
                name=f"feature.blob_{name}",
                source=f"skimage.feature.blob_{name}",
                ndims=ndims,
                expand=_expand_blobs(f"lepton.{name}_cube", sigmas, options),
                result=result,
            )
            for name, ndims, sigmas, options, result in (
                ("log", (), _log_sigmas, lambda arguments: {}, _blobs_result),
                ("dog", (), _dog_sigmas, lambda arguments: {"sigma_ratio": arguments["sigma_ratio"]}, _blobs_result),
                ("doh", (2,), _doh_sigmas, lambda arguments: {"dtype": _float_name(arguments["image"])}, _THREE),
            )
        ],
    ]
