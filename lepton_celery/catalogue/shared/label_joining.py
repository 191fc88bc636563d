"""Joins open labels of blocks across block faces into components (see `labels`), for all blocks or groups of blocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, Shape
from lepton_celery.grid import BlockGrid, BlockIndex, Region

SUMMED = ("marked", "size")
"""The columns of open labels that are added up over the labels of a component, to decide its condition."""
TRUE, FALSE, OPEN = 1, 2, 3
"""States of a component in its block: its condition is true or false; `OPEN` + i if it is open label i of the block."""

Face = tuple[Array, Array | None]
"""Open labels on a face of a block, and for integer images the pixels there."""
Position = tuple[int, ...]
"""Position of a block in its grid."""


def neighbourhood(connectivity: int | Array | None, ndim: int) -> Array:
    """The structuring element of a connectivity, of shape `(3,) * ndim`; `connectivity` may be the element itself."""
    from scipy.ndimage import generate_binary_structure

    if isinstance(connectivity, np.ndarray):
        return connectivity.astype(bool)
    structure: Array = generate_binary_structure(ndim, ndim if connectivity is None else connectivity)
    return structure


def is_edge(region: Region, axis: int, side: int, shape: Shape) -> bool:
    """Whether a side of a region lies on the edge of the whole image."""
    return region.start[axis] == 0 if side == 0 else region.stop[axis] == shape[axis]


def merge_labels(partials: Partials, arguments: Arguments, grid: BlockGrid) -> dict[str, Array]:
    """The final names of all renamed labels and, for numbering as in `skimage.measure.label`, the number of components that
    begin before each row of each block, and the number of all components."""
    whole = combine_labels(partials, arguments, grid, Region.whole(grid.shape))
    result = {name: whole[name] for name in ("renamed", "names_after", "background")}
    if "counts" in whole:
        counts = whole["counts"].ravel().astype(np.int64)
        before: Array = np.cumsum(counts) - counts
        count: Any = counts.sum()
        result |= {"before": before.reshape(whole["counts"].shape), "count": count}
    return result


def combine_labels(partials: Partials, arguments: Arguments, grid: BlockGrid, region: Region) -> Partial:
    """The partial of the group of blocks that fills `region`, from the partials of its blocks, which may be groups as well.

    `renamed` and `names_after` have the old and new names of open labels. The new name is that of the label's component or,
    if the component is decided, -`TRUE` or -`FALSE`. Memory holds the group's open labels and the faces of two slabs of
    blocks.
    """
    joining = _Joining(neighbourhood(arguments["connectivity"], len(grid.shape)), grid, region)
    for index, partial in partials:
        joining.add(index, partial)
    names = joining.names()
    count, component = joining.components()
    least = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(least, component, names)
    is_open = joining.touches_outside(component, count)
    after = least[component]
    result: Partial = {"background": joining.background}
    members = np.flatnonzero(is_open)
    members = members[np.argsort(least[members])]
    result["names"] = least[members]
    for name in SUMMED:
        if joining.columns[name]:
            total = np.zeros(count, np.int64)
            np.add.at(total, component, np.concatenate(joining.columns[name]))
            is_true = total > 0 if name == "marked" else total <= arguments["at_most"]
            after = np.where(is_open[component], after, np.where(is_true, -TRUE, -FALSE)[component])
            result[name] = total[members]
    changed = np.flatnonzero(after != names)
    changed = changed[np.argsort(names[changed])]
    result |= {"renamed": names[changed], "names_after": after[changed]}
    order = np.zeros(count, np.int32)
    order[members] = np.arange(1, members.size + 1)
    return result | joining.outer_faces(component, order) | joining.counts.without(names[changed])


class _Joining:
    """The open labels of a group's blocks, numbered consecutively in the order of the blocks, and which of them touch."""

    def __init__(self, near: Array, grid: BlockGrid, region: Region) -> None:
        self.columns: dict[str, list[Array]] = {name: [] for name in ("names", *SUMMED)}
        """Names and other columns of the open labels, an array per block."""
        self.background = np.zeros(1, bool)
        """Whether the condition is true for the background."""
        self.counts = _Counts(grid, region)
        self._near, self._grid, self._region = near, grid, region
        self._total = 0
        self._edges: list[Array] = []
        self._outer: Partial = {}
        self._faces: dict[Position, tuple[int, Partial]] = {}
        self._slab = -1

    def add(self, index: BlockIndex, partial: Partial) -> None:
        """Add the next block, in index order."""
        position = self._grid.position(index)
        for neighbour, toward in _earlier_neighbours(position, self._near):
            if neighbour in self._faces:
                offset, other = self._faces[neighbour]
                self._edges.append(_joined_pairs(partial, self._total, other, offset, toward, self._near))
        if position[0] != self._slab:
            self._slab = position[0]
            self._faces = {near: faces for near, faces in self._faces.items() if near[0] >= self._slab - 1}
        faces = {name: array for name, array in partial.items() if name[:6] in ("labels", "pixels")}
        self._faces[position] = (self._total, faces)
        block = self._grid.region(index)
        _put_faces(self._outer, partial, self._total, block, self._region, self._grid.shape)
        for name in self.columns.keys() & partial.keys():
            self.columns[name].append(partial[name])
        if "counts" in partial:
            self.counts.put(index, partial)
        self.background |= partial.get("background", False)
        self._total += partial["names"].size

    def names(self) -> Array:
        return np.concatenate([np.zeros(0, np.int64), *self.columns["names"]])

    def components(self) -> tuple[int, Array]:
        """The number of components, and the component of each open label."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not self._total:
            return 0, np.zeros(0, np.int32)
        pairs = np.concatenate([np.zeros((0, 2), np.int64), *self._edges])
        edges = (np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1]))
        graph = coo_array(edges, shape=(self._total, self._total))
        components: tuple[int, Array] = connected_components(graph, directed=False)
        return components

    def touches_outside(self, component: Array, count: int) -> Array:
        """Whether each component has a label on a face of the group."""
        touches = np.zeros(count, bool)
        for key, face in self._outer.items():
            if key.startswith("labels"):
                touches[component[face[face > 0] - 1]] = True
        return touches

    def outer_faces(self, component: Array, order: Array) -> Partial:
        """The group's faces, on which components are numbered by `order`."""
        faces: Partial = {}
        for key, face in self._outer.items():
            if key.startswith("labels"):
                faces[key] = np.zeros(face.shape, np.int32)
                faces[key][face > 0] = order[component[face[face > 0] - 1]]
            else:
                faces[key] = face
        return faces


