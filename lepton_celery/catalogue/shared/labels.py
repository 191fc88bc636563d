"""Connected components: blocks labelled alone, joined across their faces, numbered as scikit-image numbers them.

scikit-image gives the component whose first pixel comes first in raster order the number 1, and so on. So a component's
number is how many components' first pixels come before its own, and one more. Only labels that touch another block can be
part of a component that began elsewhere: they are *open*, and joining knows no others. The rest are counted: a row of
pixels of one block adds one number, and sums of these say where the numbers of each block's rows begin.

An open label is called by the raster index of its first pixel in the whole image, a component by the least of its labels'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Labelling, Local, MergedLabels, ValueFunction
from lepton_celery.catalogue.shared.label_kernels import label_alone, quickest, table_at
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, BlockIndex, Region

LABELS = "lepton.label_blocks"
"""The entry whose image holds the labels that blocks had alone."""
SETTLED = "lepton.settle_blocks"
"""The entry whose image holds what is known of each component where it was seen alone."""

FACTS = ("marked", "size")
"""What is added up over the labels of a component."""
TRUE, FALSE, OPEN = 1, 2, 3
"""Settled labels: the fact holds, it does not; from here on open labels in order."""

_AT_ONCE = 256
"""Labels whose first pixels are looked for together, each in a row of its own."""

Face = tuple[Array, Array | None]
"""Labels on a face of a block, and the pixel values there where components must have one value."""


def neighbourhood(connectivity: Any, ndim: int) -> Array:
    """Which of the 3**ndim pixels around one belong to its component: a number of axes, or the structure itself."""
    from scipy.ndimage import generate_binary_structure

    if isinstance(connectivity, np.ndarray):
        return connectivity.astype(bool)
    structure: Array = generate_binary_structure(ndim, ndim if connectivity is None else connectivity)
    return structure


def label_block(
    image: Array, background: int | None, connectivity: Any, where: Where, kernels: bool = False
) -> tuple[Array, Partial]:
    """Labels of one block, and what joining needs: open labels, faces, how many labels begin in each row."""
    arguments = {"image": image, "background": background, "connectivity": connectivity}
    labels = quickest(label_alone, arguments, kernels)
    known = _known_after_rows(labels)
    ids, partial = _open_labels(labels, image, known, where)
    counts = np.diff(known, prepend=known.dtype.type(0)).reshape(*labels.shape[:-1], 1)
    return labels, partial | {"ids": ids.astype(np.int32), "counts": counts}


def settle_block(
    image: Array,
    background: int | None,
    connectivity: Any,
    where: Where,
    marker: Array | None = None,
    at_most: float = 0,
    kernels: bool = False,
) -> tuple[Array, Partial]:
    """Where a component of this block has a pixel of `marker`, or else has `at_most` so many pixels: 0 on the background,
    `TRUE` and `FALSE` where that is known, from `OPEN` on where it depends on other blocks."""
    arguments = {"image": image, "background": background, "connectivity": connectivity}
    labels = quickest(label_alone, arguments, kernels)
    known = _known_after_rows(labels)
    ids, partial = _open_labels(labels, image, known, where)
    fact = np.zeros(int(known[-1]) + 1 if known.size else 1, bool)
    if marker is not None:
        fact[labels[marker]] = True
        partial["marked"] = fact[ids]
    else:
        sizes = np.bincount(labels.ravel())
        fact = sizes <= at_most
        fact[0] = False
        partial["size"] = sizes[ids]
    state = np.where(fact, TRUE, FALSE).astype(np.int32)
    state[0] = 0
    state[ids] = OPEN + np.arange(ids.size)
    return state[labels], partial | {"background": fact[:1]}


def _known_after_rows(labels: Array) -> Array:
    """How many labels have begun when each row of pixels ends: they are numbered by their first pixels."""
    rows = labels.reshape(-1, labels.shape[-1])
    known: Array = np.maximum.accumulate(rows.max(axis=1, initial=0))
    return known


def _first_pixels(labels: Array, known: Array, ids: Array) -> Array:
    """Raster index in the block of the first pixel of each of these labels."""
    length = labels.shape[-1]
    rows = labels.reshape(-1, length)
    begins = np.searchsorted(known, ids)
    columns = np.zeros(ids.size, np.intp)
    for at in range(0, ids.size, _AT_ONCE):
        some = slice(at, at + _AT_ONCE)
        columns[some] = (rows[begins[some]] == ids[some, np.newaxis]).argmax(axis=1)
    first: Array = begins * length + columns
    return first


def _open_labels(labels: Array, image: Array, known: Array, where: Where) -> tuple[Array, Partial]:
    """The labels that touch another block; their names, and the faces, on which they are 1, 2 …"""
    region, shape = where.region, where.shape
    cuts: dict[str, tuple[slice, ...]] = {}
    for axis, side in product(range(labels.ndim), (0, 1)):
        if not _is_edge(region, axis, side, shape):
            at = [slice(None)] * labels.ndim
            at[axis] = slice(0, 1) if side == 0 else slice(-1, None)
            cuts[f"{axis}{side}"] = tuple(at)
    count = int(known[-1]) if known.size else 0
    touching = np.zeros(count + 1, bool)
    for cut in cuts.values():
        touching[labels[cut]] = True
    touching[0] = False
    ids = np.flatnonzero(touching)
    local = np.unravel_index(_first_pixels(labels, known, ids), labels.shape)
    position = tuple(p + start for p, start in zip(local, region.start, strict=True))
    partial: Partial = {"names": np.asarray(np.ravel_multi_index(position, shape), np.int64)}
    order = np.zeros(count + 1, np.int32)
    order[ids] = np.arange(1, ids.size + 1)
    for key, cut in cuts.items():
        partial[f"labels{key}"] = order[labels[cut]]
        if image.dtype != bool:
            partial[f"pixels{key}"] = np.ascontiguousarray(image[cut])
    return ids, partial


def _is_edge(region: Region, axis: int, side: int, shape: tuple[int, ...]) -> bool:
    """Whether a side of a region is the image's true edge."""
    return region.start[axis] == 0 if side == 0 else region.stop[axis] == shape[axis]


