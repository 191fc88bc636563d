"""Properties of the objects of a label image, computed block by block and merged.

Areas, bounding boxes and coordinate sums are integers, so the order of additions does not matter. It does for the mean of
float pixels, which NumPy adds pairwise, in raster order. An object inside one block is averaged there. The pixels of other
objects are stored in the partials and added in NumPy's order (`shared.pairwise.PairwiseSum`).

If an object has both 0.0 and -0.0 as its least or greatest intensity, either may be returned, as by NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Partial, Partials, Shape, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Reduction
from lepton_celery.catalogue.shared.fastest import fastest
from lepton_celery.catalogue.shared.label_kernels import extents, pixel_counts, pixel_sums
from lepton_celery.catalogue.shared.pairwise import PairwiseSum
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region

BOXED = frozenset({"bbox", "area_bbox", "extent", "slice"})
"""Properties that follow from the bounding box."""

Rows = dict[str, Array]
"""Columns of a table with a row per object."""

# ------------------------------------------------------------------------------------------------ merge


def merge_objects(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Rows:
    """The merged properties, one row per label, ascending."""
    rows = _gather(partials, len(grid.shape))
    if "sum" in rows:
        rows["mean"] = rows["sum"] / rows["num_pixels"]
    else:
        _finish_cut_means(partials, rows, grid)
    return rows


def _gather(partials: Partials, ndim: int) -> Rows:
    """All blocks' rows, with the rows of each label joined."""
    collected: dict[str, list[Array]] = {}
    for _, partial in partials:
        for name, column in partial.items():
            if not name.startswith("cut_"):
                collected.setdefault(name, []).append(column)
    columns = {name: np.concatenate(parts) for name, parts in collected.items()}
    columns.setdefault("label", np.zeros(0, np.int64))
    labels, row = _numbered(columns["label"])
    rows: Rows = {"label": labels}

    def join(name: str, how: np.ufunc) -> None:
        if name in columns:
            merged = np.empty(labels.size, columns[name].dtype)
            merged[row] = columns[name]
            if how is np.add:
                merged[:] = 0
            how.at(merged, row, columns[name])
            rows[name] = merged

    for name in ("num_pixels", "sum", "mean", *(f"sum{axis}" for axis in range(ndim))):
        join(name, np.add)
    for name in ("low", *(f"start{axis}" for axis in range(ndim))):
        join(name, np.minimum)
    for name in ("high", *(f"stop{axis}" for axis in range(ndim))):
        join(name, np.maximum)
    for name, dtype in _EMPTY.items():
        rows.setdefault(name, np.zeros(0, dtype))
    for axis in range(ndim):
        for name in (f"sum{axis}", f"start{axis}", f"stop{axis}"):
            rows.setdefault(name, np.zeros(0, np.int64))
    return rows


_EMPTY = {"num_pixels": np.int64, "mean": np.float64, "low": np.float64, "high": np.float64}


def _numbered(labels: Array) -> tuple[Array, Array]:
    """The labels that occur, ascending, and the row of each label among them."""
    if not labels.size or labels.max() > 8 * labels.size or labels.min() < 0:
        names, row = np.unique(labels, return_inverse=True)
        return names, row
    occurs = np.zeros(int(labels.max()) + 1, bool)
    occurs[labels] = True
    return np.flatnonzero(occurs).astype(labels.dtype), (np.cumsum(occurs) - 1)[labels]


def _finish_cut_means(partials: Partials, rows: Rows, grid: BlockGrid) -> None:
    """Fills in the means of objects that blocks cut, from their pixels in raster order.

    A slab of blocks (one position along the first axis) is one stretch of the raster, so slabs can be added up one after
    the other. Within a slab, pixels are sorted into raster order first.
    """
    sums: dict[int, PairwiseSum] = {}
    slab: list[Partial] = []
    slab_position = 0
    for index, partial in partials:
        position = grid.position(index)[0]
        if position != slab_position:
            _add_slab(slab, sums, rows)
            slab, slab_position = [], position
        slab.append(partial)
    _add_slab(slab, sums, rows)
    for row, total in sums.items():
        rows["mean"][row] = total.mean()


