"""Connected components in blocks, by hand: histogram, labels of each block, union at block faces, renumbering."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components
from skimage import filters, measure

from benchmarks import arrays
from benchmarks.cases import Case, Task

Array = NDArray[Any]


def whole(image: Array, properties: tuple[str, ...]) -> tuple[Array, dict[str, Array]]:
    """Labels and table of the whole image by scikit-image."""
    labels: Array = measure.label(image > filters.threshold_otsu(image), connectivity=1)
    return labels, table(labels, image, properties)


def table(labels: Array, image: Array, properties: tuple[str, ...]) -> dict[str, Array]:
    """The columns of the region table; areas alone are counted, which is much faster."""
    if len(properties) > 2:
        found: dict[str, Array] = measure.regionprops_table(labels, image, properties=properties)
        return found
    area = np.bincount(labels.ravel())[1:]
    return {"label": np.arange(1, len(area) + 1), "area": area}


def joined(parts: Sequence[Array], case: Case) -> Array:
    """Join the labels of all blocks into those of the whole image, in memory."""
    labels, total = np.empty(case.shape, np.int32), 0
    for index, part in enumerate(parts):
        labels[case.core(index)] = np.where(part > 0, part + total, 0)
        total += int(part.max())
    # an object continues where pixels on both sides of a face have labels
    faces = [(labels[n - 1], labels[n]) for n in range(case.block[0], case.shape[0], case.block[0])]
    faces += [(labels[:, n - 1], labels[:, n]) for n in range(case.block[1], case.shape[1], case.block[1])]
    pairs = np.concatenate([np.empty((2, 0), np.int32), *(np.stack(f)[:, (f[0] > 0) & (f[1] > 0)] for f in faces)], 1)
    graph = sparse.coo_array((np.ones(pairs.shape[1], bool), pairs), shape=(total + 1, total + 1))
    _, member = connected_components(graph, directed=False)
    _, first, inverse = np.unique(member[labels], return_index=True, return_inverse=True)
    # number the objects in raster order of their first pixels; the background is 0
    background = inverse.reshape(labels.shape)[labels == 0][:1]
    order = np.argsort(first)
    order = np.concatenate((background, order[~np.isin(order, background)]))
    number = np.empty(len(order), np.int32)
    number[order] = np.arange(len(order)) + (1 - len(background))
    found: Array = number[inverse].reshape(labels.shape)
    return found


def _put(task: Task, name: str, value: Any) -> None:
    (task.scratch / name).write_bytes(pickle.dumps(value))


def _get(task: Task, name: str) -> Any:
    return pickle.loads((task.scratch / name).read_bytes())


@lru_cache(maxsize=4)
def _shared(path: Path) -> Any:
    """An object that a merge saved for all blocks; each process reads it once."""
    return pickle.loads(path.read_bytes())


@dataclass(frozen=True)
class Histogram:
    """The stage that counts gray levels, merged to Otsu's threshold."""

    def begin(self, task: Task) -> None:
        task.scratch.mkdir()

    def block(self, task: Task, index: int) -> None:
        pixels = arrays.opened(task.source)[task.case.core(index)]
        _put(task, f"histogram-{index}", np.bincount(pixels.ravel(), minlength=256))

    def merge(self, task: Task) -> None:
        counts = sum(_get(task, f"histogram-{index}") for index in range(task.case.blocks))
        (levels,) = np.nonzero(counts)
        seen = np.arange(levels[0], levels[-1] + 1)
        _put(task, "threshold", filters.threshold_otsu(hist=(counts[seen], seen)))


@dataclass(frozen=True)
class Part:
    """The partial of a block."""

    count: int
    first: Array
    """The raster index in the image of the first pixel of each label."""
    faces: tuple[Array, Array, Array, Array]
    """The first and last row, the first and last column."""
    sums: dict[str, Array]
    """Figures of each label: its area, and for a region table also sums and bounding box."""


