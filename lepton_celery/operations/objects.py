"""The region table: one row per labelled object, objects cut by block borders included.

Areas, boxes and coordinate sums are integers, so they add up the same in any order. The mean of float pixels does not:
NumPy adds pairwise, in raster order. An object that lies in one block is averaged there; of an object that blocks cut, the
pixels are kept and added in NumPy's own order (`pairwise.PairwiseSum`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lepton_celery.errors import DtypeNotSupported, InputError
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.operations.pairwise import PairwiseSum
from lepton_celery.operations.spec import Arguments, Array, Build, Composite, Entry, Partial, Reduction

SCALARS = {
    "label": int,
    "num_pixels": int,
    "area": float,
    "area_bbox": float,
    "extent": float,
    "intensity_mean": float,
    "intensity_min": float,
    "intensity_max": float,
}
"""Properties of one column, with the dtype scikit-image gives it."""
VECTORS = {"bbox": int, "centroid": float}
"""Properties of one column per axis (two for the box)."""
PROPERTIES = (*SCALARS, *VECTORS)

Rows = dict[str, Array]


def table_partial(
    label_image: Array,
    intensity_image: Array | None,
    properties: Iterable[str],
    connected: bool,
    region: Region,
    shape: tuple[int, ...],
) -> Partial:
    """What one block knows of each object in it; see `_measure` for the columns."""
    rows, dense, foreground = _measure(label_image, region)
    if intensity_image is None:
        return rows
    pixels = intensity_image.ravel()[foreground]
    count = rows["label"].size
    low, high = np.empty(count, pixels.dtype), np.empty(count, pixels.dtype)
    low[dense], high[dense] = pixels, pixels  # a pixel of the object's own to start from
    np.minimum.at(low, dense, pixels)
    np.maximum.at(high, dense, pixels)
    rows["low"], rows["high"] = low, high
    if "intensity_mean" not in properties:
        return rows
    if sums_are_exact(pixels.dtype):
        rows["sum"] = np.bincount(dense, weights=pixels, minlength=count)
        return rows
    whole = np.zeros(count, bool) if not connected else ~_on_inner_faces(label_image, rows["label"], region, shape)
    rows["whole"] = whole
    rows["mean"] = _means(pixels, dense, rows["num_pixels"], whole)
    kept = ~whole[dense]
    position = np.unravel_index(foreground[kept], label_image.shape)
    shifted = tuple(p + start for p, start in zip(position, region.start, strict=True))
    rows["cut_row"] = dense[kept].astype(np.int32)
    rows["cut_at"] = np.ravel_multi_index(shifted, shape).astype(np.int64)
    rows["cut_pixel"] = pixels[kept]
    return rows


def sums_are_exact(dtype: np.dtype[Any]) -> bool:
    """Whether float64 holds the sum of any number of such pixels that an image can have."""
    return dtype.kind in "bui" and dtype.itemsize <= 2


def _measure(labels: Array, region: Region) -> tuple[Rows, Array, Array]:
    """Label, area, box and coordinate sums of each object; each foreground pixel's row; the foreground's flat indices."""
    from scipy.ndimage import find_objects

    flat = labels.ravel()
    foreground = np.flatnonzero(flat > 0)
    names, dense = _compact(flat[foreground])
    count = names.size
    rows: Rows = {"label": names.astype(np.int64), "num_pixels": np.bincount(dense, minlength=count).astype(np.int64)}
    ranked = np.zeros(labels.size, dtype=np.int32)
    ranked[foreground] = dense + 1
    boxes = find_objects(ranked.reshape(labels.shape), max_label=count)
    for axis, coordinate in enumerate(np.unravel_index(foreground, labels.shape)):
        start = region.start[axis]
        rows[f"start{axis}"] = np.array([box[axis].start + start for box in boxes], dtype=np.int64)
        rows[f"stop{axis}"] = np.array([box[axis].stop + start for box in boxes], dtype=np.int64)
        within = np.bincount(dense, weights=coordinate, minlength=count).astype(np.int64)
        rows[f"sum{axis}"] = within + rows["num_pixels"] * start
    return rows, dense, foreground


def _compact(labels: Array) -> tuple[Array, Array]:
    """The labels that occur, ascending, and for each pixel the row of its label."""
    if labels.size == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.intp)
    low, high = int(labels.min()), int(labels.max())
    if high - low > 16 * labels.size + 65536:  # too sparse for a lookup table
        names, dense = np.unique(labels, return_inverse=True)
        return names, dense
    present = np.zeros(high - low + 1, dtype=bool)
    shifted = labels - low
    present[shifted] = True
    names = np.flatnonzero(present)
    row = np.zeros(present.size, dtype=np.intp)
    row[names] = np.arange(names.size)
    return names + low, row[shifted]


def _on_inner_faces(labels: Array, names: Array, region: Region, shape: tuple[int, ...]) -> Array:
    """Which objects touch a face behind which the image goes on."""
    touched = []
    for axis in range(labels.ndim):
        if region.start[axis] > 0:
            touched.append(np.take(labels, 0, axis=axis).ravel())
        if region.stop[axis] < shape[axis]:
            touched.append(np.take(labels, -1, axis=axis).ravel())
    found: Array = np.isin(names, np.concatenate(touched)) if touched else np.zeros(names.size, bool)
    return found


def _means(pixels: Array, dense: Array, counts: Array, wanted: Array) -> Array:
    """`np.mean` of each wanted object's pixels in raster order, bit for bit; 0 for the others."""
    ordered = pixels[np.argsort(dense, kind="stable")]
    stops = np.cumsum(counts)
    means = np.zeros(counts.size, dtype=np.float64)
    for row in np.flatnonzero(wanted):
        means[row] = ordered[stops[row] - counts[row] : stops[row]].mean()
    return means