def _add_slab(slab: Iterable[Partial], sums: dict[int, PairwiseSum], rows: Rows) -> None:
    cut = [partial for partial in slab if partial.get("cut_pixel") is not None and partial["cut_pixel"].size]
    if not cut:
        return
    labels = np.concatenate([partial["label"][partial["cut_row"]] for partial in cut])
    position = np.concatenate([partial["cut_position"] for partial in cut])
    pixels = np.concatenate([partial["cut_pixel"] for partial in cut])
    order = np.lexsort((position, labels))
    labels, pixels = labels[order], pixels[order]
    starts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    for start, stop in zip(starts, np.append(starts[1:], labels.size), strict=True):
        row = int(np.searchsorted(rows["label"], labels[start]))
        if row not in sums:
            sums[row] = PairwiseSum(int(rows["num_pixels"][row]), pixels.dtype)
        sums[row].add(pixels[start:stop])


# ------------------------------------------------------------------------------------------------ blocks


OF_OBJECTS: dict[str, Any] = {
    "images": ("label_image", "intensity_image"),
    "wants_where": True,
    "wants_kernels": True,
    "cost_ns": 15.0,
}
"""What the reductions of objects have in common."""


@declare(Reduction("lepton.objects", merge=merge_objects, **OF_OBJECTS))
def objects_partial(
    label_image: Array,
    intensity_image: Array | None,
    properties: Iterable[str],
    connected: bool,
    where: Where,
    kernels: bool = False,
) -> Partial:
    """The properties of the objects in one block.

    With `connected`, every label is one component, so an object that touches no inner face lies inside the block.
    """
    region, shape = where.region, where.shape
    bins = _Bins.of(label_image, kernels)
    rows = _measure(bins, label_image.shape, region, frozenset(properties), kernels)
    if intensity_image is None:
        return rows
    pixels = intensity_image.ravel()
    exact = sums_are_exact(pixels.dtype)
    if exact and "intensity_mean" in properties:
        rows["sum"] = bins.sums(pixels, kernels)
    if not exact or {"intensity_min", "intensity_max"} & set(properties):
        rows["low"], rows["high"] = bins.extremes(pixels)
    if exact or "intensity_mean" not in properties:
        return rows
    foreground, row = bins.foreground()
    pixels = pixels[foreground]
    count = rows["label"].size
    whole = np.zeros(count, bool) if not connected else ~_on_inner_faces(label_image, rows["label"], region, shape)
    rows["whole"] = whole
    rows["mean"] = _means(pixels, row, rows["num_pixels"], whole)
    cut = ~whole[row]
    position = np.unravel_index(foreground[cut], label_image.shape)
    shifted = tuple(p + start for p, start in zip(position, region.start, strict=True))
    rows["cut_row"] = row[cut].astype(np.int32)
    rows["cut_position"] = np.ravel_multi_index(shifted, shape).astype(np.int64)
    rows["cut_pixel"] = pixels[cut]
    return rows


def sums_are_exact(dtype: DType) -> bool:
    """Whether float64 holds the sum of such pixels exactly for an image of any possible size."""
    return dtype.kind in "bui" and dtype.itemsize <= 2


