"""`flood` and `flood_fill`, which are both in `skimage.morphology` and in `skimage.segmentation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Where
from lepton_celery.catalogue.declare import declare, whole
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.results import always
from lepton_celery.catalogue.shared.components import at_point, components_where, joins_neighbours
from lepton_celery.catalogue.shared.label_joining import neighbourhood
from lepton_celery.errors import ArgumentIndexError, InputError

_OTHERS = "dtype of `image` is float16 which is not supported"
"""scikit-image's reason for refusing an image."""


def flood_entries(family: str) -> tuple[Composite, Composite]:
    """`flood` and `flood_fill` of `morphology` or `segmentation`."""
    example: Mapping[str, Any] = {"seed_point": lambda ndim: (0,) * ndim}
    return (
        Composite(
            f"{family}.flood", other_dtypes=_OTHERS, check=_check, expand=_expand_flood, gives="image", example=example
        ),
        Composite(
            f"{family}.flood_fill",
            other_dtypes=_OTHERS,
            check=_check,
            expand=_expand_flood_fill,
            gives="image",
            example={**example, "new_value": 1},
        ),
    )


@declare(Local("lepton.floodable", values=("seed",), wants_where=True, dtype=always(bool)))
def floodable(image: Array, seed: Any, point: Sequence[int], tolerance: float | None, where: Where) -> Array:
    """True on the pixels that `skimage.morphology.flood` from `seed`, the pixel at `point`, can enter."""
    start = at_point(image, point, where)
    low, high = (seed, seed) if tolerance is None else _tolerated(seed, tolerance)
    mask: Array = ((low <= image) & (image <= high)) | start
    return mask


def _tolerated(seed: Any, tolerance: float) -> tuple[Any, Any]:
    """The least and the greatest pixel within the tolerance of a seed, clipped to the range of the dtype."""
    dtype = seed.dtype
    if dtype.kind == "b":
        least, most = False, True
    else:
        info: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        least, most = np.asarray(info.min).item(), np.asarray(info.max).item()
    bounds = max(least, seed.item() - abs(tolerance)), min(most, seed.item() + abs(tolerance))
    # int() truncates, as C does
    low, high = (dtype.type(bound if dtype.kind == "f" else int(bound)) for bound in bounds)
    return low, high


def _expand_flood(arguments: Arguments, build: Build) -> Lazy:
    """The mask of a flood."""
    image, footprint = arguments["image"], arguments["footprint"]
    ndim = len(image.shape)
    near = neighbourhood(arguments["connectivity"], ndim) if footprint is None else np.asarray(footprint, bool)
    options = {name: arguments[name] for name in ("footprint", "connectivity", "tolerance")}
    if not joins_neighbours(near, ndim):
        return build("lepton.flood_whole", image=image, seed_point=arguments["seed_point"], **options)
    point = _seed_point(arguments)
    seed = build("numpy.max", a=build("lepton.select", image=image, index=tuple((p, p + 1, 1) for p in point)))
    candidates = build("lepton.floodable", image=image, seed=seed, point=point, tolerance=arguments["tolerance"])
    marker = build("lepton.at_point", image=image, point=point)
    return components_where(build, candidates, connectivity=near, marker=marker)


def _expand_flood_fill(arguments: Arguments, build: Build) -> Lazy:
    mask = _expand_flood(arguments, build)
    return build("lepton.filled", image=arguments["image"], mask=mask, value=arguments["new_value"])


def _seed_point(arguments: Arguments) -> tuple[int, ...]:
    """The seed's position in non-negative numbers."""
    given, shape = arguments["seed_point"], arguments["image"].shape
    point = np.atleast_1d(np.asarray(given))
    whole_numbers = point.ndim == 1 and point.dtype.kind in "iu"
    refusal = f"seed_point={given} for an image of shape {shape}; give a whole number inside it per axis"
    if whole_numbers and (point.size != len(shape) or any(not -n <= p < n for p, n in zip(point, shape, strict=True))):
        raise ArgumentIndexError(refusal)
    if not whole_numbers:
        raise InputError(refusal)
    return tuple(int(p) % n for p, n in zip(point, shape, strict=True))


def _check(arguments: Arguments) -> None:
    _seed_point(arguments)
    footprint, image = arguments["footprint"], arguments["image"]
    shape = (3,) * len(image.shape) if footprint is None else np.shape(footprint)
    if len(shape) != len(image.shape) or any(n % 2 == 0 for n in shape):
        raise InputError(
            f"footprint of shape {shape} for an image of {len(image.shape)} axes; "
            "give one with the same number of axes and odd lengths"
        )
    if arguments.get("in_place"):
        raise InputError("in_place=True would change the input; leave it out, the result is a new image")


ENTRIES = (
    whole(
        "lepton.flood_whole",
        source="skimage.morphology.flood",
        dtype=always(bool),  # declared, because the few pixels of a test image may not include the seed
        cost_ns=100.0,
    ),
)
