"""`skimage.feature.peak_local_max` and `corner_peaks`: coordinates of local maxima, in scikit-image's order.

Each block finds its candidates, the pixels that are the maximum of their neighbourhood. Sorting them by value and enforcing
a minimum distance need the candidates of all blocks, so the points are a whole-image value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local, Reduction, ValueFunction
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.results import ValueType, value_like
from lepton_celery.catalogue.shared.halos import footprint_halo
from lepton_celery.catalogue.shared.values import Extent, merge_extent
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

Candidates = dict[str, Array]
"""Raster indices of peaks (`position`) and their values (`value`)."""

# ------------------------------------------------------------------------------------------------ candidates


def _peak_halo(arguments: Arguments) -> tuple[int, ...]:
    ndim = len(arguments["image"].shape)
    if arguments["footprint"] is None:
        return (arguments["size"] // 2,) * ndim
    return footprint_halo(arguments["footprint"], ndim)


@declare(Local("lepton.is_peak", geometry=Stencil(_peak_halo), cost_ns=50.0))
def is_peak(image: Array, size: int, footprint: Array | None) -> Array:
    """Whether each pixel is the maximum under the footprint, by default `size` pixels along each axis."""
    from scipy.ndimage import maximum_filter

    under = np.ones((size,) * image.ndim, bool) if footprint is None else footprint
    if under.size == 1:
        return np.ones(image.shape, bool)
    peaks: Array = image == maximum_filter(image, footprint=under, mode="nearest")
    return peaks


@declare(
    Reduction(
        "lepton.response_extent",
        images=("image", "response"),
        merge=merge_extent,
        result=value_like("response", 2),
        cost_ns=1.0,
    )
)
def response_extent(image: Array, response: Array) -> Partial:
    """The least and the greatest value of a block of the response, which may have more axes than the image."""
    return {"extent": np.array([response.min(), response.max()], dtype=response.dtype)}


def merge_candidates(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Candidates:
    """All candidates in raster order; none if every pixel of the image is a peak, unless `arguments["lone"]` is set."""
    of_blocks = [partial for _, partial in partials]
    position = np.concatenate([partial["position"] for partial in of_blocks])
    value = np.concatenate([partial["value"] for partial in of_blocks])
    if not arguments["lone"] and not any(partial["other"][0] for partial in of_blocks):
        position, value = position[:0], value[:0]
    order = np.argsort(position)
    return {"position": position[order], "value": value[order]}


@declare(
    Reduction(
        "lepton.candidates",
        images=("image", "response", "mask"),
        values=("extent",),
        merge=merge_candidates,
        result=value_like("response", -1),
        wants_where=True,
        cost_ns=5.0,
    )
)
def candidates_partial(
    response: Array,
    mask: Array,
    extent: Extent | None,
    threshold_abs: Any,
    threshold_rel: Any,
    border: Sequence[int],
    where: Where,
    **_: Any,
) -> Partial:
    """Positions and values of this block's peaks, and whether the block has a pixel that is no peak.

    `response` may have further axes after the image's. The image is an argument only because it defines the blocks.
    """
    if response.dtype.kind == "f" and np.isnan(response).any():
        raise InputError("the image has NaN, for which peaks are undefined; fill it first, with numpy.nan_to_num")
    more = response.shape[len(where.shape) :]
    start, shape = (*where.region.start, *(0 for _ in more)), (*where.shape, *more)
    low, high = (None, None) if extent is None else extent
    # thresholds are not cast, so that NumPy chooses the dtype of the comparison, as in scikit-image
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
        "position": np.ravel_multi_index(position, shape).astype(np.int64),
        "value": response[local],
        "other": np.array([not mask.all()]),
    }


def find_candidates(
    build: Build,
    image: Lazy,
    response: Lazy,
    thresholds: tuple[Any, Any],
    border: Sequence[int],
    size: int = 3,
    footprint: Array | None = None,
) -> Lazy:
    """The node of the peaks of `response`, found in the blocks of `image`; `thresholds` are (absolute, relative)."""
    threshold_abs, threshold_rel = thresholds
    extent = None
    if threshold_abs is None or threshold_rel is not None:
        extent = build("lepton.response_extent", image=image, response=response)
    # only in these cases does scikit-image return peaks although every pixel is one
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


@declare(
    ValueFunction(
        "lepton.points",
        values=("candidates",),
        result=lambda arguments: ((-1, len(arguments["shape"])), np.dtype(np.int64)),
    )
)
def points(candidates: Candidates, shape: Sequence[int], num_peaks: float, min_distance: float, p_norm: float) -> Array:
    """The last step of `skimage.feature.peak_local_max`: sort by value, then enforce the minimum distance."""
    from skimage._shared.coord import ensure_spacing

    order = np.argsort(-candidates["value"], kind="stable")
    coordinates: Array = np.transpose(np.unravel_index(candidates["position"][order], tuple(shape)))
    if min_distance > 1:
        most = int(num_peaks) if np.isfinite(num_peaks) else None
        coordinates = ensure_spacing(coordinates, spacing=min_distance, p_norm=p_norm, max_out=most)
    return coordinates[: int(num_peaks)] if len(coordinates) > num_peaks else coordinates


@declare(
    ValueFunction(
        "lepton.spaced_corners",
        values=("coordinates",),
        result=lambda arguments: ((-1, arguments["coordinates"].shape[1]), np.dtype(np.int64)),
    )
)
def spaced_corners(coordinates: Array, min_distance: float, num_peaks: float, p_norm: float) -> Array:
    """The last step of `skimage.feature.corner_peaks`: drop every corner that is near an earlier one."""
    from scipy.spatial import cKDTree

    if len(coordinates):
        tree = cKDTree(coordinates)
        rejected: set[int] = set()
        for index, point in enumerate(coordinates):
            if index not in rejected:
                rejected.update(set(tree.query_ball_point(point, r=min_distance, p=p_norm)) - {index})
        coordinates = np.delete(coordinates, tuple(rejected), axis=0)[: None if np.isinf(num_peaks) else num_peaks]
    return coordinates


def _coordinates(arguments: Arguments) -> ValueType:
    return (-1, len(arguments["image"].shape)), np.dtype(np.int64)


def _check_peaks(arguments: Arguments) -> None:
    if arguments["labels"] is not None:
        raise InputError(
            "peaks of each labelled object are not supported here; use labels=None and pick points by their label"
        )
    distance = arguments["min_distance"]
    if not isinstance(distance, int | np.integer) or distance < 0:
        raise InputError(f"min_distance={distance!r}; give a whole number of pixels, 0 or more")


@declare(Composite("feature.peak_local_max", dtype_kinds="iuf", check=_check_peaks, result=_coordinates))
def _expand_peaks(arguments: Arguments, build: Build) -> Lazy:
    from skimage.feature.peak import _get_excluded_border_width

    image, distance, footprint = arguments["image"], int(arguments["min_distance"]), arguments["footprint"]
    candidates = find_candidates(
        build,
        image,
        image,
        (arguments["threshold_abs"], arguments["threshold_rel"]),
        _get_excluded_border_width(image, distance, arguments["exclude_border"]),
        2 * distance + 1,
        None if footprint is None else np.asarray(footprint),
    )
    given = {name: arguments[name] for name in ("num_peaks", "p_norm")}
    return build("lepton.points", candidates=candidates, shape=image.shape, min_distance=distance, **given)


def _check_corners(arguments: Arguments) -> None:
    _check_peaks(arguments)
    if not arguments["indices"]:
        raise InputError("corner_peaks with indices=False is not supported here; use the coordinates")


@declare(Composite("feature.corner_peaks", dtype_kinds="iuf", check=_check_corners, result=_coordinates))
def _expand_corners(arguments: Arguments, build: Build) -> Lazy:
    names = ("image", "min_distance", "threshold_abs", "threshold_rel", "exclude_border", "footprint")
    peaks = build("feature.peak_local_max", **{name: arguments[name] for name in names})
    given = {name: arguments[name] for name in ("min_distance", "num_peaks", "p_norm")}
    return build("lepton.spaced_corners", coordinates=peaks, **given)
