"""Copies inputs that cannot be read region by region into .npy files."""

from __future__ import annotations

import math
import os
from functools import partial
from pathlib import Path

from lepton_celery.grid import BlockGrid
from lepton_celery.stores.base import ArrayReader
from lepton_celery.stores.failures import writing
from lepton_celery.stores.npy import make_empty, open_writable, write_rows
from lepton_celery.stores.paths import local_path
from lepton_celery.stores.publish import draft_of
from lepton_celery.stores.roots import Roots, pinned
from lepton_celery.stores.stalls import answered

LARGEST_CHUNK_BYTES = 256 * 2**20
"""Inputs with larger chunks are copied first, because a worker would have to decode a whole chunk for one pixel."""

COPIED_BYTES = 64 * 2**20
"""Number of bytes that are copied at a time. A larger chunk is copied whole."""


def needs_ingest(reader: ArrayReader) -> bool:
    """Whether every block would decode the whole file or most of it: PNG, JPEG, and files with chunks of over 256 MiB."""
    return _is_picture(reader) or math.prod(reader.chunks) * reader.dtype.itemsize > LARGEST_CHUNK_BYTES


def ingest(reader: ArrayReader, path: str | os.PathLike[str], *, roots: Roots = (), timeout_s: float = 0.0) -> None:
    """Copy the array to a .npy file at `path`, which appears or replaces an earlier file when the copy is complete.

    Memory holds `COPIED_BYTES` or one chunk, whichever is more; for PNG and JPEG it holds the whole picture besides.

    Raises:
        InputError: `path` is outside `roots`.
        StoreError: the input is damaged, or the disk is full; no file is left.
        StoreTimeout: the input's file system did not answer for `timeout_s` seconds; 0 waits for ever.
    """
    given = local_path(path)
    with writing(given), pinned(given, roots) as final, draft_of(final.with_name(f".{final.name}")) as draft:
        make_empty(draft, reader.shape, reader.dtype)
        copy = open_writable(draft, reader.shape, reader.dtype)
        for region in BlockGrid(reader.shape, _pieces(reader)):
            write_rows(draft, copy, region, answered(reader.url, partial(reader.read, region), timeout_s))
        draft.replace(final)


def _is_picture(reader: ArrayReader) -> bool:
    return Path(reader.url).suffix.lower() in (".png", ".jpg", ".jpeg")


def _pieces(reader: ArrayReader) -> tuple[int, ...]:
    """The shape of the boxes that are copied at once: rows of a picture, which is decoded once, or whole chunks."""
    pieces = [1, *reader.shape[1:]] if _is_picture(reader) else [max(1, c) for c in reader.chunks]
    for axis in reversed(range(len(pieces))):
        fitting = COPIED_BYTES // (math.prod(pieces) * reader.dtype.itemsize)
        pieces[axis] *= max(1, min(fitting, -(-reader.shape[axis] // pieces[axis])))
    return tuple(pieces)
