"""Connected components: blocks labelled alone, joined across their faces, numbered as scikit-image numbers them.

scikit-image gives the component whose first pixel comes first in raster order the number 1, and so on. A block keeps for
each of its labels the raster index of its first pixel in the whole image; a component's number follows from the least of
these. Joining looks only at the pixels on block faces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import numpy as np

from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.operations.spec import (
    Arguments,
    Array,
    Build,
    Composite,
    Entry,
    Labelling,
    Local,
    Partial,
    ValueFunction,
)

LABELS = "lepton.label_blocks"
"""The entry whose image holds the labels that blocks had alone."""

Face = tuple[Array, Array | None]
"""Labels on a face of a block, and the pixel values there where components must have one value."""


def label_block(
    image: Array, background: int | None, connectivity: int | None, region: Region, shape: tuple[int, ...]
) -> tuple[Array, Partial]:
    """Labels of one block, int32 from 1, and what joining needs: first pixels and faces."""
    from skimage.measure import label

    labels: Array = label(image, background=background, connectivity=connectivity)
    partial: Partial = {"first": _first_pixels(labels, region, shape)}
    for axis in range(image.ndim):
        for side in (0, 1):
            if (region.start[axis] == 0) if side == 0 else (region.stop[axis] == shape[axis]):
                continue  # the image's true edge: nothing to join
            at = [slice(None)] * image.ndim
            at[axis] = slice(0, 1) if side == 0 else slice(-1, None)
            partial[f"labels{axis}{side}"] = labels[tuple(at)].astype(np.int32)
            if image.dtype != bool:
                partial[f"pixels{axis}{side}"] = np.ascontiguousarray(image[tuple(at)])
    return labels.astype(np.int32, copy=False), partial


def _first_pixels(labels: Array, region: Region, shape: tuple[int, ...]) -> Array:
    """Raster index in the whole image of each label's first pixel, in label order."""
    # labels are numbered by their first pixel, so each one makes the running maximum rise for the first time
    highest = np.maximum.accumulate(labels.ravel())
    local = np.flatnonzero(np.diff(highest, prepend=0))
    position = np.unravel_index(local, labels.shape)
    shifted = tuple(p + start for p, start in zip(position, region.start, strict=True))
    return np.ravel_multi_index(shifted, shape).astype(np.int64) if local.size else np.zeros(0, np.int64)


def merge_labels(partials: Iterable[tuple[int, Partial]], arguments: Arguments, grid: BlockGrid) -> dict[str, Array]:
    """The global number of each block's labels.

    Returns:
        `numbers`: global number of every block label, blocks one after the other; `offsets` `(blocks + 1,)`: where each
        block's begin; `count`: how many components the image has.

    Source: component numbering of `skimage.measure.label`. Holds the numbers, and the faces of one slab of blocks.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ndim = len(grid.shape)
    connectivity = arguments["connectivity"] or ndim
    firsts: list[Array] = []
    edges: list[Array] = []
    offsets = np.zeros(len(grid) + 1, dtype=np.int64)
    faces: dict[tuple[int, ...], tuple[int, Partial]] = {}
    slab = -1
    for index, partial in partials:
        position = grid.position(index)
        offset = int(offsets[index])
        offsets[index + 1] = offset + partial["first"].size
        firsts.append(partial["first"])
        for neighbour, toward in _earlier_neighbours(position, grid, connectivity):
            other_offset, other = faces[neighbour]
            edges.append(_joins(partial, offset, other, other_offset, toward, connectivity))
        if position[0] != slab:
            slab = position[0]
            faces = {at: kept for at, kept in faces.items() if at[0] >= slab - 1}
        faces[position] = (offset, partial)
    first = np.concatenate(firsts) if firsts else np.zeros(0, np.int64)
    total = first.size
    pairs = np.concatenate(edges) if edges else np.zeros((0, 2), np.int64)
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(total, total))
    count, component = connected_components(graph, directed=False) if total else (0, np.zeros(0, np.int32))
    least = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(least, component, first)
    number = np.empty(count, dtype=np.int64)
    number[np.argsort(least)] = np.arange(1, count + 1)
    return {"numbers": number[component], "offsets": offsets, "count": np.array(count, np.int64)}


def _earlier_neighbours(
    position: tuple[int, ...], grid: BlockGrid, connectivity: int
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Neighbours that precede a block in C order and may share a component with it, and the way to them."""
    zero = (0,) * len(position)
    for toward in product((-1, 0, 1), repeat=len(position)):
        if toward >= zero or sum(map(abs, toward)) > connectivity:
            continue
        neighbour = tuple(p + t for p, t in zip(position, toward, strict=True))
        if all(0 <= n < count for n, count in zip(neighbour, grid.counts, strict=True)):
            yield neighbour, toward


