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
from lepton_celery.catalogue.entries import Build, Composite, Local, Reduction
from lepton_celery.catalogue.feature.labelled_peaks import find_labelled_peaks
from lepton_celery.catalogue.feature.spacing import Candidates
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.results import ValueType, value_like
from lepton_celery.catalogue.shared.halos import footprint_halo
from lepton_celery.catalogue.shared.values import Extent, merge_extent
from lepton_celery.errors import DtypeNotSupported, InputError
from lepton_celery.grid import BlockGrid

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
        values=("extent", "threshold_abs"),
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


def _coordinates(arguments: Arguments) -> ValueType:
    return (-1, len(arguments["image"].shape)), np.dtype(np.int64)


_IMAGES: dict[str, Any] = {
    "images": ("image", "labels"),
    "values": ("threshold_abs",),
    "dtype_kinds": "iuf",
    "kinds_of": {"labels": "biu"},
}


def _check_peaks(arguments: Arguments) -> None:
    image, labels = arguments["image"], arguments["labels"]
    if labels is not None and labels.dtype == np.uint64:
        raise DtypeNotSupported("labels of dtype uint64 cannot become int64 safely; give signed integers")
    if labels is not None and tuple(labels.shape) != tuple(image.shape):
        raise InputError(
            f"labels of shape {labels.shape} for an image of shape {image.shape}; give one label per pixel"
        )
    distance = arguments["min_distance"]
    if not isinstance(distance, int | np.integer) or distance < 0:
        raise InputError(f"min_distance={distance!r}; give a whole number of pixels, 0 or more")
    for name in ("num_peaks", "num_peaks_per_label"):
        count = arguments[name]
        if not isinstance(count, int | np.integer) and count != math.inf:
            raise InputError(f"{name}={count!r}; give a whole number, or numpy.inf for all peaks")
    if arguments["footprint"] is not None:
        footprint = np.asarray(arguments["footprint"])
        if footprint.ndim != len(image.shape) or (footprint.size != 1 and not footprint.any()):
            raise InputError(
                f"footprint of shape {footprint.shape} for an image of shape {tuple(image.shape)}; "
                "give one with as many axes, which is not all 0"
            )
    if not arguments["p_norm"] >= 1:
        raise InputError(f"p_norm={arguments['p_norm']!r}; give a number from 1 to numpy.inf")


@declare(Composite("feature.peak_local_max", check=_check_peaks, result=_coordinates, **_IMAGES))
def _expand_peaks(arguments: Arguments, build: Build) -> Lazy:
    from skimage.feature.peak import _get_excluded_border_width

    image, distance, footprint = arguments["image"], int(arguments["min_distance"]), arguments["footprint"]
    border = _get_excluded_border_width(image, distance, arguments["exclude_border"])
    if arguments["labels"] is not None:
        return find_labelled_peaks(build, arguments, border)
    candidates = find_candidates(
        build,
        image,
        image,
        (arguments["threshold_abs"], arguments["threshold_rel"]),
        border,
        2 * distance + 1,
        None if footprint is None else np.asarray(footprint),
    )
    given = {name: arguments[name] for name in ("num_peaks", "p_norm")}
    return build("lepton.points", candidates=candidates, shape=image.shape, min_distance=distance, **given)


@declare(Composite("feature.corner_peaks", check=_check_peaks, gives="", **_IMAGES))
def _expand_corners(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["image"]
    names = (
        *("min_distance", "threshold_abs", "threshold_rel", "exclude_border", "footprint", "labels"),
        "num_peaks_per_label",
    )
    peaks = build("feature.peak_local_max", image=image, **{name: arguments[name] for name in names})
    given = {name: arguments[name] for name in ("min_distance", "num_peaks", "p_norm")}
    corners = build("lepton.spaced_corners", coordinates=peaks, **given)
    return corners if arguments["indices"] else build("lepton.points_to_mask", points=corners, shape=tuple(image.shape))
