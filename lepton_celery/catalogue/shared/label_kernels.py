"""Steps of labelling and of region tables, each with an optional compiled kernel that gives the same result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.shared.fastest import KERNELS
from lepton_celery.kernels import Kernel


def label_alone(image: Array, background: int | None, connectivity: int | Array | None) -> Array:
    """The labels of one block, int32 from 1 in the order of their first pixels."""
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


def _covers_labelling(arguments: Arguments) -> bool:
    """Plain bool images of two axes, with a connectivity and no structure."""
    image, connectivity = arguments["image"], arguments["connectivity"]
    plain = image.dtype == bool and image.ndim == 2 and image.size > 0 and image.flags.c_contiguous
    return bool(plain and not isinstance(connectivity, np.ndarray) and not arguments["background"])


def _labelling_trials() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(23)
    for shape in ((1, 1), (1, 9), (9, 1), (40, 57)):
        for density in (0.0, 0.3, 0.5, 0.6, 1.0):
            for connectivity in (1, 2, None):
                image = rng.random(shape) < density
                yield {"image": image, "background": None, "connectivity": connectivity}


def table_at(table: Array, ids: Array) -> Array:
    """`table[ids]`."""
    values: Array = table[ids]
    return values


def _covers_table(arguments: Arguments) -> bool:
    table, ids = arguments["table"], arguments["ids"]
    return (
        table.dtype in (np.int32, np.int64)
        and ids.dtype == np.int32
        and bool(table.flags.c_contiguous and ids.flags.c_contiguous)
    )


def _table_trials() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(24)
    for dtype in (np.int32, np.int64):
        table = rng.integers(0, 1 << 30, 50, dtype)
        yield {"table": table, "ids": rng.integers(0, 50, (30, 20), np.int32)}


def pixel_counts(labels: Array, bins: int) -> Array:
    """The number of pixels with each label from 0 to `bins - 1`, int64."""
    return np.bincount(labels.ravel(), minlength=bins)


def _covers_counting(arguments: Arguments) -> bool:
    labels = arguments["labels"]
    return labels.dtype in (np.int32, np.int64) and bool(labels.flags.c_contiguous)


def _counting_trials() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(25)
    for dtype in (np.int32, np.int64):
        yield {"labels": rng.integers(0, 40, 1000, dtype), "bins": 50}


def pixel_sums(labels: Array, pixels: Array, bins: int) -> Array:
    """The sum of the pixels with each label from 0 to `bins - 1`, added up in raster order, float64."""
    sums: Array = np.bincount(labels.ravel(), weights=pixels.ravel(), minlength=bins)
    return sums


def _covers_summing(arguments: Arguments) -> bool:
    pixels = arguments["pixels"]
    return _covers_counting(arguments) and pixels.dtype in (np.uint8, np.uint16) and bool(pixels.flags.c_contiguous)


def _summing_trials() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(27)
    for arguments in _counting_trials():
        for dtype in (np.uint8, np.uint16):
            yield {**arguments, "pixels": rng.integers(0, np.iinfo(dtype).max, 1000, dtype, endpoint=True)}


def extents(labels: Array, count: int, boxes: bool, sums: bool) -> Array:
    """Positions of the labels from 1 to `count`, all of which occur: int64, a column for each label.

    With `boxes`, there is a row for the first position along each axis, then a row for one past the last position along
    each axis. With `sums`, there is a row for the sum of positions along each axis.
    """
    from scipy.ndimage import find_objects

    rows: list[Any] = []
    if boxes:
        slices = find_objects(labels, max_label=count)
        rows += [[box[axis].start for box in slices] for axis in range(labels.ndim)]
        rows += [[box[axis].stop for box in slices] for axis in range(labels.ndim)]
    for axis, length in enumerate(labels.shape if sums else ()):
        along = np.arange(length, dtype=float).reshape([-1 if other == axis else 1 for other in range(labels.ndim)])
        weights = np.broadcast_to(along, labels.shape).ravel()
        rows.append(np.bincount(labels.ravel(), weights, count + 1)[1:])
    return np.array(rows, np.int64).reshape(len(rows), count)


def _covers_extents(arguments: Arguments) -> bool:
    labels = arguments["labels"]
    return bool(labels.dtype == np.int32 and labels.ndim > 1 and labels.size and labels.flags.c_contiguous)


def _extents_trials() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(26)
    for shape in ((30, 40), (1, 50), (50, 1), (7, 8, 9), (3, 4, 5, 6)):
        for count in (1, 6):
            labels = np.repeat(rng.integers(0, count + 1, shape, np.int32), 3, axis=-1)
            labels.flat[:count] = np.arange(1, count + 1)
            for boxes, sums in ((True, True), (True, False), (False, True)):
                yield {"labels": labels, "count": count, "boxes": boxes, "sums": sums}


_HERE = "lepton_celery.kernels.labels"

KERNELS |= {
    label_alone: Kernel(f"{_HERE}.label", _covers_labelling, _labelling_trials),
    table_at: Kernel(f"{_HERE}.look_up", _covers_table, _table_trials),
    pixel_counts: Kernel(f"{_HERE}.count", _covers_counting, _counting_trials),
    pixel_sums: Kernel(f"{_HERE}.add", _covers_summing, _summing_trials),
    extents: Kernel(f"{_HERE}.extents", _covers_extents, _extents_trials),
}