@dataclass(frozen=True)
class LabelBlocks:
    """The stage that labels each block on its own, merged to the labels of the whole image and the table."""

    properties: tuple[str, ...]

    def begin(self, task: Task) -> None:
        arrays.create(task.output("labels"), task.case.shape, np.int32, task.case.block)

    def block(self, task: Task, index: int) -> None:
        core = task.case.core(index)
        pixels = np.ascontiguousarray(arrays.opened(task.source)[core])
        labels = measure.label(pixels > _shared(task.scratch / "threshold"), connectivity=1)
        arrays.opened(task.output("labels"), writable=True)[core] = labels
        # labels rise in raster order, so a label begins where the running maximum reaches it
        flat = labels.ravel()
        count = int(flat.max())
        rows, columns = np.divmod(
            np.searchsorted(np.maximum.accumulate(flat), np.arange(1, count + 1)), labels.shape[1]
        )
        first = (rows + core[0].start) * task.case.shape[1] + columns + core[1].start
        faces = (labels[0].copy(), labels[-1].copy(), labels[:, 0].copy(), labels[:, -1].copy())
        sums = {"area": np.bincount(flat, minlength=count + 1)[1:]}
        if len(self.properties) > 2:
            sums |= _moments(labels, pixels, core)
        _put(task, f"part-{index}", Part(count, first, faces, sums))

    def merge(self, task: Task) -> None:
        parts: list[Part] = [_get(task, f"part-{index}") for index in range(task.case.blocks)]
        starts = np.concatenate(([0], np.cumsum([part.count for part in parts])))
        pairs = _touching(task, parts, starts)
        total = int(starts[-1])
        graph = sparse.coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(total, total))
        objects, member = connected_components(graph, directed=False)
        first = np.full(objects, np.iinfo(np.int64).max)
        np.minimum.at(first, member, np.concatenate([part.first for part in parts]))
        number = np.empty(objects, np.int32)
        number[np.argsort(first)] = np.arange(1, objects + 1)
        numbers = number[member]
        tables = [np.concatenate(([0], numbers[a:z])).astype(np.int32) for a, z in pairwise(starts)]
        _put(task, "numbers", tables)
        arrays.write_table(task.out / "table", _columns(parts, numbers, objects))


def _moments(labels: Array, pixels: Array, core: tuple[slice, ...]) -> dict[str, Array]:
    """Sums of the coordinates and pixels of each label, all of them integers, and bounding boxes."""
    boxes = ndimage.find_objects(labels)
    bounds = np.array([(r.start, c.start, r.stop, c.stop) for r, c in boxes], np.int64).reshape(-1, 4)
    top, left = core[0].start, core[1].start
    rows = np.broadcast_to(np.arange(labels.shape[0])[:, None] + top, labels.shape)
    columns = np.broadcast_to(np.arange(labels.shape[1]) + left, labels.shape)
    flat, count = labels.ravel(), len(boxes) + 1
    return {
        "bounds": bounds + np.array([top, left, top, left]),
        "rows": np.bincount(flat, rows.ravel(), count)[1:],
        "columns": np.bincount(flat, columns.ravel(), count)[1:],
        "pixels": np.bincount(flat, pixels.ravel(), count)[1:],
    }


def _touching(task: Task, parts: list[Part], starts: Array) -> Array:
    """Pairs of labels of neighbouring blocks that are one object; labels are numbered across all blocks from 0."""
    down, right = task.case.counts
    found = [np.empty((0, 2), np.int64)]
    for index in range(task.case.blocks):
        row, column = divmod(index, right)
        for other, near, far in ((index + right, 1, 0), (index + 1, 3, 2)):
            if (other == index + 1 and column + 1 == right) or (other == index + right and row + 1 == down):
                continue
            a, b = parts[index].faces[near], parts[other].faces[far]
            both = (a > 0) & (b > 0)
            found.append(np.stack((a[both] - 1 + starts[index], b[both] - 1 + starts[other]), 1))
    return np.concatenate(found)


def _columns(parts: list[Part], numbers: Array, objects: int) -> dict[str, Array]:
    sums = {name: np.concatenate([part.sums[name] for part in parts]) for name in parts[0].sums}
    area = np.bincount(numbers, sums["area"], objects + 1)[1:]
    columns: dict[str, Array] = {"label": np.arange(1, objects + 1), "area": area}
    if "bounds" not in sums:
        return columns
    bounds = np.empty((4, objects + 1), np.int64)
    bounds[:2], bounds[2:] = np.iinfo(np.int64).max, -1
    for axis in range(4):
        (np.minimum if axis < 2 else np.maximum).at(bounds[axis], numbers, sums["bounds"][:, axis])
    columns |= {f"bbox-{axis}": bounds[axis, 1:] for axis in range(4)}
    for name, source in (("centroid-0", "rows"), ("centroid-1", "columns"), ("intensity_mean", "pixels")):
        columns[name] = np.bincount(numbers, sums[source], objects + 1)[1:] / area
    return columns


@dataclass(frozen=True)
class Renumber:
    """The stage that replaces the labels of each block by those of the whole image, in place."""

    def begin(self, task: Task) -> None:
        pass

    def block(self, task: Task, index: int) -> None:
        labels = arrays.opened(task.output("labels"), writable=True)
        core = task.case.core(index)
        labels[core] = _shared(task.scratch / "numbers")[index][labels[core]]

    def merge(self, task: Task) -> None:
        pass
