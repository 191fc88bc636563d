"""Tables of numbers, one array for each column: CSV, and Parquet with the extra `lepton-celery[parquet]`."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_celery.errors import InputError, StoreError
from lepton_celery.stores.failures import reading
from lepton_celery.stores.formats import EXTENDED_DTYPES, NO_PARQUET, table_format
from lepton_celery.stores.paths import local_path
from lepton_celery.stores.publish import publish_file
from lepton_celery.stores.roots import BufferedFile, Roots

_ROWS_AT_ONCE = 100_000
"""Number of CSV rows that are formatted at a time."""

_BOOLS = {"True": True, "False": False}
"""Booleans as a CSV has them."""

Column = npt.NDArray[Any]
"""Numbers or booleans on one axis."""


def write_table(
    path: str | os.PathLike[str],
    columns: Mapping[str, npt.NDArray[Any]],
    *,
    job_id: str = "inline",
    overwrite: bool = False,
    roots: Roots = (),
) -> None:
    """Write one-dimensional columns of equal length to a file that appears when the table is complete.

    `read_table` returns every float bit for bit, and every column of Parquet in its dtype. An existing file with the same
    bytes is accepted, so that a merge may be repeated.

    Raises:
        InputError: columns differ in length, have more axes, or are not numeric.
        OutputExists: something else has that name, and `overwrite` is not set.
        StoreError: the disk is full, or no permission; no file is left.
    """
    final = local_path(path)
    name = table_format(final)
    arrays = {key: np.asarray(column) for key, column in columns.items()}
    for key, column in arrays.items():
        if column.ndim != 1 or column.dtype.kind not in "biuf" or column.dtype.name in EXTENDED_DTYPES:
            raise InputError(f"column {key!r} of {final} is {column.dtype} {column.shape}; give numbers on one axis")
    lengths = {key: len(column) for key, column in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"columns of {final} differ in length: {lengths}; give one value per row")
    write = _write_csv if name == "csv" else _write_parquet
    publish_file(final, job_id, lambda draft: write(draft, arrays), overwrite=overwrite, roots=roots)


def read_table(
    path: str | os.PathLike[str], dtypes: Mapping[str, str] | None = None, *, roots: Roots = ()
) -> dict[str, Column]:
    """The columns of a table, by name. A Parquet table has the dtypes that were written.

    A CSV does not say the dtypes. Columns that are not in `dtypes` are bool if all values are True or False, int64 or uint64
    if all are whole numbers that fit, else float64; empty cells are NaN, and columns without rows are float64.

    Args:
        path: path or URL of the table.
        dtypes: the dtypes of the columns of a CSV, by name.
        roots: folders, one of which must contain the file; empty to allow any folder.

    Raises:
        InputError: the file is outside `roots`, or a pipe, a socket or a device.
        StoreNotFound: there is no such file.
        StoreError: the file is not a table of numbers.
    """
    source = local_path(path)
    with reading(source), BufferedFile(source, roots) as file:
        if table_format(source) == "parquet":
            return _read_parquet(source, file)
        with io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
            columns = _read_csv(source, text)
        return {key: _column(source, key, cells, (dtypes or {}).get(key)) for key, cells in columns.items()}


def _write_csv(path: Path, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    rows = len(next(iter(columns.values()), ()))
    with path.open("x", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerow(columns)
        for start in range(0, rows, _ROWS_AT_ONCE):
            # repr of a Python float is the shortest text from which the same float is read
            texts = [map(repr, column[start : start + _ROWS_AT_ONCE].tolist()) for column in columns.values()]
            file.write("\n".join(map(",".join, zip(*texts, strict=True))))
            file.write("\n")


def _read_csv(path: Path, file: io.TextIOWrapper) -> dict[str, list[str]]:
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


def _read_parquet(path: Path, file: BufferedFile) -> dict[str, Column]:
    table = _arrow().parquet.read_table(file)
    columns = {key: column.to_numpy() for key, column in zip(table.column_names, table.columns, strict=True)}
    for key, column in columns.items():
        if column.dtype.kind not in "biuf":
            raise StoreError(f"{path}: column {key!r} is {column.dtype}; only numbers and booleans are read")
    return columns


def _arrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(NO_PARQUET) from error
    return pyarrow


def _column(path: Path, key: str, cells: list[str], dtype: str | None) -> Column:
    """The cells of a CSV's column as an array of `dtype`; None to find the dtype."""
    try:
        if dtype == "bool" or (dtype is None and cells and _BOOLS.keys() >= set(cells)):
            return np.array([_BOOLS[cell] for cell in cells], np.bool_)
        if dtype is not None and np.dtype(dtype).kind in "iu":
            return np.array(list(map(int, cells)), dtype)
        if dtype is None and cells:
            with suppress(ValueError, OverflowError):
                return np.array(list(map(int, cells)), np.int64)
            with suppress(ValueError, OverflowError):
                return np.array(list(map(int, cells)), np.uint64)
        return np.array([float(cell or "nan") for cell in cells], dtype or np.float64)
    except (ValueError, OverflowError, KeyError) as error:
        raise StoreError(f"{path}: column {key!r} holds a value that is not a number ({error})") from error