class _Counts:
    """The number of components that begin in each row of each column of blocks of a group."""

    def __init__(self, grid: BlockGrid, region: Region) -> None:
        self._grid, self._region = grid, region
        self._counts: Array | None = None
        self._width = 0
        """Width of a column in pixels."""

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
            slice(start - origin, stop - origin)
            for start, stop, origin in zip(block.start[:-1], block.stop[:-1], self._region.start[:-1], strict=True)
        )
        self._counts[(*rows, slice(first, first + counts.shape[-1]))] = counts

    def without(self, names: Array) -> Partial:
        """The counts without these labels, whose components begin earlier."""
        if self._counts is None:
            return {}
        position = [p - start for p, start in zip(positions_of(names, self._grid), self._region.start, strict=True)]
        position[-1] //= self._width
        np.subtract.at(self._counts, tuple(position), 1)
        return {"counts": self._counts, "width": np.array(self._width)}


def positions_of(names: Array, grid: BlockGrid) -> list[Array]:
    """The positions of the first pixels of labels, an array per axis."""
    return list(np.unravel_index(names, grid.shape)) if names.size else [np.zeros(0, np.int64)] * len(grid.shape)


def _put_faces(outer: Partial, partial: Partial, offset: int, block: Region, region: Region, shape: Shape) -> None:
    """Copy the faces of a block that lie on its group's faces, and add `offset` to their labels."""
    for axis, side in product(range(block.ndim), (0, 1)):
        same = block.start[axis] == region.start[axis] if side == 0 else block.stop[axis] == region.stop[axis]
        if not same or is_edge(region, axis, side, shape):
            continue
        size = [1 if other == axis else n for other, n in enumerate(region.shape)]
        within = list(block.within(region))
        within[axis] = slice(0, 1)
        labels = partial[f"labels{axis}{side}"].astype(np.int64)
        face = outer.setdefault(f"labels{axis}{side}", np.zeros(size, np.int64))
        face[tuple(within)] = np.where(labels > 0, labels + offset, 0)
        pixels = partial.get(f"pixels{axis}{side}")
        if pixels is not None:
            outer.setdefault(f"pixels{axis}{side}", np.zeros(size, pixels.dtype))[tuple(within)] = pixels


