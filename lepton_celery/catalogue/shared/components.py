"""What follows from connected components: hysteresis, borders cleared, small objects and holes, filling, renumbering.

Most functions keep the components of which something holds: that they have a pixel of a second image (one above the high
threshold, one at the border, the seed) or few pixels. Blocks settle the components that lie inside them; the rest is known
when they are joined (`labels`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Reduction, Refused, ValueFunction
from lepton_celery.catalogue.shared.halos import whole
from lepton_celery.catalogue.shared.labels import LABELS, SETTLED, label_dtype, neighbourhood, numbered
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region


def components_where(build: Build, image: Any, *, connectivity: Any = None, **fact: Any) -> Any:
    """A bool image: true on the components of which the fact holds, `marker=` an image or `at_most=` a number of pixels."""
    blocks = build(SETTLED, image=image, background=0, connectivity=connectivity, **fact)
    return build("lepton.holds", ids=blocks, table=blocks)


def filled(image: Array, mask: Array, value: Any) -> Array:
    """The image with `value` where the mask is set."""
    result = image.copy()
    result[mask] = value
    return result


def near_edge(image: Array, widths: Sequence[int], where: Where) -> Array:
    """Pixels within so many of the whole image's edges, axis by axis."""
    result = np.zeros(image.shape, bool)
    for axis, width in enumerate(widths):
        at = np.arange(where.region.start[axis], where.region.stop[axis])
        near = (at < width) | (at >= where.shape[axis] - width)
        result |= near.reshape([-1 if other == axis else 1 for other in range(image.ndim)])
    return result


def at_point(image: Array, point: Sequence[int], where: Where) -> Array:
    """The one pixel of the whole image at `point`."""
    result = np.zeros(image.shape, bool)
    place = Region(tuple(point), tuple(p + 1 for p in point))
    if where.region.contains(place):
        result[place.within(where.region)] = True
    return result


def joins_neighbours(structure: Array, ndim: int) -> bool:
    """Whether a structure joins a pixel with others that it touches, and those with it."""
    fits = structure.shape == (3,) * ndim
    return fits and bool(structure[(1,) * ndim]) and bool((structure == np.flip(structure)).all())


# ------------------------------------------------------------------------------------------------ hysteresis


def above_low(image: Array, low: Any, high: Any) -> Array:
    """Source: `skimage.filters.apply_hysteresis_threshold`."""
    return np.asarray(image > np.clip(low, a_min=None, a_max=high))


def above_high(image: Array, high: Any) -> Array:
    return np.asarray(image > high)


def _expand_hysteresis(arguments: Arguments, build: Build) -> Any:
    image, low, high = (arguments[name] for name in ("image", "low", "high"))
    candidates = build("lepton.above_low", image=image, low=low, high=high)
    cross = neighbourhood(1, len(image.shape))
    return components_where(
        build, candidates, connectivity=cross, marker=build("lepton.above_high", image=image, high=high)
    )


# ------------------------------------------------------------------------------------------------ borders and holes


def _expand_clear_border(arguments: Arguments, build: Build) -> Any:
    labels, mask = arguments["labels"], arguments["mask"]
    if mask is None:
        marker = build("lepton.near_edge", image=labels, widths=(arguments["buffer_size"] + 1,) * len(labels.shape))
    else:
        marker = build("numpy.logical_not", x=mask)
    cleared = components_where(build, labels, marker=marker)
    return build("lepton.filled", image=labels, mask=cleared, value=arguments["bgval"])


def _check_clear_border(arguments: Arguments) -> None:
    labels, mask, width = arguments["labels"], arguments["mask"], arguments["buffer_size"]
    _check_axes(labels)
    if mask is not None:
        if mask.dtype != bool or mask.shape != labels.shape:
            raise InputError(
                f"mask is {mask.dtype} of shape {mask.shape} for labels of shape {labels.shape}; "
                "give a bool image of the same shape"
            )
    elif not 0 <= width < min(labels.shape) or int(width) != width:
        raise InputError(
            f"buffer_size={width} for labels of shape {labels.shape}; give a whole number from 0, less than each axis has"
        )