def merge_tables(partials: Iterable[tuple[int, Partial]], arguments: Arguments, grid: BlockGrid) -> dict[str, Array]:
    """The columns of `skimage.measure.regionprops_table`, one row per label, ascending."""
    ndim = len(grid.shape)
    rows = _gather(partials, ndim)
    if "sum" in rows:
        rows["mean"] = rows["sum"] / rows["num_pixels"]
    else:
        _finish_cut_means(partials, rows, grid)
    columns: dict[str, Array] = {}
    for name in arguments["properties"]:
        for column, values in _columns(name, rows, ndim, arguments["separator"]):
            columns[column] = values
    return columns


def _gather(partials: Iterable[tuple[int, Partial]], ndim: int) -> Rows:
    """All blocks' rows, those of one label joined."""
    collected: dict[str, list[Array]] = {}
    for _, partial in partials:
        for name, column in partial.items():
            if not name.startswith("cut_"):
                collected.setdefault(name, []).append(column)
    every = {name: np.concatenate(columns) for name, columns in collected.items()}
    every.setdefault("label", np.zeros(0, np.int64))
    labels, row = np.unique(every["label"], return_inverse=True)
    rows: Rows = {"label": labels}

    def join(name: str, how: np.ufunc) -> None:
        if name in every:
            merged = np.empty(labels.size, every[name].dtype)
            merged[row] = every[name]
            if how is np.add:
                merged[:] = 0
            how.at(merged, row, every[name])
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


def _finish_cut_means(partials: Iterable[tuple[int, Partial]], rows: Rows, grid: BlockGrid) -> None:
    """Means of the objects that blocks cut, from their pixels in raster order.

    One slab of blocks (one position along the first axis) is one stretch of the raster, so slabs can be added up one after
    the other; within a slab, pixels are put in raster order first.
    """
    sums: dict[int, PairwiseSum] = {}
    slab: list[Partial] = []
    at = 0
    for index, partial in partials:
        position = grid.position(index)[0]
        if position != at:
            _add_slab(slab, sums, rows)
            slab, at = [], position
        slab.append(partial)
    _add_slab(slab, sums, rows)
    for row, total in sums.items():
        rows["mean"][row] = total.mean()