@dataclass(frozen=True)
class _Bins:
    """The pixels of a block grouped by label into bins. Bins may be empty, which is cheaper than renumbering the labels."""

    labels: Array
    """The label of each bin, ascending; 0 for the background."""
    bin_of: Array
    """Each pixel's bin, in raster order."""
    counts: Array
    """The number of pixels in each bin; 0 for the background."""
    occurring: Array
    """The bins that have pixels."""

    @classmethod
    def of(cls, labels: Array, kernels: bool) -> _Bins:
        """The bins of a block.

        Raises:
            InputError: a label is too large for a table.
        """
        names, bin_of = _binned(labels.ravel())
        counts = fastest(pixel_counts, {"labels": bin_of, "bins": names.size}, kernels)
        counts[names == 0] = 0
        return cls(names, bin_of, counts, np.flatnonzero(counts))

    def sums(self, pixels: Array, kernels: bool) -> Array:
        """The sum of each label's pixels, float64."""
        arguments = {"labels": self.bin_of, "pixels": pixels, "bins": self.labels.size}
        return fastest(pixel_sums, arguments, kernels)[self.occurring]

    def extremes(self, pixels: Array) -> tuple[Array, Array]:
        """The least and the greatest pixel of each label."""
        low, high = np.empty(self.labels.size, pixels.dtype), np.empty(self.labels.size, pixels.dtype)
        low[self.bin_of], high[self.bin_of] = pixels, pixels  # start from one of the object's own pixels
        np.minimum.at(low, self.bin_of, pixels)
        np.maximum.at(high, self.bin_of, pixels)
        return low[self.occurring], high[self.occurring]

    def ranks(self) -> Array:
        """One more than the row of each pixel's label in the table, and 0 on the background; int32."""
        order = np.zeros(self.labels.size, np.int32)
        order[self.occurring] = np.arange(1, self.occurring.size + 1)
        return order[self.bin_of]

    def foreground(self) -> tuple[Array, Array]:
        """Raster indices of the pixels that have a label, and their rows."""
        ranks = self.ranks()
        foreground = np.flatnonzero(ranks)
        return foreground, ranks[foreground] - 1


def _binned(flat: Array) -> tuple[Array, Array]:
    """`_Bins.labels` and `_Bins.bin_of` of the pixels' labels, in raster order."""
    high = int(flat.max(initial=0))
    if high > np.iinfo(np.int64).max:
        raise InputError(f"label {high} is over {np.iinfo(np.int64).max}, the most a table can name; relabel first")
    if flat.dtype.kind == "i" and flat.min(initial=0) < 0:
        flat = np.maximum(flat, 0)
    low = 1
    if high > flat.size:  # a late block of a large image has high labels, but few of them
        low = int(flat.min(where=flat > 0, initial=high))
    if high - low > 16 * flat.size + 65536:  # too sparse for one bin per integer
        names, bin_of = np.unique(flat, return_inverse=True)
        return names.astype(np.int64), bin_of
    names = np.arange(low - 1, high + 1, dtype=np.int64)
    names[0] = 0
    return names, flat if low == 1 else np.where(flat > 0, flat - flat.dtype.type(low - 1), 0)


def _measure(bins: _Bins, shape: Shape, region: Region, properties: frozenset[str], kernels: bool) -> Rows:
    """Label and area of each object, and its box and coordinate sums if `properties` include them."""
    count = bins.counts[bins.occurring].astype(np.int64)
    rows: Rows = {"label": bins.labels[bins.occurring], "num_pixels": count}
    boxes, sums = bool(properties & BOXED), "centroid" in properties
    if boxes or sums:
        asked = {"labels": bins.ranks().reshape(shape), "count": count.size, "boxes": boxes, "sums": sums}
        columns = iter(fastest(extents, asked, kernels))
        for name in (*(("start", "stop") if boxes else ()), *(("sum",) if sums else ())):
            for axis, start in enumerate(region.start):
                rows[f"{name}{axis}"] = next(columns) + (count * start if name == "sum" else start)
    return rows


def _on_inner_faces(labels: Array, names: Array, region: Region, shape: Shape) -> Array:
    """Which objects touch a face beyond which the image continues."""
    touched = []
    for axis in range(labels.ndim):
        if region.start[axis] > 0:
            touched.append(np.take(labels, 0, axis=axis).ravel())
        if region.stop[axis] < shape[axis]:
            touched.append(np.take(labels, -1, axis=axis).ravel())
    on_faces: Array = np.isin(names, np.concatenate(touched)) if touched else np.zeros(names.size, bool)
    return on_faces


def _means(pixels: Array, row: Array, counts: Array, wanted: Array) -> Array:
    """`np.mean` of each wanted object's pixels in raster order, bit for bit; 0 for the others."""
    ordered = pixels[np.argsort(row, kind="stable")]
    stops = np.cumsum(counts)
    means = np.zeros(counts.size, dtype=np.float64)
    for index in np.flatnonzero(wanted):
        means[index] = ordered[stops[index] - counts[index] : stops[index]].mean()
    return means