def _check_axes(image: Any) -> None:
    if image.dtype != bool and len(image.shape) > 3:
        raise InputError(f"labels of integers have 1 to 3 axes here, as in scikit-image; these have {len(image.shape)}")


def _expand_fill_holes(arguments: Arguments, build: Build) -> Any:
    image, structure = arguments["input"], arguments["structure"]
    ndim = len(image.shape)
    structure = neighbourhood(1, ndim) if structure is None else np.asarray(structure, bool)
    if arguments["axes"] is not None or not joins_neighbours(structure, ndim):
        return build("lepton.fill_holes_whole", **arguments)
    # the background floods in over those edges that the structure looks beyond
    widths = tuple(int(structure.take(0, axis).any()) for axis in range(ndim))
    background = build("numpy.logical_not", x=image)
    at_edge = build("lepton.near_edge", image=image, widths=widths)
    outside = components_where(
        build, background, connectivity=structure, marker=build("numpy.logical_and", x1=background, x2=at_edge)
    )
    return build("numpy.logical_not", x=outside)


def _check_fill_holes(arguments: Arguments) -> None:
    _no_output(arguments)
    shape, structure = arguments["input"].shape, arguments["structure"]
    if np.any(arguments["origin"]):
        raise InputError(
            "origin is not supported here, SciPy 1.17 can crash with it; give a structure that lies that way"
        )
    size = (3,) * len(shape) if structure is None else np.shape(structure)
    if len(size) != len(shape) or any(n > max(3, most) for n, most in zip(size, shape, strict=True)):
        raise InputError(
            f"structure of shape {size} for an image of shape {shape}; give one of as many axes that is not larger, "
            "with which SciPy 1.17 can crash"
        )


def _no_output(arguments: Arguments) -> None:
    if arguments["output"] is not None:
        raise InputError("output is not supported here, the result is a new image; leave it out and use .astype")


# ------------------------------------------------------------------------------------------------ small components


def without_small_objects(arguments: Arguments, build: Build) -> Any:
    """`remove_small_objects`: of a mask its components, of labels those that occur seldom in the whole image."""
    image, at_most = arguments["ar"], arguments["max_size"]
    if image.dtype != bool:
        labels = build("lepton.small_labels", image=image, at_most=at_most)
        return build("lepton.without_labels", image=image, labels=labels)
    return build("lepton.filled", image=image, mask=_small(image, arguments, build), value=False)


def without_small_holes(arguments: Arguments, build: Build) -> Any:
    """`remove_small_holes`: a mask, its background's small components filled."""
    image = arguments["ar"]
    holes = _small(build("numpy.logical_not", x=image), arguments, build)
    return build("numpy.logical_or", x1=image, x2=holes)


def _small(mask: Any, arguments: Arguments, build: Build) -> Any:
    near = neighbourhood(arguments["connectivity"], len(mask.shape))
    return components_where(build, mask, connectivity=near, at_most=arguments["max_size"])


def small_labels(image: Array, at_most: float) -> Partial:
    """How many pixels each label has."""
    if image.dtype.kind == "i" and image.min(initial=0) < 0:
        raise InputError(
            f"the image has negative labels, such as {image.min()}; labels count from 0: use measure.label first"
        )
    labels, counts = np.unique(image, return_counts=True)
    return {"labels": labels, "counts": counts}


def combine_sizes(partials: Partials, arguments: Arguments, grid: BlockGrid, region: Region | None = None) -> Partial:
    found = [partial for _, partial in partials]
    labels, at = np.unique(np.concatenate([partial["labels"] for partial in found]), return_inverse=True)
    counts = np.zeros(labels.size, np.int64)
    np.add.at(counts, at, np.concatenate([partial["counts"] for partial in found]))
    return {"labels": labels, "counts": counts}