# ------------------------------------------------------------------------------------------------ joining


def combine_labels(partials: Partials, arguments: Arguments, grid: BlockGrid, region: Region) -> Partial:
    """The partial of the group of blocks that `region` is, from theirs; blocks may be groups themselves.

    `renamed` and `names_after` say what open labels of the blocks are called from here on: by the component's name, or
    -`TRUE` and -`FALSE` where it is settled. Holds the group's open labels, and the faces of one slab of blocks.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    near = neighbourhood(arguments["connectivity"], len(grid.shape))
    found: dict[str, list[Array]] = {name: [] for name in ("names", *FACTS)}
    edges: list[Array] = []
    outer: Partial = {}
    faces: dict[tuple[int, ...], tuple[int, Partial]] = {}
    counts = _Counts(grid, region)
    background = np.zeros(1, bool)
    slab, total = -1, 0
    for index, partial in partials:
        position = grid.position(index)
        for neighbour, toward in _earlier_neighbours(position, near):
            if neighbour in faces:
                offset, other = faces[neighbour]
                edges.append(_joins(partial, total, other, offset, toward, near))
        if position[0] != slab:
            slab = position[0]
            faces = {at: kept for at, kept in faces.items() if at[0] >= slab - 1}
        faces[position] = (total, {name: array for name, array in partial.items() if name[:6] in ("labels", "pixels")})
        _put_faces(outer, partial, total, grid.region(index), region, grid.shape)
        for name in found.keys() & partial.keys():
            found[name].append(partial[name])
        if "counts" in partial:
            counts.put(index, partial)
        background |= partial.get("background", False)
        total += partial["names"].size
    names = np.concatenate([np.zeros(0, np.int64), *found["names"]])
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *edges])
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(total, total))
    count, component = connected_components(graph, directed=False) if total else (0, np.zeros(0, np.int32))
    least = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(least, component, names)
    is_open = np.zeros(count, bool)
    for key, face in outer.items():
        if key.startswith("labels"):
            is_open[component[face[face > 0] - 1]] = True
    after = least[component]
    result: Partial = {"background": background}
    members = np.flatnonzero(is_open)
    members = members[np.argsort(least[members])]
    result["names"] = least[members]
    for name in FACTS:
        if found[name]:
            fact = np.zeros(count, np.int64)
            np.add.at(fact, component, np.concatenate(found[name]))
            holds = fact > 0 if name == "marked" else fact <= arguments["at_most"]
            after = np.where(is_open[component], after, np.where(holds, -TRUE, -FALSE)[component])
            result[name] = fact[members]
    changed = np.flatnonzero(after != names)
    changed = changed[np.argsort(names[changed])]
    result |= {"renamed": names[changed], "names_after": after[changed]}
    order = np.zeros(count, np.int32)
    order[members] = np.arange(1, members.size + 1)
    for key, face in outer.items():
        if key.startswith("labels"):
            on_face = np.zeros(face.shape, np.int32)
            on_face[face > 0] = order[component[face[face > 0] - 1]]
            result[key] = on_face
        else:
            result[key] = face
    return result | counts.without(names[changed])


def merge_labels(partials: Partials, arguments: Arguments, grid: BlockGrid) -> dict[str, Array]:
    """What open labels are called in the end; for numbering also how many components begin before each row of each block,
    and how many there are.

    Source: component numbering of `skimage.measure.label`.
    """
    whole = combine_labels(partials, arguments, grid, Region.whole(grid.shape))
    result = {name: whole[name] for name in ("renamed", "names_after", "background")}
    if "counts" in whole:
        counts = whole["counts"].ravel().astype(np.int64)
        before = np.cumsum(counts) - counts
        result |= {"before": before.reshape(whole["counts"].shape), "count": counts.sum()}
    return result


class _Counts:
    """How many components begin in each row of each column of blocks, for a group of blocks."""

    def __init__(self, grid: BlockGrid, region: Region) -> None:
        self._grid, self._region = grid, region
        self._counts: Array | None = None
        self._width = 0
        """Pixels that a column is wide."""

    def put(self, index: BlockIndex, partial: Partial) -> None:
        """Add a block, or a group with several columns."""
        block = self._grid.region(index)
        counts = partial["counts"]
        if self._counts is None:
            self._width = int(partial.get("width", self._grid.block_shape[-1]))
            columns = -(-self._region.shape[-1] // self._width)
            self._counts = np.zeros((*self._region.shape[:-1], columns), np.int32)
        first = (block.start[-1] - self._region.start[-1]) // self._width
        rows = tuple(
            slice(a - o, b - o)
            for a, b, o in zip(block.start[:-1], block.stop[:-1], self._region.start[:-1], strict=True)
        )
        self._counts[(*rows, slice(first, first + counts.shape[-1]))] = counts

    def without(self, names: Array) -> Partial:
        """The counts, labels that are part of an earlier one left out."""
        if self._counts is None:
            return {}
        at = [axis - start for axis, start in zip(_unravel(names, self._grid), self._region.start, strict=True)]
        at[-1] //= self._width
        np.subtract.at(self._counts, tuple(at), 1)
        return {"counts": self._counts, "width": np.array(self._width)}


def _unravel(names: Array, grid: BlockGrid) -> list[Array]:
    """Positions in the image, axis by axis."""
    return list(np.unravel_index(names, grid.shape)) if names.size else [np.zeros(0, np.int64)] * len(grid.shape)


def _put_faces(
    outer: Partial, partial: Partial, offset: int, block: Region, region: Region, shape: tuple[int, ...]
) -> None:
    """Copy those faces of a block that lie on its group's, labels counted from `offset`."""
    for axis, side in product(range(block.ndim), (0, 1)):
        same = block.start[axis] == region.start[axis] if side == 0 else block.stop[axis] == region.stop[axis]
        if not same or _is_edge(region, axis, side, shape):
            continue
        size = [1 if at == axis else n for at, n in enumerate(region.shape)]
        within = list(block.within(region))
        within[axis] = slice(0, 1)
        labels = partial[f"labels{axis}{side}"].astype(np.int64)
        face = outer.setdefault(f"labels{axis}{side}", np.zeros(size, np.int64))
        face[tuple(within)] = np.where(labels > 0, labels + offset, 0)
        pixels = partial.get(f"pixels{axis}{side}")
        if pixels is not None:
            outer.setdefault(f"pixels{axis}{side}", np.zeros(size, pixels.dtype))[tuple(within)] = pixels


