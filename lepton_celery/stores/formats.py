"""File formats by suffix, and the arrays that each can hold. The libraries of the formats are not imported here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lepton_celery.errors import InputError, StoreError, StoreNotFound
from lepton_celery.stores.failures import writing
from lepton_celery.stores.paths import local_path
from lepton_celery.stores.publish import output_exists
from lepton_celery.stores.roots import Roots, check_allowed

TABLE_SUFFIXES = {".csv": "csv", ".parquet": "parquet"}
"""Formats of tables by suffix; Parquet needs the extra `lepton-celery[parquet]`."""

VALUE_SUFFIX = ".json"
"""The format that only values have, a few numbers. Values also go to tables and to `.npy`."""

NO_PARQUET = "Parquet tables need pyarrow; pip install 'lepton-celery[parquet]', or write .csv"
"""The error message for a Parquet table without pyarrow."""

EXTENDED_DTYPES = ("float96", "float128", "complex192", "complex256")
"""Dtypes of C's long double, which only .npy files can hold."""

_OME_DTYPES = "bool int8 int16 int32 uint8 uint16 uint32 float32 float64 complex64 complex128".split()
"""The dtypes that OME has a name for."""

ZARR_METADATA = ("zarr.json", ".zarray", ".zgroup")
"""The files of metadata in a folder of Zarr, of version 3 and 2."""

_NUMBERS = "bool, int8-64, uint8-64, float16-64 and complex64-128"


class ArrayFormat(NamedTuple):
    """A format of arrays: the classes that read and write it, and the arrays that it can hold."""

    name: str
    """The name in error messages."""
    reader: str
    """The class of its readers, as `module:class`."""
    output: str
    """The class of its outputs, as `module:class`."""
    holds: str
    """The dtypes and shapes that it can hold, for error messages."""
    colours: Mapping[str, tuple[int, ...]] = {}
    """Of a picture format: each dtype with the allowed lengths of the colour axis; 0 stands for no colour axis."""
    longest_side: int | None = None
    """Largest number of pixels along an axis; None for no limit."""
    smaller_copies: str = ""
    """The function that opens the smaller copies of an image, as `module:function`; empty if its files have none."""
    part_reader: str = ""
    """The class that reads a part, as `module:class`; empty if a part cannot be read before it is published."""


_PNG = "uint8 (y, x), (y, x, 3) and (y, x, 4), uint16 (y, x) and bool (y, x)"
_PNG_COLOURS = {"uint8": (0, 3, 4), "uint16": (0,), "bool": (0,)}
_PICTURE = ("picture:PictureReader", "picture:PictureOutput")

_NPY_READER = "npy:NpyReader"
_ZARR_READER = "zarr3:ZarrReader"
_TIFF = ArrayFormat("TIFF", "tiff:TiffReader", "tiff_output:TiffOutput", _NUMBERS, smaller_copies="tiff:smaller_copies")
_JPEG = ArrayFormat("JPEG", *_PICTURE, "uint8 (y, x) and (y, x, 3)", {"uint8": (0, 3)}, 65500, part_reader=_NPY_READER)

ARRAY_FORMATS = {
    ".npy": ArrayFormat("NPY", _NPY_READER, "npy:NpyOutput", "every boolean or number dtype", part_reader=_NPY_READER),
    ".zarr": ArrayFormat(
        "ZARR",
        _ZARR_READER,
        "zarr3:ZarrOutput",
        _NUMBERS,
        smaller_copies="zarr3:smaller_copies",
        part_reader=_ZARR_READER,
    ),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".png": ArrayFormat("PNG", *_PICTURE, _PNG, _PNG_COLOURS, 2**31 - 1, part_reader=_NPY_READER),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
}
"""The formats of arrays by suffix; `.ome.tif` counts as `.tif`."""

ARRAY_SUFFIXES = {suffix: fmt.name.lower() for suffix, fmt in ARRAY_FORMATS.items()}
"""The names of the formats of arrays by suffix."""


