"""The region table: one row per labelled object, objects cut by block borders included.

Areas, boxes and coordinate sums are integers, so they add up the same in any order. The mean of float pixels does not:
NumPy adds pairwise, in raster order. An object that lies in one block is averaged there; of an object that blocks cut, the
pixels are kept and added in NumPy's own order (`pairwise.PairwiseSum`).

These are the properties of `SUMMED`. The others need an object's pixels all at once: a second pass over the blocks, which
then know the bounding boxes, has scikit-image measure them (`crops`).

The signs of zeros: where an object has both 0.0 and -0.0 as its least or greatest intensity, NumPy leaves open which of
them `intensity_min` and `intensity_max` are, and so does this table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Reduction, Refused
from lepton_celery.catalogue.measure.crops import as_slices, empty_columns, measured_columns, measured_partial, why_not
from lepton_celery.catalogue.own import path_of
from lepton_celery.catalogue.shared.label_kernels import added, counted, extents, quickest
from lepton_celery.catalogue.shared.pairwise import PairwiseSum
from lepton_celery.errors import DtypeNotSupported, InputError
from lepton_celery.grid import BlockGrid, Region

SCALARS = {
    "label": int,
    "num_pixels": int,
    "area": float,
    "area_bbox": float,
    "equivalent_diameter_area": float,
    "extent": float,
    "intensity_mean": float,
    "intensity_min": float,
    "intensity_max": float,
    "slice": object,
}
"""Properties of one column, with the dtype scikit-image gives it."""
VECTORS = {"bbox": int, "centroid": float}
"""Properties of one column per axis (two for the box)."""
BOXED = frozenset({"bbox", "area_bbox", "extent", "slice"})
"""Properties that follow from the bounding box."""
SUMMED = frozenset({*SCALARS, *VECTORS})
"""Properties that blocks add up, where there are neither channels nor a spacing."""

Rows = dict[str, Array]


def table_partial(
    label_image: Array,
    intensity_image: Array | None,
    properties: Iterable[str],
    connected: bool,
    where: Where,
    kernels: bool = False,
) -> Partial:
    """What one block knows of each object in it; see `_measure` for the columns."""
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
    foreground, dense = bins.foreground()
    pixels = pixels[foreground]
    count = rows["label"].size
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


@dataclass(frozen=True)
class _Bins:
    """The pixels of a block by their labels. Bins may be empty: going over them is cheaper than counting labels anew."""

    labels: Array
    """The label of each bin, ascending; 0 for the background."""
    at: Array
    """Each pixel's bin, in raster order."""
    counts: Array
    """Pixels of each bin, the background's left out."""
    kept: Array
    """The bins of the labels that occur."""

    @classmethod
    def of(cls, labels: Array, kernels: bool) -> _Bins:
        """Sorted into bins.

        Raises:
            InputError: a label is too large for a table.
        """
        names, at = _binned(labels.ravel())
        counts = quickest(counted, {"labels": at, "bins": names.size}, kernels)
        counts[names == 0] = 0
        return cls(names, at, counts, np.flatnonzero(counts))

    def sums(self, pixels: Array, kernels: bool) -> Array:
        """The sum of each label's pixels, float64."""
        return quickest(added, {"labels": self.at, "pixels": pixels, "bins": self.labels.size}, kernels)[self.kept]

    def extremes(self, pixels: Array) -> tuple[Array, Array]:
        """The least and the greatest pixel of each label."""
        low, high = np.empty(self.labels.size, pixels.dtype), np.empty(self.labels.size, pixels.dtype)
        low[self.at], high[self.at] = pixels, pixels  # a pixel of the object's own to start from
        np.minimum.at(low, self.at, pixels)
        np.maximum.at(high, self.at, pixels)
        return low[self.kept], high[self.kept]

    def ranks(self) -> Array:
        """Each pixel's row of the table from 1, 0 on the background, int32."""
        order = np.zeros(self.labels.size, np.int32)
        order[self.kept] = np.arange(1, self.kept.size + 1)
        return order[self.at]

    def foreground(self) -> tuple[Array, Array]:
        """Raster indices of the pixels that have a label, and their rows."""
        ranks = self.ranks()
        foreground = np.flatnonzero(ranks)
        return foreground, ranks[foreground] - 1


