"""Properties that scikit-image measures object by object, each on the pixels of its bounding box.

`skimage.measure._regionprops` reads an image only as `image[region.slice]`. Here it gets the same boxes from the stored
images, so its results are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials, View, Where
from lepton_celery.catalogue.shared.functions import OwnFunction, callable_of
from lepton_celery.catalogue.shared.object_boxes import Boxed, ObjectBoxes

GROUP_PX = 1 << 22
"""Pixels of the bounding boxes of objects that are measured together, which bounds the memory that scikit-image needs."""


def measured_partial(
    label_image: View,
    intensity_image: View | None,
    measured: Sequence[str],
    separator: str,
    spacing: Any,
    extra_properties: Sequence[OwnFunction] | None,
    objects: Mapping[str, Array],
    where: Where,
) -> Partial:
    """The properties `measured` of the objects whose bounding box begins in this block, and their rows in the table.

    `objects` has the label and the bounding box of every object of the image.

    Raises:
        InputError: an object's box is too large to be measured at once.
    """
    from skimage.measure._regionprops import RegionProperties

    found = ObjectBoxes.begin_in(where.region, objects)
    if not found.row.size:
        return {"row": found.row}
    found.refuse_huge(
        "set that label to 0, or ask only for properties that are merged from blocks (area, bbox, centroid, extent, "
        "intensity_mean …)"
    )
    slices = as_slices(found.starts, found.stops)
    pixels = Boxed(label_image, found.near_region)
    intensities = None if intensity_image is None else Boxed(intensity_image, found.near_region)
    functions = [callable_of(function) for function in extra_properties or ()]
    groups = []
    for group in _groups(found.sizes):
        regions = [
            RegionProperties(
                slices[i], int(found.labels[i]), pixels, intensities, True, spacing=spacing, extra_properties=functions
            )
            for i in group
        ]
        groups.append(_columns(regions, measured, separator))
    columns = {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}
    return {"row": found.row, **_packed(columns)}


def as_slices(starts: Array, stops: Array) -> Array:
    """The property `slice` of each object."""
    slices = np.empty(starts.shape[1], dtype=object)
    for row, (start, stop) in enumerate(zip(starts.T.tolist(), stops.T.tolist(), strict=True)):
        slices[row] = tuple(slice(a, b, None) for a, b in zip(start, stop, strict=True))
    return slices


def _groups(sizes: Array) -> Iterator[range]:
    """Ranges of objects that are measured together: boxes of up to `GROUP_PX` pixels in all, or a single object."""
    first, total = 0, 0
    for index, size in enumerate(sizes.tolist()):
        if index > first and total + size > GROUP_PX:
            yield range(first, index)
            first, total = index, 0
        total += size
    yield range(first, len(sizes))


def _columns(regions: Sequence[Any], properties: Iterable[str], separator: str) -> dict[tuple[str, str], Array]:
    """The properties that scikit-image measures of the regions, by property and column."""
    from skimage.measure._regionprops import _props_to_dict

    return {
        (name, column): values
        for name in properties
        for column, values in _props_to_dict(regions, (name,), separator).items()
    }


def _packed(columns: Mapping[tuple[str, str], Array]) -> Partial:
    """The columns stacked by dtype, because a partial of a hundred arrays takes long to write and read."""
    packed: Partial = {}
    for number, dtype in enumerate(dict.fromkeys(values.dtype for values in columns.values())):
        of_dtype = {name: values for name, values in columns.items() if values.dtype == dtype}
        packed |= {f"names{number}": np.array(list(of_dtype)), f"values{number}": np.stack(list(of_dtype.values()))}
    return packed


def measured_columns(partials: Partials) -> dict[str, dict[str, Array]]:
    """The columns of each measured property, by property."""
    of_blocks = [partial for _, partial in partials if partial["row"].size]
    columns: dict[str, dict[str, Array]] = {}
    if not of_blocks:
        return columns
    order = np.argsort(np.concatenate([partial["row"] for partial in of_blocks]))
    for key in (key for key in of_blocks[0] if key.startswith("names")):
        values = np.concatenate([partial[key.replace("names", "values")] for partial in of_blocks], axis=1)
        for (name, column), measured in zip(of_blocks[0][key].tolist(), values, strict=True):
            columns.setdefault(name, {})[column] = measured[order]
    return columns


def empty_columns(arguments: Arguments) -> dict[str, dict[str, Array]]:
    """The columns that scikit-image returns for images without objects, by property."""
    from skimage.measure import regionprops_table

    labels, intensity = arguments["label_image"], arguments["intensity_image"]
    axes = (1,) * len(labels.shape)
    functions = {function.__name__: function for function in map(callable_of, arguments["extra_properties"] or ())}
    return {
        name: regionprops_table(
            np.zeros(axes, int),
            None if intensity is None else np.zeros((*axes, *intensity.shape[len(axes) :]), intensity.dtype),
            properties=() if name in functions else (name,),
            separator=arguments["separator"],
            extra_properties=[functions[name]] if name in functions else None,
            spacing=arguments["spacing"],
        )
        for name in arguments["measured"]
    }


def why_not(name: str, labels: Lazy, intensity: Lazy | None, spacing: Any) -> str:
    """Why scikit-image cannot measure a property of such images, tried on a small object; '' if it can."""
    from skimage.measure import regionprops_table

    ndim = len(labels.shape)
    sample = np.pad(np.ones((3,) * ndim, int), 1)
    pixels = None if intensity is None else np.ones((*sample.shape, *intensity.shape[ndim:]), intensity.dtype)
    try:
        with np.errstate(all="ignore"):
            regionprops_table(sample, pixels, properties=(name,), spacing=spacing)
    except (NotImplementedError, TypeError, ValueError, AttributeError) as error:
        return str(error) or type(error).__name__
    return ""