def _earlier_neighbours(position: tuple[int, ...], near: Array) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Where neighbours stand that precede a block in C order and may share a component with it, and the way to them."""
    zero = (0,) * len(position)
    for toward in product((-1, 0, 1), repeat=len(position)):
        across = tuple(slice(None) if t == 0 else t + 1 for t in toward)
        if toward < zero and near[across].any():
            yield tuple(p + t for p, t in zip(position, toward, strict=True)), toward


def _joins(
    partial: Partial, offset: int, other: Partial, other_offset: int, toward: tuple[int, ...], near: Array
) -> Array:
    """Pairs of open labels, `(pairs, 2)` from 0, that are one component across two blocks."""
    mine, my_pixels = _touching(partial, toward)
    theirs, their_pixels = _touching(other, tuple(-t for t in toward))
    free = [axis for axis, t in enumerate(toward) if t == 0]
    found = [np.zeros((0, 2), np.int64)]
    for shift in product((-1, 0, 1), repeat=len(free)):
        step = list(toward)
        for axis, s in zip(free, shift, strict=True):
            step[axis] = s
        if not near[tuple(s + 1 for s in step)]:
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
    pairs = np.concatenate(found)
    # objects touch along many pixels in a row; once tells it
    pairs = pairs[np.append(True, np.any(pairs[1:] != pairs[:-1], axis=1))[: len(pairs)]]
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


# ------------------------------------------------------------------------------------------------ looking up


def relabel(ids: Array, table: MergedLabels, dtype: str, where: Where, kernels: bool = False) -> Array:
    """Global labels of a region, from the labels its blocks had alone."""
    numbers = _Numbers(table)

    def known(block: BlockIndex) -> Array:
        return np.concatenate([[0], numbers.of_block(block)]).astype(dtype)

    return _looked_up(ids, known, dtype, where, kernels)


def holds(ids: Array, table: MergedLabels, where: Where) -> Array:
    """Where the fact that blocks were settled for holds of a pixel's component; of the background, where it is marked."""

    def known(block: BlockIndex) -> Array:
        last = _last_names(table, block)[1]
        return np.concatenate([table.value["background"], [True, False], last == -TRUE])

    return _looked_up(ids, known, "bool", where)


