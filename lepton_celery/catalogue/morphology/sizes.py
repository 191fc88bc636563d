"""`skimage.morphology`: filters by size: area and diameter openings, small objects and holes removed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import floor
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial
from lepton_celery.catalogue.declare import declare, leave_out, whole
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, ValueFunction, resolve
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.results import dtype_of, value_like
from lepton_celery.catalogue.shared.components import components_where, filled
from lepton_celery.catalogue.shared.label_joining import neighbourhood
from lepton_celery.catalogue.shared.value_counts import find_values
from lepton_celery.errors import InputError

# ------------------------------------------------------------------------------------------------ max-trees


def _threshold_halo(name: str) -> Callable[[Arguments], int]:
    """The halo of a filter with the size threshold `name`; at least 2, since a max-tree needs 3 pixels along each axis."""
    return lambda arguments: max(2, int(np.ceil(float(arguments[name]))))


def _check_tree(arguments: Arguments) -> None:
    leave_out(parent="each block finds its own tree", tree_traverser="each block finds its own tree")(arguments)
    shape = arguments["image"].shape
    if min(shape) < 3:
        raise InputError(
            f"the max-tree of scikit-image needs 3 pixels along each axis; this image is {shape}, pad it first"
        )


def _tree(name: str) -> Callable[..., Array]:
    """The function of scikit-image, which here refuses NaN, because NaN has no place in the order of a tree's levels.

    If 0.0 and -0.0 touch, the sign of the result depends on the whole image; both compare equal.
    """

    def function(image: Array, **options: Any) -> Array:
        if image.dtype.kind == "f" and np.isnan(image).any():
            raise InputError(f"the image has NaN, and then the result of {name} depends on the blocks; fill NaN first")
        return np.asarray(resolve(f"skimage.{name}")(image, **options))

    return function


# ------------------------------------------------------------------------------------------------ small objects, holes

_INTEGERS = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "int64")
"""The dtypes of labels that NumPy can count."""
_BLOCK_PX = 1 << 20
"""Pixels of a typical block. If a halo is small beside it, reading the halo is cheaper than labelling the whole image."""


def _max_size(arguments: Arguments) -> int:
    """A halo wide enough to contain more than `max_size` pixels of any larger component."""
    return max(0, floor(float(arguments["max_size"])))


def _expand_small(name: str, of_whole: Callable[[Arguments, Build], Lazy]) -> Callable[[Arguments, Build], Lazy]:
    """Expand to a stencil if the halo is small beside a block; otherwise, and for labels, to `of_whole`."""

    def expand(arguments: Arguments, build: Build) -> Lazy:
        image = arguments["ar"]
        usual_length = _BLOCK_PX ** (1 / len(image.shape))
        if image.dtype == bool and _max_size(arguments) <= usual_length / 8:
            options = {name: arguments[name] for name in ("connectivity", "max_size")}
            return build(f"lepton.{name}", ar=image, **options)
        return of_whole(arguments, build)

    return expand


def _without_small_objects(arguments: Arguments, build: Build) -> Lazy:
    """A mask without its small components, or a label image without the labels of few pixels."""
    image = arguments["ar"]
    if image.dtype != bool:
        counts = build("lepton.value_counts", image=image)
        labels = build("lepton.small_labels", counts=counts, at_most=arguments["max_size"])
        return build("lepton.without_labels", image=image, labels=labels)
    return build("lepton.filled", image=image, mask=_small(image, arguments, build), value=False)


def _without_small_holes(arguments: Arguments, build: Build) -> Lazy:
    """A mask with the small components of its background filled."""
    image = arguments["ar"]
    holes = _small(build("numpy.logical_not", x=image), arguments, build)
    return build("numpy.logical_or", x1=image, x2=holes)


def _small(mask: Lazy, arguments: Arguments, build: Build) -> Lazy:
    near = neighbourhood(arguments["connectivity"], len(mask.shape))
    return components_where(build, mask, connectivity=near, at_most=arguments["max_size"])


@declare(ValueFunction("lepton.small_labels", values=("counts",), result=value_like("counts", -1)))
def small_labels(counts: Partial, at_most: float) -> Array:
    """The labels that at most `at_most` pixels have, ascending."""
    labels = counts["values"]
    if labels.dtype.kind == "i" and labels[0] < 0:
        raise InputError(
            f"the image has negative labels, such as {labels[0]}. Negative value labels are not supported. Try relabeling "
            "the input with `scipy.ndimage.label` or `skimage.morphology.label`."
        )
    if labels[-1] == 1:
        warnings.warn(
            "Only one label was provided to `remove_small_objects`. Did you mean to use a boolean array?", stacklevel=1
        )
    small: Array = labels[counts["counts"] <= at_most]
    return small


@declare(Local("lepton.without_labels", values=("labels",), dtype=dtype_of("image"), cost_ns=30.0))
def without_labels(image: Array, labels: Array) -> Array:
    """The image with 0 in place of these labels, which are ascending."""
    return filled(image, find_values(image, labels)[1], 0)


def _check_size(arguments: Arguments) -> None:
    _max_size(arguments)


def _check_distance(arguments: Arguments) -> None:
    if not arguments["min_distance"] >= 0:
        raise InputError(f"min_distance must be >= 0, was {arguments['min_distance']}")


ENTRIES: tuple[Entry, ...] = (
    *(
        Local(
            f"morphology.{measure}_{function}",
            geometry=Stencil(_threshold_halo(f"{measure}_threshold"), f"max(2, {measure}_threshold)"),
            function=_tree(f"morphology.{measure}_{function}"),
            needs_finite=True,
            check=_check_tree,
            example={f"{measure}_threshold": 6},
            cost_ns=cost_ns,
        )
        for measure, cost_ns in (("area", 760.0), ("diameter", 4000.0))
        for function in ("opening", "closing")
    ),
    whole("morphology.max_tree_local_maxima", dtype_kinds="iuf", check=_check_tree, cost_ns=760.0),
    *(
        Local(
            f"lepton.{name}",
            source=f"skimage.morphology.{name}",
            geometry=Stencil(_max_size, "max_size"),
            images=("ar",),
            cost_ns=12.0,
        )
        for name in ("remove_small_objects", "remove_small_holes")
    ),
    *(
        Composite(
            f"morphology.{name}",
            images=("ar",),
            dtypes=("bool", *_INTEGERS),
            samples={"ar": "mask"},
            check=_check_size,
            expand=_expand_small(name, of_whole),
            gives="image",
        )
        for name, of_whole in (
            ("remove_small_objects", _without_small_objects),
            ("remove_small_holes", _without_small_holes),
        )
    ),
    whole(
        "morphology.remove_objects_by_distance",
        images=("label_image",),
        dtype_kinds="iu",
        samples={"label_image": "labels"},
        dtype=dtype_of("label_image"),
        example={"min_distance": 2},
        check=_check_distance,
        cost_ns=1800.0,
    ),
)
