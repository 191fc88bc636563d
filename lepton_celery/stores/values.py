"""Whole-image values in files: points, matrices and lists in `.csv`, `.parquet` and `.npy`, few numbers in `.json`.

A table has one column for a number or a list, `value`, and one for each column of a matrix: `value-0`, `value-1` and so on,
as `regionprops_table` names the columns of its vectors. Structured values have a column for each field.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lepton_celery.errors import InputError, StoreError
from lepton_celery.stores.base import AnyArray
from lepton_celery.stores.failures import reading
from lepton_celery.stores.formats import EXTENDED_DTYPES, TABLE_SUFFIXES
from lepton_celery.stores.paths import local_path
from lepton_celery.stores.publish import publish_file
from lepton_celery.stores.roots import BufferedFile, Roots, read_bytes
from lepton_celery.stores.table import read_table, write_table

JSON_NUMBERS = 1000
"""Largest number of numbers in a `.json`."""

_JSON_BYTES = 1 << 20
"""Largest size of a `.json`, whose numbers have some 30 characters each."""

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""JSON has no such numbers. They are written as text, as in the metadata of Zarr."""


def check_value(path: str | os.PathLike[str], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse a value that the format of `path` cannot hold. A length of -1 in `shape` is not known yet.

    Raises:
        InputError: the value does not fit; the message says which formats hold it.
    """
    final = local_path(path)
    suffix = final.suffix.lower()
    holding = [known for known, reason in _reasons(shape, dtype).items() if not reason]
    if suffix in holding:
        return
    reason = _reasons(shape, dtype).get(suffix, f"{suffix} is a format of images")
    remedy = f"write it to {' or '.join(holding)}" if holding else "take it with lepton.compute"
    raise InputError(f"{final} cannot hold a value of {dtype} and shape {_text(shape)}: {reason}; {remedy}")


def _reasons(shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, str]:
    """For each format of values, why it cannot hold a value; empty text if it can."""
    columns = [dtype[name] for name in dtype.names] if dtype.names else [dtype]
    as_table = as_json = as_npy = ""
    if any(column.kind not in "biufc" for column in columns):
        as_table = as_json = as_npy = "it holds numbers and booleans"
    elif any(column.kind == "c" or column.name in EXTENDED_DTYPES for column in columns):
        as_table = as_json = f"it holds no {', '.join(sorted({column.name for column in columns}))}"
    elif dtype.names:
        as_table = "" if len(shape) <= 1 else "it holds structured values of one axis"
        as_json = "it holds no structured values"
    else:
        as_table = "" if len(shape) <= 2 else "it holds values of at most two axes"
        if -1 in shape or math.prod(shape) > JSON_NUMBERS:
            as_json = f"it holds at most {JSON_NUMBERS} numbers, whose count is known when the job is submitted"
    return {".csv": as_table, ".parquet": as_table, ".npy": as_npy, ".json": as_json}


def _text(shape: tuple[int, ...]) -> str:
    lengths = ["n" if length < 0 else str(length) for length in shape]
    return f"({', '.join(lengths)}{',' * (len(lengths) == 1)})"


def write_value(
    path: str | os.PathLike[str], value: Any, *, job_id: str = "inline", overwrite: bool = False, roots: Roots = ()
) -> dict[str, str]:
    """Write a value, or a table as columns by name, to a file that appears when it is complete.

    Returns:
        The dtype of each column, by its name, if the file is a CSV, which does not say it.

    Raises:
        InputError: the format cannot hold the value, or the file is outside `roots`.
        OutputExists: something else has that name, and `overwrite` is not set.
        StoreError: the disk is full, or no permission; no file is left.
    """
    final = local_path(path)
    suffix = final.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        columns = as_columns(value)
        write_table(final, columns, job_id=job_id, overwrite=overwrite, roots=roots)
        return {name: column.dtype.name for name, column in columns.items()} if suffix == ".csv" else {}
    array = np.asarray(value)
    check_value(final, array.shape, array.dtype)
    write = _write_npy if suffix == ".npy" else _write_json
    publish_file(final, job_id, lambda draft: write(draft, array), overwrite=overwrite, roots=roots)
    return {}


def read_value(path: str | os.PathLike[str], dtypes: Mapping[str, str] | None = None, *, roots: Roots = ()) -> Any:
    """What `write_value` wrote: columns by name, an array or a number.

    Args:
        path: path or URL of the file.
        dtypes: the dtypes of the columns of a CSV; see `read_table`.
        roots: folders, one of which must contain the file; empty to allow any folder.

    Raises:
        InputError: the file is outside `roots`, or a pipe, a socket or a device.
        StoreNotFound: there is no such file.
        StoreError: the file is damaged, or has another format than its suffix says.
    """
    final = local_path(path)
    if final.suffix.lower() in TABLE_SUFFIXES:
        return read_table(final, dtypes, roots=roots)
    with reading(final):
        if final.suffix.lower() == ".npy":
            with BufferedFile(final, roots) as file:
                return np.load(file, allow_pickle=False)[()]
        document = json.loads(read_bytes(final, _JSON_BYTES, roots))
        if not isinstance(document, dict) or not {"value", "dtype"} <= document.keys():
            raise StoreError(f'{final} is not a value: it has no "value" and "dtype"')
        return np.array(_numbers(document["value"]), document["dtype"])[()]


def as_columns(value: Any) -> dict[str, AnyArray]:
    """A value or a table as columns by name."""
    if isinstance(value, Mapping):
        return {str(name): np.asarray(column) for name, column in value.items()}
    array = np.atleast_1d(np.asarray(value))
    if array.dtype.names:
        return {name: array[name] for name in array.dtype.names}
    if array.ndim == 2:
        return {f"value-{number}": column for number, column in enumerate(array.T)}
    return {"value": array}


def _write_npy(path: Path, array: AnyArray) -> None:
    with path.open("xb") as file:
        np.save(file, np.asarray(array, order="C"), allow_pickle=False)


def _write_json(path: Path, array: AnyArray) -> None:
    document = {"value": _plain(array.tolist()), "dtype": array.dtype.name}
    path.write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Numbers that JSON does not have, as text."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _numbers(value: Any) -> Any:
    """The inverse of `_plain`."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return _NOT_FINITE[value] if isinstance(value, str) else value
