"""`scipy.ndimage.sum`, `mean`, `median`, `center_of_mass` … of the pixels of each label.

SciPy takes the pixels of one label after the other in raster order, so its result for a label follows from the label's
bounding box. A first pass finds the boxes. In the second, SciPy itself measures the labels whose box begins in a block: all
that lie in the block at once, and those that blocks cut one by one, each in its box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials, View, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local, Reduction
from lepton_celery.catalogue.results import ValueType
from lepton_celery.catalogue.shared.object_boxes import Boxed, ObjectBoxes
from lepton_celery.catalogue.signatures import resolve
from lepton_celery.errors import DtypeNotSupported, InputError
from lepton_celery.grid import BlockGrid, Region

NAMES = (
    "sum",
    "sum_labels",
    "mean",
    "variance",
    "standard_deviation",
    "minimum",
    "maximum",
    "median",
    "center_of_mass",
)
"""Functions of `scipy.ndimage` that measure the pixels of each label."""

_NEEDS_EACH_LABEL = frozenset({"median", "histogram"})
"""Functions whose result for a label without pixels is none, or comes from the pixels of another label."""

_TABLE_LABELS = 1 << 20
"""The range of labels up to which a table has the row of each."""

# ------------------------------------------------------------------------------------------------ blocks


@declare(Local("lepton.chosen_labels", images=("labels",), dtype_kinds="biu", cost_ns=10.0))
def chosen_labels(labels: Array, index: Array | None) -> Array:
    """One more than the row of each pixel's label in `index`, which ascends, and 0 for other labels; int32.

    Without an index, 1 where the label is greater than 0.
    """
    if index is None:
        return (labels > 0).astype(np.int32)
    if not index.size:
        return np.zeros(labels.shape, np.int32)
    numbers = labels.astype(np.uint8) if labels.dtype == bool else labels
    first, last = int(index[0]), int(index[-1])
    if last - first < _TABLE_LABELS and numbers.dtype != np.uint64 and abs(first) < 1 << 62:
        rows = np.zeros(last - first + 3, np.int32)  # 0 for the labels below and above
        rows[index.astype(np.int64) - first + 1] = np.arange(1, index.size + 1)
        place = np.clip(numbers, first - 1, last + 1) if numbers.itemsize == 8 else numbers.astype(np.int64)
        place -= first - 1
        return rows.take(place, mode="clip")
    row = np.minimum(np.searchsorted(index, numbers), index.size - 1)
    return np.where(index[row] == numbers, row + 1, 0).astype(np.int32)


def _measure_box(
    function: str, pixels: Array, chosen: Array, rows: Array | None, start: Sequence[int], bins: Any
) -> Array:
    """`_measure` for a box that begins at `start`, without its pixels of other labels, which SciPy would sort too."""
    inside = chosen == rows[0] + 1 if rows is not None and rows.size == 1 else chosen > 0
    axes = np.ogrid[tuple(slice(a, a + n) for a, n in zip(start, pixels.shape, strict=True))]
    positions = [np.broadcast_to(axis, pixels.shape)[inside] for axis in axes] if function == "center_of_mass" else ()
    return _measure(function, pixels[inside], chosen[inside], rows, positions, bins)


def _measure(
    function: str, pixels: Array, chosen: Array, rows: Array | None, positions: Sequence[Array], bins: Any
) -> Array:
    """SciPy's results, an array with a row for each of `rows`; one row for all chosen labels together with `rows=None`.

    `positions` has the pixels' positions along each axis, for the centre of mass.
    """
    index = None if rows is None else rows + 1
    if function == "center_of_mass":
        return _centres(pixels, chosen, index, positions)
    if function == "histogram":
        wanted = [None] if index is None else index.tolist()
        return np.stack([_measured("histogram", pixels, *bins, chosen, row) for row in wanted])
    return np.atleast_1d(_measured(function, pixels, chosen, index))


def _measured(function: str, *arguments: Any) -> Any:
    with np.errstate(all="ignore"):
        return resolve(f"scipy.ndimage.{function}")(*arguments)


def _centres(pixels: Array, chosen: Array, index: Any, positions: Sequence[Array]) -> Array:
    """`scipy.ndimage.center_of_mass`, with positions counted from the image's origin; its sums are SciPy's own."""
    normalizer = _measured("sum_labels", pixels, chosen, index)
    with np.errstate(all="ignore"):
        sums = [_measured("sum_labels", pixels * axis.astype(float), chosen, index) / normalizer for axis in positions]
    return np.atleast_2d(np.array(sums).T)


def merge_by_label(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
    """The results of all labels in the order of the user's index; SciPy's result for labels without pixels."""
    function, order, dtype = arguments["function"], arguments["order"], np.dtype(arguments["input"].dtype)
    of_blocks = [partial for _, partial in partials if partial["row"].size]
    row = np.concatenate([np.zeros(0, np.int64), *(partial["row"] for partial in of_blocks)])
    count = int(np.max(order, initial=-1)) + 1 if order is not None else int(arguments["index"] is not None)
    if row.size < count and (function == "histogram" or (function == "median" and order is not None)):
        missing = np.setdiff1d(np.arange(count), row)[0]
        raise InputError(
            f"label {arguments['index'][missing]} of index has no pixel, for which scipy.ndimage.{function} has no result "
            "of its own; leave it out of index"
        )
    if order is None:
        return _of_group(of_blocks, function, dtype, arguments["bins"], len(grid.shape))
    absent = _absent(function, arguments, len(grid.shape))
    results = np.repeat(absent, count, axis=0)
    results[row] = np.concatenate([absent[:0], *(partial["value"] for partial in of_blocks)])
    return results[np.asarray(order, np.int64)]


def _of_group(of_blocks: Sequence[Partial], function: str, dtype: Any, bins: Any, ndim: int) -> Any:
    """The result of a single group of labels."""
    if of_blocks:
        return of_blocks[0]["value"][0]
    nothing = np.zeros((1,) * ndim, dtype)
    try:
        return _measure(function, nothing, np.zeros(nothing.shape, np.int32), None, [nothing] * ndim, bins)[0]
    except ValueError as error:
        raise InputError(
            f"scipy.ndimage.{function} of labels without pixels: {error}; choose labels that occur"
        ) from error


def _absent(function: str, arguments: Arguments, ndim: int) -> Array:
    """SciPy's result for one label without pixels."""
    shape, dtype = _result(arguments)
    if function in _NEEDS_EACH_LABEL:
        return np.zeros((1, *shape[1:]), dtype)
    one = np.ones((1,) * ndim, arguments["input"].dtype)
    return _measure(function, one, one.astype(np.int32), np.array([1]), [np.zeros_like(one)] * ndim, None)


