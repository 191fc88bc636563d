"""The compiled parts of labelling and of tables of labels, and what they stand for; none of them is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.kernels import Kernel, load


def label_alone(image: Array, background: int | None, connectivity: Any) -> Array:
    """Labels of one block, int32 from 1 in the order of their first pixels."""
    if isinstance(connectivity, np.ndarray):
        from scipy.ndimage import label as label_structure

        labels: Array = label_structure(image, connectivity)[0]
    elif image.ndim == 3 and image.shape[-1] == 1:
        # scikit-image would number such a slab of integers column by column
        labels = label_alone(image[..., 0], background, min(connectivity or 3, 2))[..., np.newaxis]
    else:
        from skimage.measure import label

        labels = label(image, background=background, connectivity=connectivity)
    return labels.astype(np.int32, copy=False)


def _is_plain_bool(arguments: Arguments) -> bool:
    image, connectivity = arguments["image"], arguments["connectivity"]
    plain = image.dtype == bool and image.ndim == 2 and image.size > 0 and image.flags.c_contiguous
    return bool(plain and not isinstance(connectivity, np.ndarray) and not arguments["background"])


def _pictures() -> Iterator[dict[str, Any]]:
    deal = np.random.default_rng(23)
    for shape in ((1, 1), (1, 9), (9, 1), (40, 57)):
        for density in (0.0, 0.3, 0.5, 0.6, 1.0):
            for connectivity in (1, 2, None):
                image = deal.random(shape) < density
                yield {"image": image, "background": None, "connectivity": connectivity}


def table_at(table: Array, ids: Array) -> Array:
    """`table[ids]`."""
    found: Array = table[ids]
    return found


def _is_plain_table(arguments: Arguments) -> bool:
    table, ids = arguments["table"], arguments["ids"]
    return (
        table.dtype in (np.int32, np.int64)
        and ids.dtype == np.int32
        and bool(table.flags.c_contiguous and ids.flags.c_contiguous)
    )


def _tables() -> Iterator[dict[str, Any]]:
    deal = np.random.default_rng(24)
    for dtype in (np.int32, np.int64):
        table = deal.integers(0, 1 << 30, 50, dtype)
        yield {"table": table, "ids": deal.integers(0, 50, (30, 20), np.int32)}


def counted(labels: Array, bins: int) -> Array:
    """How many pixels have each label from 0 to less than `bins`, int64."""
    return np.bincount(labels.ravel(), minlength=bins)


def _is_countable(arguments: Arguments) -> bool:
    labels = arguments["labels"]
    return labels.dtype in (np.int32, np.int64) and bool(labels.flags.c_contiguous)


def _labels() -> Iterator[dict[str, Any]]:
    deal = np.random.default_rng(25)
    for dtype in (np.int32, np.int64):
        yield {"labels": deal.integers(0, 40, 1000, dtype), "bins": 50}


def added(labels: Array, pixels: Array, bins: int) -> Array:
    """The sum of the pixels of each label from 0 to less than `bins`, in raster order, float64."""
    found: Array = np.bincount(labels.ravel(), weights=pixels.ravel(), minlength=bins)
    return found


def _is_addable(arguments: Arguments) -> bool:
    pixels = arguments["pixels"]
    return _is_countable(arguments) and pixels.dtype in (np.uint8, np.uint16) and bool(pixels.flags.c_contiguous)


def _pixels() -> Iterator[dict[str, Any]]:
    deal = np.random.default_rng(27)
    for arguments in _labels():
        for dtype in (np.uint8, np.uint16):
            yield {**arguments, "pixels": deal.integers(0, np.iinfo(dtype).max, 1000, dtype, endpoint=True)}


def extents(labels: Array, count: int, boxes: bool, sums: bool) -> Array:
    """Where the labels from 1 to `count` are, all of which occur, int64, a column for each.

    For `boxes` a row for the first position along each axis, and a row for one past the last along each; for `sums` a row
    for the sum of positions along each axis.
    """
    from scipy.ndimage import find_objects

    rows: list[Any] = []
    if boxes:
        found = find_objects(labels, max_label=count)
        rows += [[box[axis].start for box in found] for axis in range(labels.ndim)]
        rows += [[box[axis].stop for box in found] for axis in range(labels.ndim)]
    for axis, length in enumerate(labels.shape if sums else ()):
        along = np.arange(length, dtype=float).reshape([-1 if at == axis else 1 for at in range(labels.ndim)])
        weights = np.broadcast_to(along, labels.shape).ravel()
        rows.append(np.bincount(labels.ravel(), weights, count + 1)[1:])
    return np.array(rows, np.int64).reshape(-1, count)


def _is_plain_labels(arguments: Arguments) -> bool:
    labels = arguments["labels"]
    return bool(labels.dtype == np.int32 and labels.ndim > 1 and labels.size and labels.flags.c_contiguous)


def _objects() -> Iterator[dict[str, Any]]:
    deal = np.random.default_rng(26)
    for shape in ((30, 40), (1, 50), (50, 1), (7, 8, 9), (3, 4, 5, 6)):
        for count in (1, 6):
            labels = np.repeat(deal.integers(0, count + 1, shape, np.int32), 3, axis=-1)
            labels.flat[:count] = np.arange(1, count + 1)
            for boxes, sums in ((True, True), (True, False), (False, True)):
                yield {"labels": labels, "count": count, "boxes": boxes, "sums": sums}


_HERE = "lepton_celery.kernels.labels"

PARTS: dict[Callable[..., Array], Kernel] = {
    label_alone: Kernel(f"{_HERE}.label", _is_plain_bool, _pictures),
    table_at: Kernel(f"{_HERE}.look_up", _is_plain_table, _tables),
    counted: Kernel(f"{_HERE}.count", _is_countable, _labels),
    added: Kernel(f"{_HERE}.add", _is_addable, _pixels),
    extents: Kernel(f"{_HERE}.extents", _is_plain_labels, _objects),
}
"""What has a compiled form, and that."""


def quickest(function: Callable[..., Array], arguments: dict[str, Any], kernels: bool) -> Array:
    """One of `PARTS` of these arguments, compiled where that covers them; the result is the same."""
    kernel = PARTS[function]
    if kernels and kernel.covers(arguments) and (compiled := load(kernel, function)) is not None:
        return compiled(**arguments)
    return function(**arguments)
