"""`skimage.measure.regionprops_table`: one row per labelled object, including objects cut by block borders.

The properties in `SUMMED` are merged from the blocks (`objects`). The other properties need all pixels of an object at once:
a second pass over the blocks, when the bounding boxes are known, runs scikit-image on the box of each object (`crops`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Reduction
from lepton_celery.catalogue.measure.crops import (
    as_slices,
    empty_columns,
    measured_columns,
    measured_partial,
    why_not,
)
from lepton_celery.catalogue.measure.objects import OF_OBJECTS, Rows, merge_objects, objects_partial
from lepton_celery.catalogue.results import ValueType
from lepton_celery.catalogue.shared.functions import path_of
from lepton_celery.errors import ArgumentTypeError, DtypeNotSupported, InputError
from lepton_celery.grid import BlockGrid

SCALARS = {
    "label": int,
    "num_pixels": int,
    "area": float,
    "area_bbox": float,
    "equivalent_diameter_area": float,
    "extent": float,
    "intensity_mean": float,
    "intensity_min": float,
    "intensity_max": float,
    "slice": object,
}
"""Properties of one column, with the dtype that scikit-image gives it."""
VECTORS = {"bbox": int, "centroid": float}
"""Properties of one column per axis (two for the box)."""
SUMMED = frozenset({*SCALARS, *VECTORS})
"""Properties that are merged from the blocks, if the image has neither channels nor a spacing."""

# ------------------------------------------------------------------------------------------------ properties


def current_name(name: str) -> str:
    """The current name of a property: scikit-image still takes names of earlier releases, such as `MajorAxisLength`."""
    from skimage.measure._regionprops import PROPS

    current: str = PROPS.get(name, name)
    return current


def _wants_intensity(name: str) -> bool:
    return "intensity" in current_name(name) or "weighted" in current_name(name)


def _is_summed(name: str, arguments: Arguments) -> bool:
    labels, intensity = arguments["label_image"], arguments["intensity_image"]
    with_channels = intensity is not None and len(intensity.shape) > len(labels.shape)
    return (
        current_name(name) in SUMMED and arguments["spacing"] is None and not (with_channels and _wants_intensity(name))
    )


def _has_object_columns(properties: Iterable[str]) -> bool:
    from skimage.measure._regionprops import OBJECT_COLUMNS

    return any(current_name(name) in OBJECT_COLUMNS for name in properties)


def _columns(given: str, rows: Rows, ndim: int, separator: str) -> dict[str, Array]:
    """The columns of one property in `SUMMED`, under the name that was given for it."""
    name, area = current_name(given), rows["num_pixels"]
    starts, stops = (np.stack([rows[f"{edge}{axis}"] for axis in range(ndim)]) for edge in ("start", "stop"))
    if name == "bbox":
        return {f"{given}{separator}{number}": edge for number, edge in enumerate((*starts, *stops))}
    if name == "centroid":
        return {f"{given}{separator}{axis}": rows[f"sum{axis}"] / area for axis in range(ndim)}
    box = np.prod(stops - starts, axis=0)
    columns: Mapping[str, Callable[[], Array]] = {
        "label": lambda: rows["label"],
        "num_pixels": lambda: area,
        "area": lambda: area,
        "area_bbox": lambda: box,
        # scalar by scalar, as in scikit-image: the power of an array may differ in the last place
        "equivalent_diameter_area": lambda: np.array(
            [(2 * ndim * size / np.pi) ** (1 / ndim) for size in area.astype(float)]
        ),
        "extent": lambda: area / box,
        "intensity_mean": lambda: rows["mean"],
        "intensity_min": lambda: rows["low"],
        "intensity_max": lambda: rows["high"],
        "slice": lambda: as_slices(starts, stops),
    }
    return {given: columns[name]().astype(SCALARS[name])}


# ------------------------------------------------------------------------------------------------ reductions

_IMAGES = ("label_image", "intensity_image")


def _table_type(arguments: Arguments) -> ValueType:
    """Float for a table of numbers, and object for one with arrays or slices, which no file format can store."""
    return (), np.dtype(object if _has_object_columns(arguments["properties"]) else float)


def merge_table(partials: Partials, arguments: Arguments, grid: BlockGrid) -> dict[str, Array]:
    """The columns of `skimage.measure.regionprops_table`, if all properties are in `SUMMED`."""
    rows = merge_objects(partials, arguments, grid)
    columns: dict[str, Array] = {}
    for name in arguments["properties"]:
        columns |= _columns(name, rows, len(grid.shape), arguments["separator"])
    return columns


@declare(Reduction("lepton.table", merge=merge_table, result=_table_type, gives="table", **OF_OBJECTS))
def table_partial(properties: Iterable[str], separator: str, **arguments: Any) -> Partial:
    """`objects_partial`; `separator` and the names that the user gave the properties are for the merge."""
    return objects_partial(properties=tuple(map(current_name, properties)), **arguments)


def merge_measured(partials: Partials, arguments: Arguments, grid: BlockGrid) -> dict[str, Array]:
    """The columns of `skimage.measure.regionprops_table`, including those that scikit-image measured."""
    rows = arguments["objects"]
    measured = measured_columns(partials) if rows["label"].size else empty_columns(arguments)
    columns: dict[str, Array] = {}
    for name in arguments["properties"]:
        if name in arguments["measured"]:
            columns |= measured.get(name, {})
        else:
            columns |= _columns(name, rows, len(grid.shape), arguments["separator"])
    return columns


@declare(
    Reduction(
        "lepton.measured_table",
        images=_IMAGES,
        values=("objects",),
        own_functions=("extra_properties",),
        merge=merge_measured,
        result=_table_type,
        reads_itself=True,
        gives="table",
        cost_ns=200.0,
    )
)
def measured_table_partial(properties: Iterable[str], where: Where, **arguments: Any) -> Partial:
    """`measured_partial`; `properties`, the names of all columns, is for the merge."""
    return measured_partial(where=where, **arguments)


# ------------------------------------------------------------------------------------------------ regionprops_table


def _check(arguments: Arguments) -> None:
    _check_images(arguments)
    _check_properties(arguments)


def _check_images(arguments: Arguments) -> None:
    labels, intensity = arguments["label_image"], arguments["intensity_image"]
    if len(labels.shape) not in (2, 3):
        raise ArgumentTypeError(f"label_image has shape {tuple(labels.shape)}; regionprops_table takes 2 or 3 axes")
    if labels.dtype.kind not in "iu":
        raise DtypeNotSupported(
            f"regionprops_table cannot take label_image of dtype {labels.dtype}; label it first, with measure.label"
        )
    if intensity is not None:
        ndim = len(labels.shape)
        if tuple(intensity.shape[:ndim]) != tuple(labels.shape) or len(intensity.shape) > ndim + 1:
            raise InputError(
                f"intensity_image of shape {intensity.shape} and labels of shape {labels.shape} do not match; "
                "give one intensity for each labelled pixel, or one per channel on a last axis"
            )


def _check_properties(arguments: Arguments) -> None:
    from skimage.measure._regionprops import COL_DTYPES

    labels, intensity, spacing = arguments["label_image"], arguments["intensity_image"], arguments["spacing"]
    extra = arguments["extra_properties"]
    if extra is not None and not all(callable(function) for function in extra):
        raise InputError(f"extra_properties={extra!r} are not all functions; give functions of an object's mask")
    properties = arguments["properties"]
    if isinstance(properties, str):
        raise InputError(f"properties={properties!r} is one string; give a sequence of names such as ({properties!r},)")
    if not isinstance(properties, Collection):
        raise InputError(f"properties={properties!r} can be iterated over only once; give a sequence of names")
    own = [function.__name__ for function in extra or ()]
    for name in dict.fromkeys(properties):
        if current_name(name) in COL_DTYPES:
            if _wants_intensity(name) and intensity is None:
                raise InputError(f"property {name!r} needs an intensity_image; give one")
            reason = "" if _is_summed(name, arguments) else why_not(name, labels, intensity, spacing)
            if reason:
                raise InputError(
                    f"regionprops_table cannot give {name!r} of labels of shape {tuple(labels.shape)} with "
                    f"spacing={spacing!r}: {reason}; leave it out"
                )
        elif name not in own:
            raise InputError(f"property {name!r} is not in the table; there are {', '.join(COL_DTYPES)}")


@declare(
    Composite(
        "measure.regionprops_table",
        images=_IMAGES,
        check=_check,
        gives="table",
        samples={"label_image": "labels"},
    )
)
def _expand(arguments: Arguments, build: Build) -> Lazy:
    labels, intensity = arguments["label_image"], arguments["intensity_image"]
    extra = tuple(arguments["extra_properties"] or ())
    properties = tuple(dict.fromkeys([*arguments["properties"], *(function.__name__ for function in extra)]))
    measured = tuple(name for name in properties if not _is_summed(name, arguments))
    summed = tuple(name for name in properties if name not in measured)
    of_objects = {
        "label_image": labels,
        "intensity_image": intensity if any(map(_wants_intensity, summed)) else None,
        "properties": tuple(map(current_name, summed)),
        # in other label images, a label may have several components
        "connected": getattr(labels, "operation", None) in ("measure.label", "lepton.relabel"),
    }
    if not measured:
        return build("lepton.table", **of_objects | {"properties": properties}, separator=arguments["separator"])
    return build(
        "lepton.measured_table",
        label_image=labels,
        intensity_image=intensity if extra or any(map(_wants_intensity, measured)) else None,
        objects=build("lepton.objects", **of_objects | {"properties": (*of_objects["properties"], "bbox")}),
        properties=properties,
        measured=measured,
        separator=arguments["separator"],
        spacing=arguments["spacing"],
        extra_properties=tuple(map(path_of, extra)),
    )