def merge_sizes(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The labels that have at most so many pixels."""
    total = combine_sizes(partials, arguments, grid)
    small: Array = total["labels"][total["counts"] <= arguments["at_most"]]
    return small


def without_labels(image: Array, labels: Array) -> Array:
    """The image with 0 in the place of these labels, which are in order."""
    return filled(image, _among(image, labels)[1], 0)


def _among(image: Array, labels: Array) -> tuple[Array, Array]:
    """Where each pixel stands among labels that are in order, and whether it is one of them."""
    if not labels.size:
        return np.zeros(image.shape, np.intp), np.zeros(image.shape, bool)
    at = np.minimum(np.searchsorted(labels, image), labels.size - 1)
    return at, labels[at] == image


# ------------------------------------------------------------------------------------------------ flooding


def floodable(image: Array, seed: Any, point: Sequence[int], tolerance: float | None, where: Where) -> Array:
    """Pixels that a flood from `seed`, the pixel at `point`, goes on over.

    Source: `skimage.morphology.flood`.
    """
    start = at_point(image, point, where)
    low, high = (seed, seed) if tolerance is None else _tolerated(seed, tolerance)
    mask: Array = ((low <= image) & (image <= high)) | start
    return mask


def _tolerated(seed: Any, tolerance: float) -> tuple[Any, Any]:
    """The range of pixels that differ from a seed by no more, cut off at the range of the dtype, as pixels."""
    dtype = seed.dtype
    if dtype.kind == "b":
        least, most = False, True
    else:
        info: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        least, most = np.asarray(info.min).item(), np.asarray(info.max).item()
    bounds = max(least, seed.item() - abs(tolerance)), min(most, seed.item() + abs(tolerance))
    # as C has it: fractions are dropped
    return tuple(dtype.type(bound if dtype.kind == "f" else int(bound)) for bound in bounds)


def _flooded(arguments: Arguments, build: Build) -> Any:
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


def _seed_point(arguments: Arguments) -> tuple[int, ...]:
    """The seed, counted from the start of each axis."""
    given, shape = arguments["seed_point"], arguments["image"].shape
    point = np.atleast_1d(np.asarray(given))
    whole_numbers = point.ndim == 1 and point.dtype.kind in "iu"
    if not whole_numbers or point.size != len(shape) or any(not -n <= p < n for p, n in zip(point, shape, strict=True)):
        raise InputError(f"seed_point={given} for an image of shape {shape}; give a whole number inside it per axis")
    return tuple(int(p) % n for p, n in zip(point, shape, strict=True))


def _check_flood(arguments: Arguments) -> None:
    _seed_point(arguments)
    footprint, image = arguments["footprint"], arguments["image"]
    shape = (3,) * len(image.shape) if footprint is None else np.shape(footprint)
    if len(shape) != len(image.shape) or any(n % 2 == 0 for n in shape):
        raise InputError(
            f"footprint of shape {shape} for an image of {len(image.shape)} axes; give one of as many, with odd lengths"
        )
    if arguments.get("in_place"):
        raise InputError("in_place=True would change the input; leave it out, the result is a new image")


def _expand_flood_fill(arguments: Arguments, build: Build) -> Any:
    mask = _flooded(arguments, build)
    return build("lepton.filled", image=arguments["image"], mask=mask, value=arguments["new_value"])


# ------------------------------------------------------------------------------------------------ numbers


def _expand_ndimage_label(arguments: Arguments, build: Build) -> Any:
    image, structure = arguments["input"], arguments["structure"]
    mask = build("numpy.not_equal", x1=image, x2=0)
    near = neighbourhood(1, len(image.shape)) if structure is None else np.asarray(structure, bool)
    blocks = build(LABELS, image=mask, background=0, connectivity=near)
    return numbered(build, blocks, label_dtype(mask), arguments.get("part", 0))


def _check_ndimage_label(arguments: Arguments) -> None:
    _no_output(arguments)
    ndim, structure = len(arguments["input"].shape), arguments["structure"]
    if structure is not None and not joins_neighbours(np.asarray(structure, bool), ndim):
        raise InputError(
            f"structure of shape {np.shape(structure)} for an image of {ndim} axes; give one of shape {(3,) * ndim}, "
            "symmetric about its middle, which is set"
        )


def label_ids(image: Array) -> Partial:
    """The labels that occur."""
    if image.dtype.kind == "i" and image.min(initial=0) < 0:
        raise InputError(f"the image has negative labels, such as {image.min()}; give labels that count from 0")
    return {"labels": np.unique(image)}


def combine_ids(partials: Partials, arguments: Arguments, grid: BlockGrid, region: Region | None = None) -> Partial:
    return {"labels": np.unique(np.concatenate([partial["labels"] for _, partial in partials]))}


def merge_ids(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    return combine_ids(partials, arguments, grid)["labels"]


def sequence(labels: Array, offset: int, dtype: str) -> Array:
    """The new number of each label, in the dtype of the image.

    Source: `skimage.segmentation.relabel_sequential`.
    """
    numbers = np.arange(offset, offset + labels.size, dtype=object) - int(labels[0] == 0)
    if labels[0] == 0:
        numbers[0] = 0
    last, given = int(numbers[-1]), np.dtype(dtype)
    if last > np.iinfo(given).max or (last == np.iinfo(given).max and np.min_scalar_type(last) != given):
        raise InputError(
            f"{labels.size} labels from {offset} on go up to {last}, for which scikit-image leaves {given} for a larger "
            "dtype; this is known only now: convert the image with .astype first"
        )
    return numbers.astype(given)


def renumbered(image: Array, labels: Array, numbers: Array) -> Array:
    return np.asarray(numbers[_among(image, labels)[0]])


def as_map(keys: Array, values: Array) -> Array:
    """`values` at the places `keys`, 0 elsewhere: `np.asarray` of an `ArrayMap`."""
    if int(keys.max()) >= 2**31:
        raise InputError(f"a map up to label {keys.max()} is too long; take the relabelled image without its maps")
    result = np.zeros(int(keys.max()) + 1, values.dtype)
    result[keys] = values
    return result


def _expand_sequential(arguments: Arguments, build: Build) -> Any:
    image = arguments["label_field"]
    labels = build("lepton.label_ids", image=image)
    numbers = build("lepton.sequence", labels=labels, offset=int(arguments["offset"]), dtype=str(image.dtype))
    part = arguments["part"]
    if part == 0:
        return build("lepton.renumbered", image=image, labels=labels, numbers=numbers)
    keys, values = (labels, numbers) if part == 1 else (numbers, labels)
    return build("lepton.as_map", keys=keys, values=values)


def _check_sequential(arguments: Arguments) -> None:
    image, offset = arguments["label_field"], arguments["offset"]
    if not 0 < offset <= np.iinfo(image.dtype).max:
        raise InputError(
            f"offset={offset} for labels of dtype {image.dtype}; give one from 1 to {np.iinfo(image.dtype).max}, "
            "or convert the labels with .astype first"
        )


# ------------------------------------------------------------------------------------------------ entries

_HERE = "lepton_celery.catalogue.shared.components"


def _mask(name: str, function: Any, **options: Any) -> Local:
    """A part that makes a bool image."""
    return Local(
        name=f"lepton.{name}",
        source=f"{_HERE}.{name}",
        function=function,
        dtype=lambda arguments: np.dtype(bool),
        **options,
    )


def _value(name: str, function: Any, *values: str, **options: Any) -> ValueFunction:
    return ValueFunction(
        name=f"lepton.{name}", source=f"{_HERE}.{name}", images=(), values=values, function=function, **options
    )


def _flood(module: str, name: str, expand: Any, example: Mapping[str, Any]) -> Composite:
    return Composite(
        name=f"{module}.{name}",
        source=f"skimage.{module}.{name}",
        dtype_kinds="biuf",
        check=_check_flood,
        expand=expand,
        gives="image",
        example={"seed_point": lambda ndim: (0,) * ndim, **example},
    )


def entries() -> list[Entry]:
    """Functions of components, and their parts."""
    return [
        _mask("above_low", above_low, images=("image", "low", "high"), values=("low", "high"), cost_ns=2.0),
        _mask("above_high", above_high, images=("image", "high"), values=("high",), cost_ns=1.0),
        _mask("near_edge", near_edge, wants_where=True),
        _mask("at_point", at_point, wants_where=True),
        _mask("floodable", floodable, values=("seed",), wants_where=True),
        Local(
            name="lepton.filled",
            source=f"{_HERE}.filled",
            images=("image", "mask"),
            function=filled,
            cost_ns=2.0,
        ),
        Composite(
            name="filters.apply_hysteresis_threshold",
            source="skimage.filters.apply_hysteresis_threshold",
            images=("image", "low", "high"),
            values=("low", "high"),
            expand=_expand_hysteresis,
            gives="image",
            example={"low": 0.3, "high": 0.6},
        ),
        Composite(
            name="segmentation.clear_border",
            source="skimage.segmentation.clear_border",
            images=("labels", "mask"),
            dtype_kinds="bui",
            check=_check_clear_border,
            expand=_expand_clear_border,
            gives="image",
        ),
        Composite(
            name="ndimage.binary_fill_holes",
            source="scipy.ndimage.binary_fill_holes",
            images=("input",),
            check=_check_fill_holes,
            expand=_expand_fill_holes,
            gives="image",
        ),
        whole(
            "lepton.fill_holes_whole",
            source="scipy.ndimage.binary_fill_holes",
            images=("input",),
            dtype=lambda arguments: np.dtype(bool),  # trying it on fewer pixels than its structure has could crash
            cost_ns=100.0,
        ),
        whole(
            "lepton.flood_whole",
            source="skimage.morphology.flood",
            dtype=lambda arguments: np.dtype(bool),  # a few pixels to try it on may not have the seed
            cost_ns=100.0,
        ),
        *[
            _flood(module, name, expand, example)
            for module in ("morphology", "segmentation")
            for name, expand, example in (
                ("flood", _flooded, {}),
                ("flood_fill", _expand_flood_fill, {"new_value": 1}),
            )
        ],
        Composite(
            name="ndimage.label",
            source="scipy.ndimage.label",
            images=("input",),
            check=_check_ndimage_label,
            expand=_expand_ndimage_label,
            returns=2,
            gives="",
        ),
        Reduction(
            name="lepton.small_labels",
            source=f"{_HERE}.small_labels",
            partial=small_labels,
            merge=merge_sizes,
            combine=combine_sizes,
            result=lambda arguments: ((-1,), arguments["image"].dtype),
            cost_ns=20.0,
        ),
        Local(
            name="lepton.without_labels",
            source=f"{_HERE}.without_labels",
            values=("labels",),
            function=without_labels,
            dtype=lambda arguments: arguments["image"].dtype,
            cost_ns=30.0,
        ),
        Reduction(
            name="lepton.label_ids",
            source=f"{_HERE}.label_ids",
            partial=label_ids,
            merge=merge_ids,
            combine=combine_ids,
            result=lambda arguments: ((-1,), arguments["image"].dtype),
            cost_ns=20.0,
        ),
        _value("sequence", sequence, "labels", result=lambda arguments: ((-1,), np.dtype(arguments["dtype"]))),
        _value("as_map", as_map, "keys", "values", result=lambda arguments: ((-1,), arguments["values"].dtype)),
        Local(
            name="lepton.renumbered",
            source=f"{_HERE}.renumbered",
            values=("labels", "numbers"),
            function=renumbered,
            dtype=lambda arguments: arguments["image"].dtype,
            cost_ns=30.0,
        ),
        Composite(
            name="segmentation.relabel_sequential",
            source="skimage.segmentation.relabel_sequential",
            images=("label_field",),
            dtype_kinds="iu",
            samples={"label_field": "labels"},
            check=_check_sequential,
            expand=_expand_sequential,
            returns=3,
            gives="",
        ),
        Refused(
            name="morphology.convex_hull_object",
            source="skimage.morphology.convex_hull_object",
            reason="an object's hull can lie over blocks that the object itself does not touch",
            instead="measure.regionprops_table with area_convex or solidity, or compute it on the whole image",
        ),
    ]