def _joins(
    partial: Partial, offset: int, other: Partial, other_offset: int, toward: tuple[int, ...], connectivity: int
) -> Array:
    """Pairs of provisional labels, `(pairs, 2)` from 0, that are one component across two blocks."""
    mine, my_pixels = _touching(partial, toward)
    theirs, their_pixels = _touching(other, tuple(-t for t in toward))
    across = sum(map(abs, toward))
    free = [axis for axis, t in enumerate(toward) if t == 0]
    found = []
    for shift in product((-1, 0, 1), repeat=len(free)):
        if across + sum(map(abs, shift)) > connectivity:
            continue
        here, there = [slice(None)] * len(toward), [slice(None)] * len(toward)
        for axis, s in zip(free, shift, strict=True):
            here[axis] = slice(max(0, -s), mine.shape[axis] - max(0, s))
            there[axis] = slice(max(0, s), mine.shape[axis] - max(0, -s))
        a, b = mine[tuple(here)], theirs[tuple(there)]
        joined = (a > 0) & (b > 0)
        if my_pixels is not None and their_pixels is not None:
            joined &= my_pixels[tuple(here)] == their_pixels[tuple(there)]
        found.append(np.stack([a[joined], b[joined]], axis=1).astype(np.int64))
    pairs = np.unique(np.concatenate(found), axis=0)
    shifted: Array = pairs + np.array([offset - 1, other_offset - 1])
    return shifted


def _touching(partial: Partial, toward: tuple[int, ...]) -> Face:
    """The part of a block's faces that touches the neighbour that way: a face, an edge or a corner."""
    axis = next(axis for axis, t in enumerate(toward) if t)
    side = int(toward[axis] > 0)
    cut = [slice(None)] * len(toward)
    for other in range(axis + 1, len(toward)):
        if toward[other]:
            cut[other] = slice(-1, None) if toward[other] > 0 else slice(0, 1)
    labels = partial[f"labels{axis}{side}"][tuple(cut)]
    pixels = partial.get(f"pixels{axis}{side}")
    return labels, None if pixels is None else pixels[tuple(cut)]


def relabel(ids: Array, table: dict[str, Array], dtype: str, region: Region, grid: BlockGrid) -> Array:
    """Global labels of a region, from the labels its blocks had alone."""
    result = np.empty(ids.shape, dtype=dtype)
    offsets, numbers = table["offsets"], table["numbers"]
    for index in grid.overlapping(region):
        block = grid.region(index)
        shared = Region(
            tuple(map(max, block.start, region.start)),
            tuple(map(min, block.stop, region.stop)),
        )
        lookup = np.zeros(int(offsets[index + 1] - offsets[index]) + 1, dtype=dtype)
        lookup[1:] = numbers[offsets[index] : offsets[index + 1]]
        inside = shared.within(region)
        result[inside] = lookup[ids[inside]]
    return result


def label_dtype(image: Any) -> np.dtype[Any]:
    """What `skimage.measure.label` returns: int32 for bool images of up to 2**31 pixels, int64 otherwise."""
    size = int(np.prod([int(n) for n in image.shape], dtype=object))
    return np.dtype(np.int32) if image.dtype == bool and size < 2**31 - 2 else np.dtype(np.int64)


def _expand_label(arguments: Arguments, build: Build) -> Any:
    image = arguments["label_image"]
    blocks = build(
        LABELS,
        image=image,
        background=arguments["background"],
        connectivity=arguments["connectivity"],
    )
    return build("lepton.relabel", ids=blocks, table=blocks, dtype=str(label_dtype(image)))


def _check_label(arguments: Arguments) -> None:
    image, connectivity = arguments["label_image"], arguments["connectivity"]
    if connectivity is not None and not 1 <= connectivity <= len(image.shape):
        raise InputError(
            f"connectivity={connectivity} for an image of {len(image.shape)} axes; "
            f"give a number from 1 to {len(image.shape)}"
        )


def _expand_count(arguments: Arguments, build: Build) -> Any:
    image = arguments["label_image"]
    options = {name: arguments[name] for name in ("background", "connectivity")}
    return build("lepton.label_count", table=build(LABELS, image=image, **options))


def label_count(table: dict[str, Array]) -> Any:
    """How many components there are."""
    return table["count"][()]


def entries() -> list[Entry]:
    """Connected components and their count."""
    here = "lepton_celery.operations.labels"
    return [
        Labelling(
            name=LABELS,
            source=f"{here}.label_block",
            kinds="bui",
            function=label_block,
            merge=merge_labels,
            cost_ns=8.0,
        ),
        Local(
            name="lepton.relabel",
            source=f"{here}.relabel",
            images=("ids",),
            values=("table",),
            function=relabel,
            located=True,
            dtype=lambda arguments: np.dtype(arguments["dtype"]),
            cost_ns=3.0,
        ),
        ValueFunction(
            name="lepton.label_count",
            source=f"{here}.label_count",
            images=(),
            values=("table",),
            function=label_count,
            result=lambda arguments: ((), np.dtype(np.int64)),
        ),
        Composite(
            name="measure.label",
            source="skimage.measure.label",
            images=("label_image",),
            kinds="bui",
            check=_check_label,
            expand=_expand_label,
            gives="image",
        ),
        Composite(
            name="lepton.count_labels",
            source="skimage.measure.label",
            images=("label_image",),
            kinds="bui",
            check=_check_label,
            expand=_expand_count,
            result=lambda arguments: ((), np.dtype(np.int64)),
        ),
    ]