@declare(
    Reduction(
        "lepton.by_label",
        images=("labels", "input"),
        values=("objects",),
        merge=merge_by_label,
        result=lambda arguments: _result(arguments),
        reads_itself=True,
        cost_ns=20.0,
    )
)
def by_label_partial(
    labels: View,
    input: View,
    objects: Mapping[str, Array],
    function: str,
    index: Array | None,
    bins: Any,
    where: Where,
    order: Any = None,
) -> Partial:
    """SciPy's results for the labels whose box begins in this block, and their rows; `order` is for the merge."""
    found = ObjectBoxes.begin_in(where.region, objects)
    if not found.row.size:
        return {"row": found.row}
    found.refuse_huge("choose fewer labels by index, or use numpy.sum, min, max and mean for the whole image")
    near, rows = found.near_region, found.labels - 1
    pixels, numbers = Boxed(input, near), Boxed(labels, near)
    results: dict[int, Array] = {}
    together = np.flatnonzero(~found.cut)
    for group in [together] if together.size else []:
        region = Region(
            tuple(found.starts[:, group].min(axis=1).tolist()), tuple(found.stops[:, group].max(axis=1).tolist())
        )
        chosen = chosen_labels(numbers[region.slices], index)
        asked = None if order is None else rows[group]
        values = _measure_box(function, pixels[region.slices], chosen, asked, region.start, bins)
        results |= dict(zip(group.tolist(), values, strict=True))
    for number in np.flatnonzero(found.cut).tolist():
        region = found.box(number)
        chosen = chosen_labels(numbers[region.slices], index)
        asked = None if order is None else rows[[number]]
        [results[number]] = _measure_box(function, pixels[region.slices], chosen, asked, region.start, bins)
    return {"row": rows.astype(np.int64), "value": np.stack([results[number] for number in range(rows.size)])}