def _looked_up(ids: Array, table_of: Any, dtype: str, where: Where, kernels: bool = False) -> Array:
    """`table_of(block)[ids]` for each block that has a part of the region."""
    region, grid = where.region, where.grid
    assert grid is not None  # labels of blocks are always stored
    result = np.empty(ids.shape, dtype=dtype)
    for index in grid.overlapping(region):
        block = grid.region(index)
        if block == region:  # as it mostly is
            return quickest(table_at, {"table": table_of(index), "ids": ids}, kernels)
        shared = Region(
            tuple(map(max, block.start, region.start)),
            tuple(map(min, block.stop, region.stop)),
        )
        inside = shared.within(region)
        result[inside] = table_of(index)[ids[inside]]
    return result


def _last_names(table: MergedLabels, block: BlockIndex) -> tuple[Array, Array]:
    """The names of a block's open labels, and what they are called in the end."""
    names = last = table.partial(0, block)["names"]
    start = table.grids[0].region(block).start
    for level, grid in enumerate(table.grids[1:], start=1):
        group = grid.index([p // b for p, b in zip(start, grid.block_shape, strict=True)])
        last = _renamed(last, table.partial(level, group))
    return names, _renamed(last, table.value)


def _renamed(names: Array, found: Mapping[str, Array]) -> Array:
    old, new = found["renamed"], found["names_after"]
    if not old.size:
        return names
    at = np.minimum(np.searchsorted(old, names), old.size - 1)
    renamed: Array = np.where(old[at] == names, new[at], names)
    return renamed


class _Numbers:
    """Global numbers of blocks' labels."""

    def __init__(self, table: MergedLabels) -> None:
        self._table = table
        self._own: dict[BlockIndex, tuple[Array, Array, Array]] = {}

    def of_block(self, block: BlockIndex) -> Array:
        """The numbers of a block's labels, in their order."""
        numbers, ids, last = self._own_numbers(block)
        numbers = numbers.copy()
        grid = self._table.grids[0]
        names = self._table.partial(0, block)["names"]
        elsewhere = np.flatnonzero(last != names)
        position = _unravel(last[elsewhere], grid)
        begins_in = np.ravel_multi_index(
            tuple(p // b for p, b in zip(position, grid.block_shape, strict=True)), grid.counts
        )
        for other in map(BlockIndex, np.unique(begins_in).tolist()):
            labels = elsewhere[begins_in == other]
            their_numbers, their_ids, _ = self._own_numbers(other)
            their_names = self._table.partial(0, other)["names"]
            numbers[ids[labels] - 1] = their_numbers[their_ids[np.searchsorted(their_names, last[labels])] - 1]
        return numbers

    def _own_numbers(self, block: BlockIndex) -> tuple[Array, Array, Array]:
        """Numbers of a block's labels, right for components that begin there; its open labels; their names in the end."""
        if block not in self._own:
            partial, grid = self._table.partial(0, block), self._table.grids[0]
            names, last = _last_names(self._table, block)
            counts = partial["counts"].ravel()
            begins = np.ones(int(counts.sum()), np.int64)
            begins[partial["ids"][last != names] - 1] = 0
            so_far = np.cumsum(begins)
            before_row = np.concatenate([[0], so_far])[np.cumsum(counts) - counts]
            region = grid.region(block)
            column = region.start[-1] // grid.block_shape[-1]
            before = self._table.value["before"][region.slices[:-1]][..., column].ravel()
            self._own[block] = np.repeat(before - before_row, counts) + so_far, partial["ids"], last
        return self._own[block]


def label_count(table: MergedLabels) -> Any:
    """How many components there are."""
    return np.int64(table.value["count"])


# ------------------------------------------------------------------------------------------------ entries


def label_dtype(image: Any) -> np.dtype[Any]:
    """What `skimage.measure.label` returns: int32 for bool images of up to 2**31 pixels, int64 otherwise."""
    size = math.prod(image.shape)
    return np.dtype(np.int32) if image.dtype == bool and size < 2**31 - 2 else np.dtype(np.int64)


def numbered(build: Build, blocks: Any, dtype: np.dtype[Any], part: int) -> Any:
    """The labels of labelled blocks, or (part 1) how many there are."""
    if part:
        return build("lepton.label_count", table=blocks)
    return build("lepton.relabel", ids=blocks, table=blocks, dtype=str(dtype))


def _expand_label(arguments: Arguments, build: Build) -> Any:
    image = arguments["label_image"]
    options = {name: arguments[name] for name in ("background", "connectivity")}
    return numbered(build, build(LABELS, image=image, **options), label_dtype(image), arguments.get("part", 0))


def _check_label(arguments: Arguments) -> None:
    image, connectivity = arguments["label_image"], arguments["connectivity"]
    ndim = len(image.shape)
    if image.dtype != bool and ndim > 3:
        raise InputError(f"images of integers have 1 to 3 axes here, as in scikit-image; this one has {ndim}")
    if image.dtype != bool and ndim == 3 and image.shape[-1] == 1 and min(image.shape[:2]) > 1:
        raise InputError(
            f"scikit-image numbers an image of integers of shape {tuple(image.shape)} column by column, not row by row; "
            "leave its last axis out: image[..., 0]"
        )
    if connectivity is not None and not 1 <= connectivity <= ndim:
        raise InputError(f"connectivity={connectivity} for an image of {ndim} axes; give a number from 1 to {ndim}")


def _labels_of(source: str, **options: Any) -> Composite:
    return Composite(
        name=source.removeprefix("skimage."),
        source=source,
        images=("label_image",),
        dtype_kinds="bui",
        check=_check_label,
        expand=_expand_label,
        **options,
    )


def entries() -> list[Entry]:
    """Connected components and their count."""
    here = "lepton_celery.catalogue.shared.labels"
    joining: dict[str, Any] = {"dtype_kinds": "bui", "merge": merge_labels, "combine": combine_labels}
    return [
        Labelling(
            name=LABELS,
            source=f"{here}.label_block",
            function=label_block,
            wants_kernels=True,
            cost_ns=12.0,
            **joining,
        ),
        Labelling(
            name=SETTLED,
            source=f"{here}.settle_block",
            images=("image", "marker"),
            function=settle_block,
            wants_kernels=True,
            cost_ns=16.0,
            **joining,
        ),
        Local(
            name="lepton.relabel",
            source=f"{here}.relabel",
            images=("ids",),
            values=("table",),
            function=relabel,
            wants_where=True,
            wants_kernels=True,
            dtype=lambda arguments: np.dtype(arguments["dtype"]),
            cost_ns=3.0,
        ),
        Local(
            name="lepton.holds",
            source=f"{here}.holds",
            images=("ids",),
            values=("table",),
            function=holds,
            wants_where=True,
            dtype=lambda arguments: np.dtype(bool),
            cost_ns=2.0,
        ),
        ValueFunction(
            name="lepton.label_count",
            source=f"{here}.label_count",
            images=(),
            values=("table",),
            function=label_count,
            result=lambda arguments: ((), np.dtype(np.int64)),
        ),
        _labels_of("skimage.measure.label", returns=lambda a: 2 if a["return_num"] else 0, gives=""),
        _labels_of("skimage.morphology.label", returns=lambda a: 2 if a["return_num"] else 0, gives=""),
        Composite(
            name="lepton.count_labels",
            source="skimage.measure.label",
            images=("label_image",),
            dtype_kinds="bui",
            check=_check_label,
            expand=lambda arguments, build: _expand_label({**arguments, "part": 1}, build),
            result=lambda arguments: ((), np.dtype(np.int64)),
        ),
    ]