def _earlier_neighbours(position: Position, near: Array) -> Iterator[tuple[Position, tuple[int, ...]]]:
    """The neighbours that precede a block in C order and may share a component with it, and the offset to each of them."""
    zero = (0,) * len(position)
    for toward in product((-1, 0, 1), repeat=len(position)):
        across = tuple(slice(None) if step == 0 else step + 1 for step in toward)
        if toward < zero and near[across].any():
            yield tuple(p + step for p, step in zip(position, toward, strict=True)), toward


def _joined_pairs(
    partial: Partial, offset: int, other: Partial, other_offset: int, toward: tuple[int, ...], near: Array
) -> Array:
    """Pairs of open labels of two blocks that belong to one component, shape `(pairs, 2)`, counted from 0."""
    mine, my_pixels = _touching(partial, toward)
    theirs, their_pixels = _touching(other, tuple(-step for step in toward))
    free = [axis for axis, step in enumerate(toward) if step == 0]
    touching = [np.zeros((0, 2), np.int64)]
    for shift in product((-1, 0, 1), repeat=len(free)):
        way = list(toward)
        for axis, step in zip(free, shift, strict=True):
            way[axis] = step
        if not near[tuple(step + 1 for step in way)]:
            continue
        here, there = [slice(None)] * len(toward), [slice(None)] * len(toward)
        for axis, step in zip(free, shift, strict=True):
            here[axis] = slice(max(0, -step), mine.shape[axis] - max(0, step))
            there[axis] = slice(max(0, step), mine.shape[axis] - max(0, -step))
        a, b = mine[tuple(here)], theirs[tuple(there)]
        joined = (a > 0) & (b > 0)
        if my_pixels is not None and their_pixels is not None:
            joined &= my_pixels[tuple(here)] == their_pixels[tuple(there)]
        touching.append(np.stack([a[joined], b[joined]], axis=1).astype(np.int64))
    pairs = np.concatenate(touching)
    # two labels touch along many pixels, so equal pairs come in runs; keep one of each run
    pairs = pairs[np.append(True, np.any(pairs[1:] != pairs[:-1], axis=1))[: len(pairs)]]
    shifted: Array = pairs + np.array([offset - 1, other_offset - 1])
    return shifted


def _touching(partial: Partial, toward: tuple[int, ...]) -> Face:
    """The part of a block's faces that touches the neighbour at offset `toward`: a face, an edge or a corner."""
    axis = next(axis for axis, step in enumerate(toward) if step)
    side = int(toward[axis] > 0)
    cut = [slice(None)] * len(toward)
    for other in range(axis + 1, len(toward)):
        if toward[other]:
            cut[other] = slice(-1, None) if toward[other] > 0 else slice(0, 1)
    labels = partial[f"labels{axis}{side}"][tuple(cut)]
    pixels = partial.get(f"pixels{axis}{side}")
    return labels, None if pixels is None else pixels[tuple(cut)]