# ------------------------------------------------------------------------------------------------ functions


def _row_shape(function: str, bins: Any, ndim: int) -> tuple[int, ...]:
    """The shape of the result for one label."""
    if function == "histogram" and bins is not None:
        return (int(bins[2]),)
    return (ndim,) if function == "center_of_mass" else ()


def _result(arguments: Arguments) -> ValueType:
    """Shape and dtype, found by measuring a single pixel."""
    function, order, bins = arguments["function"], arguments["order"], arguments["bins"]
    ndim = len(arguments["input"].shape)
    one = np.ones((1,) * ndim, arguments["input"].dtype)
    rows_of_one = None if order is None else np.array([0])
    sample = _measure(function, one, one.astype(np.int32), rows_of_one, [np.zeros_like(one)] * ndim, bins)
    rows = () if order is None else (len(order),)
    return (*rows, *_row_shape(function, bins, ndim)), sample.dtype


def _check(arguments: Arguments) -> None:
    image, labels = arguments["input"], arguments["labels"]
    if labels is None:
        raise InputError("labels=None means the whole image; use numpy.sum, mean, var, std, min, max or median for it")
    if tuple(labels.shape) != tuple(image.shape):
        raise InputError(
            f"labels of shape {labels.shape} for an image of shape {image.shape}; give one label per pixel"
        )
    if labels.dtype.kind == "f":
        raise DtypeNotSupported(f"labels of dtype {labels.dtype} are not whole numbers; convert them with .astype")
    index = arguments["index"]
    if index is not None and (np.ndim(index) > 1 or (np.size(index) and np.asarray(index).dtype.kind not in "iub")):
        raise InputError(f"index={index!r}; give a label, or a sequence of whole numbers")


def _check_histogram(arguments: Arguments) -> None:
    _check(arguments)
    bins = arguments["bins"]
    if not isinstance(bins, int | np.integer) or bins < 1:
        raise InputError(f"bins={bins!r}; give the number of bins, at least 1")
    if not arguments["min"] < arguments["max"]:
        raise InputError(f"min={arguments['min']!r} and max={arguments['max']!r}; give the lower one first")


def _request(function: str, arguments: Arguments) -> dict[str, Any]:
    """The arguments of `lepton.by_label` that follow from the user's; `order` puts the results in the order of `index`."""
    given, bins = arguments["index"], None
    if function == "histogram":
        bins = (arguments["min"], arguments["max"], int(arguments["bins"]))
    index, order = None, None
    if given is not None:
        wanted = np.asarray(given, dtype=np.int64 if np.size(given) == 0 else None)
        index, order = np.unique(wanted.astype(np.int64 if wanted.dtype == bool else wanted.dtype), return_inverse=True)
        order = order.reshape(-1) if wanted.ndim else None
    return {"input": arguments["input"], "function": function, "index": index, "order": order, "bins": bins}


def _entry(function: str, **options: Any) -> Composite:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        request = _request(function, arguments)
        chosen = build("lepton.chosen_labels", labels=arguments["labels"], index=request["index"])
        boxes = {"intensity_image": None, "properties": ("bbox",), "connected": False}
        objects = build("lepton.objects", label_image=chosen, **boxes)
        return build("lepton.by_label", labels=arguments["labels"], objects=objects, **request)

    return Composite(
        f"ndimage.{function}",
        images=("input", "labels"),
        kinds_of={"labels": "biu"},
        expand=expand,
        result=lambda arguments: _result(_request(function, arguments)),
        samples={"labels": "labels"},
        **options,
    )


ENTRIES = (
    *(_entry(name, check=_check, example={"index": [3, 6]}) for name in NAMES),
    _entry("histogram", check=_check_histogram, example={"min": 0, "max": 1, "bins": 5}),
)
