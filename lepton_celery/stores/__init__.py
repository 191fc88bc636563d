"""Images and tables by path; workspaces and journals.

Regions are read in place. Outputs are written block by block under a hidden name and published in one step.

| suffix         | read                             | write                                 | needs                  |
|----------------|----------------------------------|---------------------------------------|------------------------|
| `.npy`         | through a memory map             | in place                              |                        |
| `.zarr`        | versions 2 and 3, chunk by chunk | version 3, Blosc LZ4                  | fast shards: `[zarrs]` |
| `.tif` `.tiff` | tile by tile, first series       | deflate tiles, encoded by the workers | some codecs: `[codecs]`|
| `.png`         | whole                            | whole, at the end                     |                        |
| `.jpg` `.jpeg` | whole                            | whole, at the end; lossy              |                        |
| `.csv`         | whole                            | whole                                 |                        |
| `.parquet`     | whole                            | whole                                 | `[parquet]`            |
| `.json`        | whole                            | whole; at most 1000 numbers           |                        |

The library of a format is imported when the first file of that format is opened: a web process that only submits jobs does
not load it. `workspace` and `journal` hold the files of an unfinished job. May import: the catalogue and below. Other
folders import the functions of this module, and the modules `base`, `documents`, `workspace` and `journal`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pkgutil import resolve_name

from lepton_celery.errors import InputError, StoreError
from lepton_celery.stores.base import ArrayOutput, ArrayReader, Target
from lepton_celery.stores.failures import reading, writing
from lepton_celery.stores.formats import TABLE_SUFFIXES, VALUE_SUFFIX, array_format, check_dtype, check_output
from lepton_celery.stores.guarded import GuardedOutput
from lepton_celery.stores.identity import content_identity, identity, stamp
from lepton_celery.stores.ingest import ingest, needs_ingest
from lepton_celery.stores.memory import MemoryOutput, MemoryReader
from lepton_celery.stores.paths import local_path
from lepton_celery.stores.publish import discard_file
from lepton_celery.stores.roots import Roots, check_allowed
from lepton_celery.stores.stalls import answered, check_answers
from lepton_celery.stores.table import read_table, write_table
from lepton_celery.stores.values import as_columns, check_value, read_value, write_value

__all__ = [
    "TABLE_SUFFIXES",
    "VALUE_SUFFIX",
    "MemoryOutput",
    "MemoryReader",
    "Target",
    "answered",
    "array_output",
    "as_columns",
    "check_allowed",
    "check_answers",
    "check_dtype",
    "check_output",
    "check_value",
    "content_identity",
    "discard_file",
    "identity",
    "ingest",
    "local_path",
    "needs_ingest",
    "open_array",
    "open_levels",
    "open_part",
    "read_table",
    "read_value",
    "stamp",
    "write_table",
    "write_value",
]


def open_array(url: str | os.PathLike[str], *, roots: Roots = ()) -> ArrayReader:
    """Open the array at a path or `file://` URL without reading its pixels; the suffix names the format.

    Args:
        url: path or URL of the array. An array inside a Zarr group is `group.zarr/name`.
        roots: folders, one of which must contain the array after links are resolved; empty to allow any folder.

    Raises:
        InputError: the suffix or scheme is unknown, the array is outside `roots`, or it is a pipe, a socket or a device.
        StoreNotFound: nothing is there.
        StoreError: the file may not be read, is damaged, or has another format than its suffix says.
    """
    path = local_path(url)
    with reading(path):  # of a name that no file can have
        check_allowed(path, roots)
        fmt = array_format(path)
    reader: ArrayReader = resolve_name(f"{__name__}.{fmt.reader}")(path, roots)
    return reader


def open_levels(url: str | os.PathLike[str], *, roots: Roots = ()) -> tuple[ArrayReader, ...]:
    """The array at a path and the smaller copies of it that the file has, the largest first.

    OME-Zarr and some TIFF files have such a pyramid. A copy that cannot be read, or is no smaller copy, is left out.

    Raises:
        InputError, StoreNotFound, StoreError: as `open_array`.
    """
    levels = [open_array(url, roots=roots)]
    path = local_path(url)
    if smaller := array_format(path).smaller_copies:
        open_smaller: Callable[..., Iterable[ArrayReader]] = resolve_name(f"{__name__}.{smaller}")
        with suppress(InputError, StoreError):
            for copy in open_smaller(path, roots):
                before = levels[-1].shape
                is_like = len(copy.shape) == len(before) and copy.dtype == levels[0].dtype and 0 not in copy.shape
                if is_like and copy.shape != before and all(n <= m for n, m in zip(copy.shape, before, strict=True)):
                    levels.append(copy)
    return tuple(levels)


def open_part(target: Target, *, roots: Roots = ()) -> ArrayReader | None:
    """The blocks of an unfinished output that are written so far; None if its format does not tell before the end.

    Raises:
        InputError: the output is outside `roots`.
        StoreNotFound: nothing is written yet, or the output was published or discarded.
        StoreError: the part cannot be read.
    """
    with reading(target.part):
        check_allowed(target.part, roots)
    if not (part := array_format(target.final).part_reader):
        return None
    reader: ArrayReader = resolve_name(f"{__name__}.{part}")(target.part, roots)
    return reader


def array_output(target: Target, *, roots: Roots = ()) -> ArrayOutput:
    """The output for `target` in the format of its suffix. Nothing is written before `create`.

    Raises:
        InputError: the suffix is unknown, the format cannot hold the dtype, shape or block shape, or it is outside `roots`.
    """
    with writing(target.final):
        check_allowed(target.final.parent, roots)
    check_dtype(target.final, target.shape, target.native)
    make: Callable[[Target], ArrayOutput] = resolve_name(f"{__name__}.{array_format(target.final).output}")
    return GuardedOutput(target, make, roots) if roots else make(target)
