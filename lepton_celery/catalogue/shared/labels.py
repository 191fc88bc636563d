"""Connected components: blocks are labelled one by one, joined across their faces, and numbered as in scikit-image.

scikit-image numbers components in the raster order of their first pixels: the number of a component is one more than the
number of components that begin before it. Only a label that touches another block can belong to a component that began
elsewhere. Such a label is *open*, and joining (`label_joining`) deals with open labels only. All labels are counted: a
block leaves the number of labels that begin in each of its rows of pixels, and running sums of these counts give the number
at which each row of each block starts (`label_tables`).

The name of an open label is the raster index, in the whole image, of its first pixel. The name of a component is the least
name of its labels.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Partial, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Labelling
from lepton_celery.catalogue.shared.fastest import fastest
from lepton_celery.catalogue.shared.label_joining import FALSE, OPEN, TRUE, combine_labels, is_edge, merge_labels
from lepton_celery.catalogue.shared.label_kernels import label_alone
from lepton_celery.errors import ArgumentNotImplementedError, InputError

LABELS = "lepton.label_blocks"
"""The entry whose image has the labels of each block by itself."""
DECIDED = "lepton.decide_components"
"""The entry whose image has the state of each component: `TRUE`, `FALSE` or, if its block cannot decide, from `OPEN` on."""

_ROWS_AT_ONCE = 256
"""Largest number of labels whose first pixels are searched for in one comparison of rows."""

_JOINING: dict[str, Any] = {"dtype_kinds": "bui", "merge": merge_labels, "combine": combine_labels}


@declare(Labelling(LABELS, wants_kernels=True, cost_ns=5.0, **_JOINING))
def label_block(
    image: Array, background: int | None, connectivity: int | Array | None, where: Where, kernels: bool = False
) -> tuple[Array, Partial]:
    """The labels of a block, and its partial: open labels, faces, and the number of labels that begin in each row."""
    arguments = {"image": image, "background": background, "connectivity": connectivity}
    labels = fastest(label_alone, arguments, kernels)
    begun = labels_begun(labels)
    open_numbers, partial = open_labels(labels, image, begun, where)
    counts = np.diff(begun, prepend=begun.dtype.type(0)).reshape(*labels.shape[:-1], 1)
    return labels, partial | {"ids": open_numbers.astype(np.int32), "counts": counts}


@declare(Labelling(DECIDED, images=("image", "marker"), wants_kernels=True, cost_ns=16.0, **_JOINING))
def decide_components(
    image: Array,
    background: int | None,
    connectivity: int | Array | None,
    where: Where,
    marker: Array | None = None,
    at_most: float = 0,
    kernels: bool = False,
) -> tuple[Array, Partial]:
    """Decide which components of a block meet a condition, if they lie inside the block.

    The condition is that the component has a pixel of `marker` or, without a marker, at most `at_most` pixels. The returned
    image is 0 on the background, `TRUE` or `FALSE` on components inside the block, and `OPEN` plus the index of the open
    label on components that may continue in other blocks.
    """
    arguments = {"image": image, "background": background, "connectivity": connectivity}
    labels = fastest(label_alone, arguments, kernels)
    begun = labels_begun(labels)
    open_numbers, partial = open_labels(labels, image, begun, where)
    decided = np.zeros(int(begun[-1]) + 1 if begun.size else 1, bool)
    if marker is not None:
        decided[labels[marker]] = True
        partial["marked"] = decided[open_numbers]
    else:
        sizes = np.bincount(labels.ravel())
        decided = sizes <= at_most
        decided[0] = False
        partial["size"] = sizes[open_numbers]
    state = np.where(decided, TRUE, FALSE).astype(np.int32)
    state[0] = 0
    state[open_numbers] = OPEN + np.arange(open_numbers.size)
    return state[labels], partial | {"background": decided[:1]}


def labels_begun(labels: Array) -> Array:
    """The number of labels that begin in or before each row of pixels; labels are in the order of their first pixels."""
    rows = labels.reshape(-1, labels.shape[-1])
    begun: Array = np.maximum.accumulate(rows.max(axis=1, initial=0))
    return begun


def _first_pixels(labels: Array, begun: Array, wanted: Array) -> Array:
    """The raster index, in the block, of the first pixel of each wanted label."""
    length = labels.shape[-1]
    rows = labels.reshape(-1, length)
    first_rows = np.searchsorted(begun, wanted)
    columns = np.zeros(wanted.size, np.intp)
    for start in range(0, wanted.size, _ROWS_AT_ONCE):
        chosen = slice(start, start + _ROWS_AT_ONCE)
        columns[chosen] = (rows[first_rows[chosen]] == wanted[chosen, np.newaxis]).argmax(axis=1)
    first: Array = first_rows * length + columns
    return first


def open_labels(labels: Array, image: Array, begun: Array, where: Where) -> tuple[Array, Partial]:
    """The open labels of a block, with their names, and the block's inner faces, on which they are numbered from 1."""
    region, shape = where.region, where.shape
    cuts: dict[str, tuple[slice, ...]] = {}
    for axis, side in product(range(labels.ndim), (0, 1)):
        if not is_edge(region, axis, side, shape):
            cut = [slice(None)] * labels.ndim
            cut[axis] = slice(0, 1) if side == 0 else slice(-1, None)
            cuts[f"{axis}{side}"] = tuple(cut)
    count = int(begun[-1]) if begun.size else 0
    touching = np.zeros(count + 1, bool)
    for face in cuts.values():
        touching[labels[face]] = True
    touching[0] = False
    open_numbers = np.flatnonzero(touching)
    local = np.unravel_index(_first_pixels(labels, begun, open_numbers), labels.shape)
    position = tuple(p + start for p, start in zip(local, region.start, strict=True))
    partial: Partial = {"names": np.asarray(np.ravel_multi_index(position, shape), np.int64)}
    order = np.zeros(count + 1, np.int32)
    order[open_numbers] = np.arange(1, open_numbers.size + 1)
    for key, face in cuts.items():
        partial[f"labels{key}"] = order[labels[face]]
        if image.dtype != bool:
            partial[f"pixels{key}"] = np.ascontiguousarray(image[face])
    return open_numbers, partial