def array_format(path: Path) -> ArrayFormat:
    """The array format of `path`, by its suffix, that of an enclosing `.zarr` folder, or Zarr's metadata in the folder.

    Raises:
        InputError: no array format has that suffix.
    """
    if fmt := ARRAY_FORMATS.get(path.suffix.lower()):
        return fmt
    if any(parent.suffix.lower() == ".zarr" for parent in path.parents):
        return ARRAY_FORMATS[".zarr"]
    if any((path / name).is_file() for name in ZARR_METADATA):
        return ARRAY_FORMATS[".zarr"]
    known = f"files that are read in place end in {', '.join(ARRAY_FORMATS)}"
    if path.is_dir():
        raise InputError(f"{path} is a folder, and not one of Zarr; {known}")
    if path.suffix.lower() in TABLE_SUFFIXES:
        raise InputError(
            f"{path} is a table, and has no suffix of an array format; read it with pandas, or give an image"
        )
    raise InputError(
        f"{path} has no suffix of an array format; {known}: save it as one of them, or read it into memory with another "
        "library, lepton.open(skimage.io.imread(…))"
    )


def table_format(path: Path) -> str:
    """Name of the table format of `path`, by its suffix; InputError if there is none."""
    if name := TABLE_SUFFIXES.get(path.suffix.lower()):
        return name
    raise InputError(f"{path} has no suffix of a table format; use one of {', '.join(TABLE_SUFFIXES)}")


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False, roots: Roots = ()) -> None:
    """Refuse an output, an array or a table, that cannot be written, before its job starts.

    Raises:
        InputError: no format has that suffix, or the output is outside `roots`.
        StoreNotFound: the folder of the output does not exist.
        OutputExists: something has that name, and `overwrite` is not set.
        StoreError: this user may not write there.
    """
    final = local_path(path)
    check_allowed(final.parent, roots)
    suffix = final.suffix.lower()
    known = [*ARRAY_FORMATS, *TABLE_SUFFIXES, VALUE_SUFFIX]
    if suffix not in known:
        raise InputError(f"output {final} has no suffix of a known format; use one of {', '.join(known)}")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise InputError(NO_PARQUET)
    with writing(final):
        if not final.parent.is_dir():
            raise StoreNotFound(f"output {final} lies in a folder that does not exist; create {final.parent} first")
        if os.path.lexists(final) and not overwrite:
            raise output_exists(final)
        if not os.access(final.parent, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            raise StoreError(
                f"output {final} cannot be written: no permission for {final.parent}; choose another folder"
            )


def check_dtype(path: str | os.PathLike[str], shape: tuple[int, ...], dtype: str | np.dtype[Any]) -> None:
    """Refuse an array that the format of `path` cannot hold.

    Raises:
        InputError: the dtype or the shape does not fit; the message lists those that do.
    """
    final, pixels = local_path(path), np.dtype(dtype)
    fmt = array_format(final)
    if is_ome_tiff(final):
        fmt = fmt._replace(name="OME-TIFF", holds=", ".join(_OME_DTYPES))
    if not _holds(fmt, shape, pixels):
        advice = "convert it with img_as_ubyte, " if fmt.colours and pixels.kind in "fiu" else ""
        raise InputError(
            f"{final} cannot hold {pixels} of shape {shape}; {fmt.name} holds {fmt.holds}: "
            f"{advice}or choose another format, such as .zarr"
        )
    if fmt.name in ("TIFF", "OME-TIFF", "PNG", "JPEG") and 0 in shape:
        raise InputError(f"{final} cannot hold an empty image of shape {shape}; write .npy or .zarr instead")
    if fmt.name in ("TIFF", "OME-TIFF") and len(shape) not in (2, 3):
        raise InputError(f"{final} cannot hold {len(shape)} axes; TIFF output has (y, x), (y, x, 3 or 4) or (z, y, x)")
    if fmt.name == "OME-TIFF" and len(shape) == 3 and shape[0] == 1:
        raise InputError(f"{final} cannot hold {shape}: readers of OME-TIFF drop an axis of length 1; write image[0]")
    if fmt.longest_side and max(shape) > fmt.longest_side:
        raise InputError(f"{final} cannot hold {shape}; the longest side of a {fmt.name} is {fmt.longest_side}")


def _holds(fmt: ArrayFormat, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    if fmt.colours:
        lengths = fmt.colours.get(dtype.name, ())
        return (len(shape) == 2 and 0 in lengths) or (len(shape) == 3 and shape[2] in lengths)
    if fmt.name == "OME-TIFF":
        return dtype.name in _OME_DTYPES
    return dtype.kind in "biufc" and (fmt.name == "NPY" or dtype.name not in EXTENDED_DTYPES)


def is_ome_tiff(path: Path) -> bool:
    """Whether an output is an OME-TIFF, by its name."""
    return path.name.lower().endswith((".ome.tif", ".ome.tiff"))
