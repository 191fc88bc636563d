"""Which formats there are, by suffix, and what each of them holds. Imports none of their libraries."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_celery.errors import InputError, StoreError, StoreNotFound
from lepton_celery.stores.failures import writing
from lepton_celery.stores.paths import local_path
from lepton_celery.stores.publish import exists

ARRAY_SUFFIXES = {
    ".npy": "npy",
    ".zarr": "zarr",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
}
"""Formats of arrays, read and written; `.ome.tif` counts as `.tif`."""

TABLE_SUFFIXES = {".csv": "csv", ".parquet": "parquet"}
"""Formats of tables; Parquet needs the extra `lepton-celery[parquet]`."""

NO_PARQUET = "Parquet tables need pyarrow; install the extra lepton-celery[parquet], or write .csv"

_NUMBERS = "bool, int8-64, uint8-64, float16-64 and complex64-128"
_HOLDS = {
    "npy": "every boolean or number dtype",
    "zarr": _NUMBERS,
    "tiff": _NUMBERS,
    "png": "uint8 (y, x), (y, x, 3) and (y, x, 4), uint16 (y, x) and bool (y, x)",
    "jpeg": "uint8 (y, x) and (y, x, 3)",
}
_PICTURES: dict[str, dict[str, tuple[int, ...]]] = {
    # dtype: lengths of the colour axis, 0 for a picture without one
    "png": {"uint8": (0, 3, 4), "uint16": (0,), "bool": (0,)},
    "jpeg": {"uint8": (0, 3)},
}
_LONGEST_SIDE = {"png": 2**31 - 1, "jpeg": 65500}


def array_format(path: Path) -> str:
    """Name of the array format that `path` is in, from its suffix, or from a `.zarr` folder that it lies in.

    Raises:
        InputError: no array format has that suffix.
    """
    if found := ARRAY_SUFFIXES.get(path.suffix.lower()):
        return found
    if any(parent.suffix.lower() == ".zarr" for parent in path.parents):
        return "zarr"
    hint = "; tables are read with read_table" if path.suffix.lower() in TABLE_SUFFIXES else ""
    raise InputError(f"{path} has no suffix of an array format; use one of {', '.join(ARRAY_SUFFIXES)}{hint}")


def table_format(path: Path) -> str:
    """Name of the table format that `path` is in, from its suffix; InputError when there is none."""
    if found := TABLE_SUFFIXES.get(path.suffix.lower()):
        return found
    raise InputError(f"{path} has no suffix of a table format; use one of {', '.join(TABLE_SUFFIXES)}")


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Find out before a job starts whether its output, an array or a table, could be written.

    Raises:
        InputError: no format has that suffix.
        StoreNotFound: the folder it should lie in is not there.
        OutputExists: something stands there, and `overwrite` is not set.
        StoreError: this user may not write there.
    """
    final = local_path(path)
    suffix = final.suffix.lower()
    if suffix not in ARRAY_SUFFIXES and suffix not in TABLE_SUFFIXES:
        known = ", ".join([*ARRAY_SUFFIXES, *TABLE_SUFFIXES])
        raise InputError(f"output {final} has no suffix of a known format; use one of {known}")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise InputError(NO_PARQUET)
    with writing(final):
        if not final.parent.is_dir():
            raise StoreNotFound(f"output {final} lies in a folder that is not there; create {final.parent} first")
        if os.path.lexists(final) and not overwrite:
            raise exists(final)
        effective = os.access in os.supports_effective_ids
        if not os.access(final.parent, os.W_OK | os.X_OK, effective_ids=effective):
            raise StoreError(
                f"output {final} cannot be written: no permission for {final.parent}; choose another folder"
            )


def check_dtype(path: str | os.PathLike[str], shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    """Refuse an array that the format of `path` cannot hold.

    Raises:
        InputError: the dtype or the shape does not fit; the message lists what does.
    """
    final, found = local_path(path), np.dtype(dtype)
    name = array_format(final)
    if not _holds(name, shape, found):
        advice = "convert it with img_as_ubyte, " if name in _PICTURES and found.kind in "fiu" else ""
        raise InputError(
            f"{final} cannot hold {found} of shape {shape}; {name.upper()} holds {_HOLDS[name]}: "
            f"{advice}or choose another format, such as .zarr"
        )
    if name in ("tiff", "png", "jpeg") and 0 in shape:
        raise InputError(f"{final} cannot hold an empty image of shape {shape}; write .npy or .zarr instead")
    if name == "tiff" and len(shape) not in (2, 3):
        raise InputError(f"{final} cannot hold {len(shape)} axes; TIFF output has (y, x), (y, x, 3 or 4) or (z, y, x)")
    if name in _LONGEST_SIDE and max(shape) > _LONGEST_SIDE[name]:
        raise InputError(f"{final} cannot hold {shape}; the longest side of a {name.upper()} is {_LONGEST_SIDE[name]}")


def _holds(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    if dtype.kind not in "biufc":
        return False
    if name in _PICTURES:
        colours = _PICTURES[name].get(dtype.name, ())
        return (len(shape) == 2 and 0 in colours) or (len(shape) == 3 and shape[2] in colours)
    return name == "npy" or dtype.name not in ("float96", "float128", "complex192", "complex256")
