"""Properties that scikit-image measures object by object, each on the pixels of its bounding box.

`skimage.measure._regionprops` reads an image only as `image[region.slice]`. Here it gets the same boxes from the stored
images, so its results are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials, View, Where
from lepton_celery.catalogue.shared.functions import OwnFunction, callable_of
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

MAX_BOX_PX = 1 << 26
"""Pixels of the largest bounding box of an object in several blocks. One worker measures it, in 10 to 80 bytes per pixel."""
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

    ndim = len(label_image.shape)
    boxes = np.stack([[objects[f"{edge}{axis}"] for axis in range(ndim)] for edge in ("start", "stop")])
    block = np.array([where.region.start, where.region.stop])[:, :, None]
    begins = ((boxes[0] >= block[0]) & (boxes[0] < block[1])).all(axis=0)
    row = np.flatnonzero(begins)
    if not row.size:
        return {"row": row}
    labels, boxes = objects["label"][row], boxes[:, :, row]
    sizes = (boxes[1] - boxes[0]).prod(axis=0)
    _refuse_huge(labels, sizes, cut=(boxes[1] > block[1]).any(axis=0))
    slices = as_slices(boxes[0], boxes[1])
    near = _near_region(boxes, block)
    pixels = _Boxed(label_image, near)
    intensities = None if intensity_image is None else _Boxed(intensity_image, near)
    functions = [callable_of(function) for function in extra_properties or ()]
    groups = []
    for group in _groups(sizes):
        regions = [
            RegionProperties(
                slices[i], int(labels[i]), pixels, intensities, True, spacing=spacing, extra_properties=functions
            )
            for i in group
        ]
        groups.append(_columns(regions, measured, separator))
    columns = {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}
    return {"row": row, **_packed(columns)}


def as_slices(starts: Array, stops: Array) -> Array:
    """The property `slice` of each object."""
    slices = np.empty(starts.shape[1], dtype=object)
    for row, (start, stop) in enumerate(zip(starts.T.tolist(), stops.T.tolist(), strict=True)):
        slices[row] = tuple(slice(a, b, None) for a, b in zip(start, stop, strict=True))
    return slices


def _refuse_huge(labels: Array, sizes: Array, cut: Array) -> None:
    for index in np.flatnonzero(cut & (sizes > MAX_BOX_PX)):
        raise InputError(
            f"object {labels[index]} has a bounding box of {sizes[index]:,} pixels, over the limit of {MAX_BOX_PX:,} for "
            "one worker; set that label to 0, or ask only for properties that are merged from blocks (area, bbox, centroid, "
            "extent, intensity_mean …)"
        )


def _near_region(boxes: Array, block: Array) -> Region:
    """The region around all boxes that end at most half a block beyond the block; it is read at once and may be empty."""
    near = (boxes[1] <= block[1] + (block[1] - block[0]) // 2).all(axis=0)
    start = boxes[0][:, near].min(axis=1) if near.any() else block[0, :, 0]
    stop = boxes[1][:, near].max(axis=1) if near.any() else start
    return Region(tuple(start.tolist()), tuple(stop.tolist()))


def _groups(sizes: Array) -> Iterator[range]:
    """Ranges of objects that are measured together: boxes of up to `GROUP_PX` pixels in all, or a single object."""
    first, total = 0, 0
    for index, size in enumerate(sizes.tolist()):
        if index > first and total + size > GROUP_PX:
            yield range(first, index)
            first, total = index, 0
        total += size
    yield range(first, len(sizes))


class _Boxed:
    """A stored image that is indexed like an array. Boxes inside the region `near` are cut from one read of that region."""

    def __init__(self, view: View, near: Region) -> None:
        self.shape = tuple(view.shape)
        self.ndim = len(self.shape)
        self._view = view
        self._near = self._with_channels(near.start, near.stop)

    def __getitem__(self, box: tuple[slice, ...]) -> Array:
        region = self._with_channels([edge.start for edge in box], [edge.stop for edge in box])
        if self._near.contains(region):
            return self._pixels[region.within(self._near)]
        return self._view.read(region)

    def _with_channels(self, start: Sequence[int], stop: Sequence[int]) -> Region:
        channels = self.shape[len(start) :]
        return Region((*start, *(0 for _ in channels)), (*stop, *channels))

    @cached_property
    def _pixels(self) -> Array:
        return self._view.read(self._near)


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