# ------------------------------------------------------------------------------------------------ composites


def label_dtype(image: Lazy) -> DType:
    """The dtype of `skimage.measure.label`: int32 for bool images of up to 2**31 pixels, int64 otherwise."""
    size = math.prod(image.shape)
    return np.dtype(np.int32) if image.dtype == bool and size < 2**31 - 2 else np.dtype(np.int64)


def numbered(build: Build, blocks: Lazy, dtype: DType, result_index: int) -> Lazy:
    """The global labels of labelled blocks (result 0), or their number (result 1)."""
    if result_index:
        return build("lepton.label_count", table=blocks)
    return build("lepton.relabel", ids=blocks, table=blocks, dtype=str(dtype))


def _expand_label(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["label_image"]
    options = {name: arguments[name] for name in ("background", "connectivity")}
    return numbered(build, build(LABELS, image=image, **options), label_dtype(image), arguments.get("result_index", 0))


def _check_label(arguments: Arguments) -> None:
    image, connectivity = arguments["label_image"], arguments["connectivity"]
    ndim = len(image.shape)
    if image.dtype != bool and ndim > 3:
        raise ArgumentNotImplementedError(
            f"images of integers have 1 to 3 axes here, as in scikit-image; this one has {ndim}"
        )
    if image.dtype != bool and ndim == 3 and image.shape[-1] == 1 and min(image.shape[:2]) > 1:
        raise InputError(
            f"scikit-image numbers an image of integers of shape {tuple(image.shape)} column by column, not row by row; "
            "leave its last axis out: image[..., 0]"
        )
    if connectivity is not None and not 1 <= connectivity <= ndim:
        raise InputError(f"connectivity={connectivity} for an image of {ndim} axes; give a number from 1 to {ndim}")


def label_entry(family: str) -> Composite:
    """`label` of `measure` or `morphology`; with `return_num`, it returns the number of components too."""
    return Composite(
        f"{family}.label",
        images=("label_image",),
        dtype_kinds="bui",
        check=_check_label,
        expand=_expand_label,
        returns=lambda arguments: 2 if arguments["return_num"] else 0,
        gives="",
    )
