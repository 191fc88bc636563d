"""`skimage.morphology`: erosion, dilation and what is made of them; filters by size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Reduction, Refused, resolve
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared import components
from lepton_celery.catalogue.shared.halos import footprint_radius, leave_out, local, per_axis, whole
from lepton_celery.catalogue.shared.values import merge_any
from lepton_celery.errors import InputError

FOOTPRINT = {1: "footprint // 2", 2: "2 * (footprint // 2)"}
"""Halo of one pass, and of two."""
INTEGERS = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "int64")
"""The dtypes of labels that NumPy can count."""
BLOCK_PX = 1 << 20
"""Pixels of a block as the planner chooses it, for how large a halo may be."""
SPACED = "floor(radius / spacing) + 1 per axis"

_MORPHOLOGY = {"erosion": 1, "dilation": 1, "opening": 2, "closing": 2, "white_tophat": 2, "black_tophat": 2}
_ISOTROPIC = {"erosion": (False,), "dilation": (True,), "opening": (False, True), "closing": (True, False)}
"""The passes: whether each dilates."""


# ------------------------------------------------------------------------------------------------ footprints


def _parts(footprint: Any) -> Sequence[tuple[Any, int]]:
    """A footprint as what is applied in turn, and how often."""
    return [(footprint, 1)] if footprint is None or isinstance(footprint, np.ndarray) else footprint


def _check_times(arguments: Arguments) -> None:
    for _, times in _parts(arguments["footprint"]):
        if times < 1:
            raise InputError(
                f"a footprint that is applied {times} times has no bounded reach here; give a number of at least 1"
            )


def _check_binary(arguments: Arguments) -> None:
    """As for gray images; and SciPy writes past the end of an image that a repeated footprint does not fit into."""
    _check_times(arguments)
    shape = arguments["image"].shape
    for part, times in _parts(arguments["footprint"]):
        if times > 1 and any(n < size + (size % 2 == 0) for n, size in zip(shape, np.shape(part), strict=False)):
            raise InputError(
                f"a footprint of shape {np.shape(part)} that is applied {times} times does not fit into an image of "
                f"shape {shape}; use morphology.erosion, dilation, opening or closing, which take it"
            )


def _gray(name: str) -> Callable[..., Array]:
    """The function of scikit-image, but NaN under a rectangle is refused.

    SciPy goes over each row with a running minimum there, and how far a NaN spreads depends on all pixels before it.
    """

    def function(image: Array, footprint: Any = None, **options: Any) -> Array:
        rectangles = [part for part, _ in _parts(footprint) if part is not None and np.size(part) > 1 and np.all(part)]
        if rectangles and image.dtype.kind == "f" and np.isnan(image).any():
            raise InputError(
                f"the image has NaN, and {name} spreads it under a rectangular footprint in a way that depends on all "
                "of the image; fill NaN first, or use another footprint such as a disk"
            )
        return np.asarray(resolve(f"skimage.{name}")(image, footprint, **options))

    return function


# ------------------------------------------------------------------------------------------------ euclidean distance


def any_pixel(image: Array, value: bool) -> Partial:
    """Whether any pixel, taken as true or false, is `value`."""
    return {"any": np.array([bool((image.astype(bool) == value).any())])}


def isotropic(image: Array, radius: float, spacing: Any, dilates: bool, found: Any, where: Where) -> Array:
    """`isotropic_erosion` of a block, or `isotropic_dilation`.

    Args:
        found: whether the whole image has a pixel to measure the distance to; a block without one is far from it.
    """
    from scipy.ndimage import distance_transform_edt

    measured = np.logical_not(image) if dilates else image
    if not measured.all():
        distance = distance_transform_edt(measured, sampling=spacing)
    elif found:
        distance = np.full(image.shape, np.inf)
    else:
        distance = distance_to_phantom(where, spacing)
    result: Array = np.less_equal(distance, radius) if dilates else np.greater(distance, radius)
    return result


def distance_to_phantom(where: Where, spacing: Any) -> Array:
    """Where there is nothing to measure to, SciPy measures the distance to index (-1, 0, 0 …) of the whole image."""
    region = where.region
    squares: Array = np.zeros(())
    for axis, scale in enumerate(per_axis(1 if spacing is None else spacing, region.ndim, None, "spacing")):
        offset = np.arange(region.start[axis], region.stop[axis], dtype=np.float64) + (axis == 0)
        squares = squares[..., np.newaxis] + np.square(offset * scale)
    distance: Array = np.sqrt(squares)
    return distance


def spaced_halo(length: str) -> Callable[[Arguments], tuple[int, ...]]:
    """Halo of what depends on pixels up to a euclidean distance; one pixel more, since rounded distances may tie."""

    def halo(arguments: Arguments) -> tuple[int, ...]:
        image = arguments.get("image", arguments.get("label_image"))
        spacing = 1 if arguments["spacing"] is None else arguments["spacing"]
        scales = per_axis(spacing, len(image.shape), None, "spacing")
        if not all(scale > 0 for scale in scales):
            raise InputError(f"spacing {spacing} has lengths that are not positive; give the size of a pixel per axis")
        return tuple(max(0, floor(float(arguments[length]) / scale)) + 1 for scale in scales)

    return halo


def check_spaced(length: str) -> Callable[[Arguments], None]:
    """A check of the length and the spacing that a halo is found from."""

    def check(arguments: Arguments) -> None:
        spaced_halo(length)(arguments)

    return check


def _expand_isotropic(passes: Sequence[bool]) -> Callable[[Arguments, Build], Any]:
    def expand(arguments: Arguments, build: Build) -> Any:
        image = arguments["image"]
        for dilates in passes:
            found = build("lepton.any_pixel", image=image, value=dilates)
            options = {"radius": arguments["radius"], "spacing": arguments["spacing"], "dilates": dilates}
            image = build("lepton.isotropic", image=image, found=found, **options)
        return image

    return expand


# ------------------------------------------------------------------------------------------------ sizes


def _at_least(name: str) -> Callable[[Arguments], int]:
    """Halo of a filter that has to tell components of `name` pixels from smaller ones.

    At least 2, since the max-tree wants 3 pixels on each axis.
    """
    return lambda arguments: max(2, int(np.ceil(float(arguments[name]))))


def _most(arguments: Arguments) -> int:
    """Halo of what removes components of `max_size` pixels: the next pixel tells that there are more."""
    return max(0, floor(float(arguments["max_size"])))


def _expand_small(what: str, by_labels: Callable[[Arguments, Build], Any]) -> Callable[[Arguments, Build], Any]:
    """Within a halo, where that is small beside the blocks; else, as for labels that are given, over the whole image."""

    def expand(arguments: Arguments, build: Build) -> Any:
        image = arguments["ar"]
        usual_length = BLOCK_PX ** (1 / len(image.shape))
        if image.dtype == bool and _most(arguments) <= usual_length / 8:
            options = {name: arguments[name] for name in ("connectivity", "max_size")}
            return build(f"lepton.remove_small_{what}", ar=image, **options)
        return by_labels(arguments, build)

    return expand


def _check_deprecated(old: str) -> Callable[[Arguments], None]:
    from inspect import Parameter

    def check(arguments: Arguments) -> None:
        if isinstance(arguments[old], int | float | np.number | Parameter):
            raise InputError(
                f"{old}={arguments[old]} is deprecated in scikit-image 0.26; give max_size={arguments[old]} - 1, "
                "the most pixels that are removed"
            )
        _most(arguments)

    return check


def _check_tree(arguments: Arguments) -> None:
    leave_out(parent="each block finds its own tree", tree_traverser="each block finds its own tree")(arguments)
    shape = arguments["image"].shape
    if min(shape) < 3:
        raise InputError(f"the max-tree of scikit-image wants 3 pixels or more on each axis; this image is {shape}")


def _tree(name: str) -> Callable[..., Array]:
    """The function of scikit-image, but NaN, which is no level of a tree, is refused.

    Where zeros of both signs touch, which sign their component gets depends on the whole image; they compare equal.
    """

    def function(image: Array, **options: Any) -> Array:
        if image.dtype.kind == "f" and np.isnan(image).any():
            raise InputError(
                f"the image has NaN, and the result of {name} depends on how it is split then; fill NaN first"
            )
        return np.asarray(resolve(f"skimage.{name}")(image, **options))

    return function


def _check_medial_axis(arguments: Arguments) -> None:
    leave_out(return_distance="compute the distances with ndimage.distance_transform_edt")(arguments)
    if not isinstance(arguments["rng"], int):
        raise InputError(
            f"rng={arguments['rng']!r}: medial_axis breaks ties at random; give a whole number, rng=0, "
            "for a result that can be had again"
        )


def entries() -> list[Entry]:
    """Morphology."""
    here = "lepton_celery.catalogue.morphology.footprints"
    spaced = Stencil(spaced_halo("radius"), SPACED)
    return [
        *[
            local(
                f"morphology.{name}",
                footprint_radius(passes),
                FOOTPRINT[passes],
                function=_gray(f"morphology.{name}"),
                check=_check_times,
                cost_ns=5.0 * passes,
            )
            for name, passes in _MORPHOLOGY.items()
        ],
        *[
            local(
                f"morphology.binary_{name}",
                footprint_radius(passes),
                FOOTPRINT[passes],
                check=_check_binary,
                cost_ns=9.0 * passes,
            )
            for name, passes in list(_MORPHOLOGY.items())[:4]
        ],
        Reduction(
            name="lepton.any_pixel",
            source=f"{here}.any_pixel",
            partial=any_pixel,
            merge=merge_any,
            result=lambda arguments: ((), np.dtype(bool)),
            cost_ns=1.0,
        ),
        Local(
            name="lepton.isotropic",
            source=f"{here}.isotropic",
            function=isotropic,
            values=("found",),
            geometry=spaced,
            wants_where=True,
            dtype=lambda arguments: np.dtype(bool),
            cost_ns=40.0,
        ),
        *[
            Composite(
                name=f"morphology.isotropic_{name}",
                source=f"skimage.morphology.isotropic_{name}",
                check=check_spaced("radius"),
                expand=_expand_isotropic(passes),
                gives="image",
                example={"radius": 3},
            )
            for name, passes in _ISOTROPIC.items()
        ],
        *[
            local(
                f"morphology.{what}_{how}",
                _at_least(f"{what}_threshold"),
                f"max(2, {what}_threshold)",
                function=_tree(f"morphology.{what}_{how}"),
                needs_finite=True,
                check=_check_tree,
                example={f"{what}_threshold": 6},
                cost_ns={"area": 760.0, "diameter": 4000.0}[what],
            )
            for what in ("area", "diameter")
            for how in ("opening", "closing")
        ],
        *[
            local(
                f"lepton.remove_small_{what}",
                _most,
                "max_size",
                source=f"skimage.morphology.remove_small_{what}",
                images=("ar",),
                cost_ns=12.0,
            )
            for what in ("objects", "holes")
        ],
        *[
            Composite(
                name=f"morphology.remove_small_{what}",
                source=f"skimage.morphology.remove_small_{what}",
                images=("ar",),
                dtypes=("bool", *INTEGERS),
                samples={"ar": "mask"},
                check=_check_deprecated(old),
                expand=_expand_small(what, expand),
                gives="image",
            )
            for what, old, expand in (
                ("objects", "min_size", components.without_small_objects),
                ("holes", "area_threshold", components.without_small_holes),
            )
        ],
        whole(
            "morphology.remove_objects_by_distance",
            images=("label_image",),
            dtype_kinds="iu",
            samples={"label_image": "labels"},
            dtype=lambda arguments: arguments["label_image"].dtype,
            example={"min_distance": 2},
            cost_ns=1800.0,
        ),
        whole(
            "morphology.medial_axis",
            images=("image", "mask"),
            samples={"image": "mask", "mask": "mask"},
            ndims=(2,),
            check=_check_medial_axis,
            example={"rng": 0},
            cost_ns=280.0,
        ),
        whole("morphology.max_tree_local_maxima", dtype_kinds="iuf", check=_check_tree, cost_ns=760.0),
        Refused(
            name="morphology.max_tree",
            source="skimage.morphology.max_tree",
            reason="it gives a tree of pixel positions, which blocks cannot write apart from each other",
            instead="morphology.area_opening, area_closing, diameter_opening or diameter_closing, which build it themselves",
        ),
    ]