def _add_slab(slab: Iterable[Partial], sums: dict[int, PairwiseSum], rows: Rows) -> None:
    parts = [part for part in slab if part.get("cut_pixel") is not None and part["cut_pixel"].size]
    if not parts:
        return
    labels = np.concatenate([part["label"][part["cut_row"]] for part in parts])
    position = np.concatenate([part["cut_at"] for part in parts])
    pixels = np.concatenate([part["cut_pixel"] for part in parts])
    order = np.lexsort((position, labels))
    labels, pixels = labels[order], pixels[order]
    starts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    for start, stop in zip(starts, np.append(starts[1:], labels.size), strict=True):
        row = int(np.searchsorted(rows["label"], labels[start]))
        if row not in sums:
            sums[row] = PairwiseSum(int(rows["num_pixels"][row]), pixels.dtype)
        sums[row].add(pixels[start:stop])


def _columns(name: str, rows: Rows, ndim: int, separator: str) -> Iterable[tuple[str, Array]]:
    area = rows["num_pixels"]
    if name == "bbox":
        edges = [f"start{axis}" for axis in range(ndim)] + [f"stop{axis}" for axis in range(ndim)]
        return [(f"bbox{separator}{i}", rows[edge]) for i, edge in enumerate(edges)]
    if name == "centroid":
        return [(f"centroid{separator}{axis}", rows[f"sum{axis}"] / area) for axis in range(ndim)]
    box = np.ones(area.size, np.int64)
    for axis in range(ndim):
        box = box * (rows[f"stop{axis}"] - rows[f"start{axis}"])
    found: Mapping[str, Any] = {
        "label": rows["label"],
        "num_pixels": area,
        "area": area,
        "area_bbox": box,
        "extent": area / box,
        "intensity_mean": rows["mean"],
        "intensity_min": rows["low"],
        "intensity_max": rows["high"],
    }
    return [(name, found[name].astype(SCALARS[name]))]


def _check(arguments: Arguments) -> None:
    labels, intensity = arguments["label_image"], arguments["intensity_image"]
    if labels.dtype.kind not in "iu":
        raise DtypeNotSupported(
            f"regionprops_table cannot take label_image of dtype {labels.dtype}; label it first, with measure.label"
        )
    for name in ("extra_properties", "spacing"):
        if arguments[name] is not None:
            raise InputError(f"regionprops_table with {name} is not supported here; leave it out")
    properties = arguments["properties"]
    if isinstance(properties, str):
        raise InputError(f"properties={properties!r} is one string; give a sequence of names such as ({properties!r},)")
    for name in properties:
        if name not in PROPERTIES:
            raise InputError(f"property {name!r} is not in the table; there are {', '.join(PROPERTIES)}")
        if name.startswith("intensity") and intensity is None:
            raise InputError(f"property {name!r} needs an intensity_image; give one")
    if intensity is not None and tuple(intensity.shape) != tuple(labels.shape):
        raise InputError(
            f"intensity_image of shape {intensity.shape} and labels of shape {labels.shape} do not match; "
            "give one intensity for each labelled pixel"
        )


def _expand(arguments: Arguments, build: Build) -> Any:
    labels = arguments["label_image"]
    return build(
        "lepton.table",
        label_image=labels,
        intensity_image=arguments["intensity_image"],
        properties=list(arguments["properties"]),
        separator=arguments["separator"],
        # only labels that were found here are known to hang together
        connected=getattr(labels, "operation", None) in ("measure.label", "lepton.relabel"),
    )


def entries() -> list[Entry]:
    """The region table."""
    here = "lepton_celery.operations.objects"
    return [
        Reduction(
            name="lepton.table",
            source=f"{here}.table_partial",
            images=("label_image", "intensity_image"),
            partial=lambda separator, **arguments: table_partial(**arguments),
            merge=merge_tables,
            located=True,
            cost_ns=8.0,
        ),
        Composite(
            name="measure.regionprops_table",
            source="skimage.measure.regionprops_table",
            images=("label_image", "intensity_image"),
            check=_check,
            expand=_expand,
            gives="table",
        ),
    ]
