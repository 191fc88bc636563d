"""Tables of numbers, one array for each column: CSV, and Parquet with the extra `lepton-celery[parquet]`."""

from __future__ import annotations

import csv
import filecmp
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_celery.errors import InputError, StoreError
from lepton_celery.stores.base import part_of
from lepton_celery.stores.failures import reading, writing
from lepton_celery.stores.formats import NO_PARQUET, table_format
from lepton_celery.stores.paths import local_path
from lepton_celery.stores.publish import discard_part, draft_of, put_in_place, replaced_of

_ROWS_AT_ONCE = 100_000
"""Number of CSV rows that are formatted at a time."""

Column = npt.NDArray[np.int64] | npt.NDArray[np.float64]


def write_table(
    path: str | os.PathLike[str],
    columns: Mapping[str, npt.NDArray[Any]],
    *,
    job_id: str = "inline",
    overwrite: bool = False,
) -> None:
    """Write one-dimensional columns of equal length to a file that appears when the table is complete.

    `read_table` returns every float bit for bit. An existing file with the same bytes is accepted, so that a merge may be
    repeated. If the writer is killed, `discard_table` with the same job id removes the temporary file.

    Raises:
        InputError: columns differ in length, have more axes, or are not numeric.
        OutputExists: something else has that name, and `overwrite` is not set.
        StoreError: the disk is full, or no permission; no file is left.
    """
    final = local_path(path)
    name = table_format(final)
    arrays = {key: np.asarray(column) for key, column in columns.items()}
    for key, column in arrays.items():
        if column.ndim != 1 or column.dtype.kind not in "biuf":
            raise InputError(f"column {key!r} of {final} is {column.dtype} {column.shape}; give numbers on one axis")
    lengths = {key: len(column) for key, column in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"columns of {final} differ in length: {lengths}; give one value per row")
    arrays = {key: column.astype(np.uint8) if column.dtype == bool else column for key, column in arrays.items()}
    part = part_of(final, job_id)
    with writing(final), draft_of(part) as draft:
        (_write_csv if name == "csv" else _write_parquet)(draft, arrays)
        if not final.is_file() or final.is_symlink() or not filecmp.cmp(draft, final, shallow=False):
            put_in_place(draft, final, overwrite=overwrite, replaced=replaced_of(part))


def discard_table(path: str | os.PathLike[str], job_id: str) -> None:
    """Remove the temporary files that a killed writer of a table left; a published table stays."""
    final = local_path(path)
    discard_part(part_of(final, job_id), final)


def read_table(path: str | os.PathLike[str]) -> dict[str, Column]:
    """The columns of a table: int64 if all values are whole numbers, else float64. Empty cells are NaN.

    The columns of a CSV without rows are float64.

    Raises:
        StoreNotFound: there is no such file.
        StoreError: the file is not a table of numbers.
    """
    source = local_path(path)
    with reading(source):
        columns = _read_csv(source) if table_format(source) == "csv" else _read_parquet(source)
        return {key: _numbers(source, key, column) for key, column in columns.items()}


def _write_csv(path: Path, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    rows = len(next(iter(columns.values()), ()))
    with path.open("x", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerow(columns)
        for start in range(0, rows, _ROWS_AT_ONCE):
            # repr of a Python float is the shortest text from which the same float is read
            texts = [map(repr, column[start : start + _ROWS_AT_ONCE].tolist()) for column in columns.values()]
            file.write("\n".join(map(",".join, zip(*texts, strict=True))))
            file.write("\n")


def _read_csv(path: Path) -> dict[str, list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        header = next(lines, None)
        if header is None:
            raise StoreError(f"{path} is empty; a table begins with a line of column names")
        rows = [row for row in lines if row]
    if any(len(row) != len(header) for row in rows):
        raise StoreError(f"{path} has lines of more or fewer than {len(header)} values; check that it is complete")
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in header]
    return dict(zip(header, columns, strict=True))


def _write_parquet(path: Path, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    arrow = _arrow()
    table = arrow.table({key: arrow.array(np.ascontiguousarray(column)) for key, column in columns.items()})
    # integers mostly rise with the label: delta encoding takes a fifth of the bytes of a dictionary, and half the time
    steps = {field.name: "DELTA_BINARY_PACKED" for field in table.schema if arrow.types.is_integer(field.type)}
    arrow.parquet.write_table(table, path, use_dictionary=False, column_encoding=steps or None)


def _read_parquet(path: Path) -> dict[str, npt.NDArray[Any]]:
    with path.open("rb") as file:
        table = _arrow().parquet.read_table(file)
    return {key: column.to_numpy() for key, column in zip(table.column_names, table.columns, strict=True)}


def _arrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(NO_PARQUET) from error
    return pyarrow


def _numbers(path: Path, key: str, column: list[str] | npt.NDArray[Any]) -> Column:
    if isinstance(column, np.ndarray):
        if column.dtype.kind in "biu" and (column.dtype != np.uint64 or not column.size or column.max() < 2**63):
            return column.astype(np.int64)
        if column.dtype.kind in "biuf":
            return column.astype(np.float64)
        raise StoreError(f"{path}: column {key!r} is {column.dtype}; only numbers are read")
    with suppress(ValueError, OverflowError):
        return np.array(list(map(int, column)), np.int64) if column else np.empty(0, np.float64)
    try:
        return np.array([float(value or "nan") for value in column], np.float64)
    except ValueError as error:
        raise StoreError(f"{path}: column {key!r} holds a value that is not a number ({error})") from error