def _binned(flat: Array) -> tuple[Array, Array]:
    """The label of each bin, ascending, 0 for the background, and each pixel's bin."""
    high = int(flat.max(initial=0))
    if high > np.iinfo(np.int64).max:
        raise InputError(f"label {high} is over {np.iinfo(np.int64).max}, the most a table can name; relabel first")
    if flat.dtype.kind == "i" and flat.min(initial=0) < 0:
        flat = np.maximum(flat, 0)
    low = 1
    if high > flat.size:  # numbers of a block far down in a large image
        low = int(flat.min(where=flat > 0, initial=high))
    if high - low > 16 * flat.size + 65536:  # too sparse for bins that lie side by side
        names, at = np.unique(flat, return_inverse=True)
        return names.astype(np.int64), at
    names = np.arange(low - 1, high + 1, dtype=np.int64)
    names[0] = 0
    return names, flat if low == 1 else np.where(flat > 0, flat - flat.dtype.type(low - 1), 0)


def _measure(bins: _Bins, shape: tuple[int, ...], region: Region, properties: frozenset[str], kernels: bool) -> Rows:
    """Label and area of each object, box and coordinate sums if they are asked for."""
    count = bins.counts[bins.kept].astype(np.int64)
    rows: Rows = {"label": bins.labels[bins.kept], "num_pixels": count}
    boxes, sums = bool(properties & BOXED), "centroid" in properties
    if boxes or sums:
        asked = {"labels": bins.ranks().reshape(shape), "count": count.size, "boxes": boxes, "sums": sums}
        found = iter(quickest(extents, asked, kernels))
        for name in (*(("start", "stop") if boxes else ()), *(("sum",) if sums else ())):
            for axis, start in enumerate(region.start):
                rows[f"{name}{axis}"] = next(found) + (count * start if name == "sum" else start)
    return rows


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


