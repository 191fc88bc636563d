"""Compares a system's outputs with scikit-image's, and says in a few words how they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import arrays
from benchmarks.cases import Task
from benchmarks.workloads import workload_of
from lepton_celery import stores

Array = NDArray[Any]

IDENTICAL = "identical"
_ROWS = 512


def compare(oracle: Task, task: Task) -> str:
    """Compare the outputs of a task with those of the whole image."""
    if workload_of(task).is_picture:
        return compare_pixels(arrays.opened(oracle.output("pixels")), arrays.opened(task.output("pixels")))
    labels = compare_labels(arrays.opened(oracle.output("labels")), arrays.opened(task.output("labels")))
    if labels != IDENTICAL:
        return labels
    return compare_tables(arrays.read_table(oracle.out / "table"), _table(task))


def _table(task: Task) -> dict[str, Array]:
    parquet = task.out / "table.parquet"
    return {**stores.read_table(parquet)} if parquet.exists() else arrays.read_table(task.out / "table")


def compare_pixels(wanted: Any, found: Any) -> str:
    """`IDENTICAL`, or how many pixels differ and by how much at most."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return f"{found.dtype} {found.shape} instead of {wanted.dtype} {wanted.shape}"
    pixels, most = 0, 0.0
    for at in range(0, wanted.shape[0], _ROWS):
        a, b = np.asarray(wanted[at : at + _ROWS]), np.asarray(found[at : at + _ROWS])
        if not np.array_equal(_bits(a), _bits(b)):
            differs = a != b
            pixels += int(differs.sum())
            most = max(most, float(np.abs(a[differs].astype(float) - b[differs].astype(float)).max(initial=0)))
    return f"{pixels} pixels differ, by {most:.1g} at most" if pixels else IDENTICAL


def _bits(pixels: Array) -> Array:
    """The same memory as unsigned integers, so that equal means equal in every bit."""
    return np.ascontiguousarray(pixels).view(f"u{pixels.dtype.itemsize}")


def compare_labels(wanted: Any, found: Any) -> str:
    """`IDENTICAL`, or whether only the numbers of the objects differ, or both numbers of objects."""
    if compare_pixels(wanted, found) == IDENTICAL:
        return IDENTICAL
    if wanted.shape != found.shape:
        return f"shape {found.shape} instead of {wanted.shape}"
    a, b = np.asarray(wanted).ravel().astype(np.int64), np.asarray(found).ravel().astype(np.int64)
    pairs = np.unique(a * (int(b.max()) + 1) + b)
    if len(pairs) == int(a.max()) + 1 == int(b.max()) + 1:
        return "same objects, other numbers"
    return f"{int(b.max())} objects instead of {int(a.max())}"


def compare_tables(wanted: dict[str, Array], found: dict[str, Array]) -> str:
    """`IDENTICAL`, or the columns that differ."""
    if set(wanted) != set(found):
        return f"columns {sorted(found)} instead of {sorted(wanted)}"
    other = [name for name, column in wanted.items() if not np.array_equal(column, found[name])]
    return f"columns that differ: {', '.join(other)}" if other else IDENTICAL