def merge_objects(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Rows:
    """What blocks add up to of each object, one row per label, ascending."""
    rows = _gather(partials, len(grid.shape))
    if "sum" in rows:
        rows["mean"] = rows["sum"] / rows["num_pixels"]
    else:
        _finish_cut_means(partials, rows, grid)
    return rows


def merge_summed(partials: Partials, arguments: Arguments, grid: BlockGrid) -> dict[str, Array]:
    """The columns of `skimage.measure.regionprops_table`, where all of them add up."""
    rows = merge_objects(partials, arguments, grid)
    columns: dict[str, Array] = {}
    for name in arguments["properties"]:
        columns |= _columns(name, rows, len(grid.shape), arguments["separator"])
    return columns


def merge_measured(partials: Partials, arguments: Arguments, grid: BlockGrid) -> dict[str, Array]:
    """The columns of `skimage.measure.regionprops_table`, measured ones among them."""
    rows = arguments["objects"]
    measured = measured_columns(partials) if rows["label"].size else empty_columns(arguments)
    columns: dict[str, Array] = {}
    for name in arguments["properties"]:
        if name in arguments["measured"]:
            columns |= measured.get(name, {})
        else:
            columns |= _columns(name, rows, len(grid.shape), arguments["separator"])
    return columns


def _gather(partials: Partials, ndim: int) -> Rows:
    """All blocks' rows, those of one label joined."""
    collected: dict[str, list[Array]] = {}
    for _, partial in partials:
        for name, column in partial.items():
            if not name.startswith("cut_"):
                collected.setdefault(name, []).append(column)
    every = {name: np.concatenate(columns) for name, columns in collected.items()}
    every.setdefault("label", np.zeros(0, np.int64))
    labels, row = _numbered(every["label"])
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


def _numbered(labels: Array) -> tuple[Array, Array]:
    """The labels that occur, ascending, and the place of each among them."""
    if not labels.size or labels.max() > 8 * labels.size or labels.min() < 0:
        found: tuple[Array, Array] = np.unique(labels, return_inverse=True)
        return found
    occurs = np.zeros(int(labels.max()) + 1, bool)
    occurs[labels] = True
    return np.flatnonzero(occurs).astype(labels.dtype), (np.cumsum(occurs) - 1)[labels]


_EMPTY = {"num_pixels": np.int64, "mean": np.float64, "low": np.float64, "high": np.float64}


def _finish_cut_means(partials: Partials, rows: Rows, grid: BlockGrid) -> None:
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


def _columns(given: str, rows: Rows, ndim: int, separator: str) -> dict[str, Array]:
    """The columns of one property that blocks add up."""
    name, area = current_name(given), rows["num_pixels"]
    starts, stops = (np.stack([rows[f"{edge}{axis}"] for axis in range(ndim)]) for edge in ("start", "stop"))
    if name == "bbox":
        return {f"{given}{separator}{at}": edge for at, edge in enumerate((*starts, *stops))}
    if name == "centroid":
        return {f"{given}{separator}{axis}": rows[f"sum{axis}"] / area for axis in range(ndim)}
    box = np.prod(stops - starts, axis=0)
    found: Mapping[str, Callable[[], Array]] = {
        "label": lambda: rows["label"],
        "num_pixels": lambda: area,
        "area": lambda: area,
        "area_bbox": lambda: box,
        # scalar by scalar: the power of an array may differ in the last place
        "equivalent_diameter_area": lambda: np.array(
            [(2 * ndim * size / np.pi) ** (1 / ndim) for size in area.astype(float)]
        ),
        "extent": lambda: area / box,
        "intensity_mean": lambda: rows["mean"],
        "intensity_min": lambda: rows["low"],
        "intensity_max": lambda: rows["high"],
        "slice": lambda: as_slices(starts, stops),
    }
    return {given: found[name]().astype(SCALARS[name])}


def current_name(name: str) -> str:
    """What a property is called now: scikit-image still takes names of earlier releases, such as `MajorAxisLength`."""
    from skimage.measure._regionprops import PROPS

    current: str = PROPS.get(name, name)
    return current


def _wants_intensity(name: str) -> bool:
    return "intensity" in current_name(name) or "weighted" in current_name(name)


def _is_summed(name: str, arguments: Arguments) -> bool:
    labels, intensity = arguments["label_image"], arguments["intensity_image"]
    with_channels = intensity is not None and len(intensity.shape) > len(labels.shape)
    return (
        current_name(name) in SUMMED and arguments["spacing"] is None and not (with_channels and _wants_intensity(name))
    )


def _holds_objects(properties: Iterable[str]) -> bool:
    from skimage.measure._regionprops import OBJECT_COLUMNS

    return any(current_name(name) in OBJECT_COLUMNS for name in properties)


def _table_type(arguments: Arguments) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Tables of numbers count as float; those with columns of arrays or slices, which no file takes, as object."""
    return (), np.dtype(object if _holds_objects(arguments["properties"]) else float)


def _check(arguments: Arguments) -> None:
    from skimage.measure._regionprops import COL_DTYPES

    labels, intensity, spacing = arguments["label_image"], arguments["intensity_image"], arguments["spacing"]
    if labels.dtype.kind not in "iu":
        raise DtypeNotSupported(
            f"regionprops_table cannot take label_image of dtype {labels.dtype}; label it first, with measure.label"
        )
    if intensity is not None:
        ndim = len(labels.shape)
        if tuple(intensity.shape[:ndim]) != tuple(labels.shape) or len(intensity.shape) > ndim + 1:
            raise InputError(
                f"intensity_image of shape {intensity.shape} and labels of shape {labels.shape} do not match; "
                "give one intensity for each labelled pixel, or one per channel on a last axis"
            )
    extra = arguments["extra_properties"]
    if extra is not None and not all(callable(function) for function in extra):
        raise InputError(f"extra_properties={extra!r} are not all functions; give functions of an object's mask")
    properties = arguments["properties"]
    if isinstance(properties, str):
        raise InputError(f"properties={properties!r} is one string; give a sequence of names such as ({properties!r},)")
    if not isinstance(properties, Collection):
        raise InputError(f"properties={properties!r} can be gone through only once; give a sequence of names")
    own = [function.__name__ for function in extra or ()]
    for name in dict.fromkeys(properties):
        if current_name(name) in COL_DTYPES:
            if _wants_intensity(name) and intensity is None:
                raise InputError(f"property {name!r} needs an intensity_image; give one")
            why = "" if _is_summed(name, arguments) else why_not(name, labels, intensity, spacing)
            if why:
                raise InputError(
                    f"regionprops_table cannot give {name!r} of labels of shape {tuple(labels.shape)} with "
                    f"spacing={spacing!r}: {why}; leave it out"
                )
        elif name not in own:
            raise InputError(f"property {name!r} is not in the table; there are {', '.join(COL_DTYPES)}")


def _expand(arguments: Arguments, build: Build) -> Any:
    labels, intensity = arguments["label_image"], arguments["intensity_image"]
    extra = tuple(arguments["extra_properties"] or ())
    properties = tuple(dict.fromkeys([*arguments["properties"], *(function.__name__ for function in extra)]))
    measured = tuple(name for name in properties if not _is_summed(name, arguments))
    summed = tuple(name for name in properties if name not in measured)
    adding = {
        "label_image": labels,
        "intensity_image": intensity if any(map(_wants_intensity, summed)) else None,
        "properties": tuple(map(current_name, summed)),
        # only labels that were found here are known to hang together
        "connected": getattr(labels, "operation", None) in ("measure.label", "lepton.relabel"),
    }
    if not measured:
        return build("lepton.table", **adding | {"properties": properties}, separator=arguments["separator"])
    return build(
        "lepton.measured_table",
        label_image=labels,
        intensity_image=intensity if extra or any(map(_wants_intensity, measured)) else None,
        objects=build("lepton.objects", **adding | {"properties": (*adding["properties"], "bbox")}),
        properties=properties,
        measured=measured,
        separator=arguments["separator"],
        spacing=arguments["spacing"],
        extra_properties=tuple(map(path_of, extra)),
    )


def entries() -> list[Entry]:
    """The region table."""
    here = "lepton_celery.catalogue.measure"
    images = ("label_image", "intensity_image")
    return [
        Reduction(
            name="lepton.objects",
            source=f"{here}.regionprops.table_partial",
            images=images,
            partial=table_partial,
            merge=merge_objects,
            wants_where=True,
            wants_kernels=True,
            cost_ns=8.0,
        ),
        Reduction(
            name="lepton.table",
            source=f"{here}.regionprops.table_partial",
            images=images,
            partial=lambda separator, **arguments: table_partial(**arguments),
            merge=merge_summed,
            result=_table_type,
            wants_where=True,
            wants_kernels=True,
            gives="table",
            cost_ns=8.0,
        ),
        Reduction(
            name="lepton.measured_table",
            source=f"{here}.crops.measured_partial",
            images=images,
            values=("objects",),
            partial=lambda properties, **arguments: measured_partial(**arguments),
            merge=merge_measured,
            result=_table_type,
            reads_itself=True,
            gives="table",
            cost_ns=200.0,
        ),
        Composite(
            name="measure.regionprops_table",
            source="skimage.measure.regionprops_table",
            images=images,
            check=_check,
            expand=_expand,
            gives="table",
            samples={"label_image": "labels"},
        ),
        Refused(
            name="measure.regionprops",
            source="skimage.measure.regionprops",
            images=images,
            reason="it gives objects that hold on to the whole image",
            instead="measure.regionprops_table, which has all their properties as columns",
        ),
    ]
