"""Copying what gives no random access, once, into something that does."""

from __future__ import annotations

import math
import os
from pathlib import Path

from lepton_celery.grid import BlockGrid
from lepton_celery.stores.base import ArrayReader
from lepton_celery.stores.failures import writing
from lepton_celery.stores.npy import make_empty, open_part_of, write_rows
from lepton_celery.stores.paths import local_path
from lepton_celery.stores.publish import sibling

_LARGEST_CHUNK = 256 * 2**20
"""Bytes that a worker may have to decode for one pixel before copying the file first is worth it."""
_COPIED_AT_ONCE = 64 * 2**20


def needs_ingest(reader: ArrayReader) -> bool:
    """Whether every block would decode the whole file, or a great part of it.

    True for PNG and JPEG of any size, and for other formats whose chunks are larger than 256 MiB.
    """
    if Path(reader.url).suffix.lower() in (".png", ".jpg", ".jpeg"):
        return True
    return math.prod(reader.chunks) * reader.dtype.itemsize > _LARGEST_CHUNK


def ingest(reader: ArrayReader, path: str | os.PathLike[str]) -> None:
    """Copy the array to a .npy at `path`, replacing what is there; the name appears when the copy is complete.

    Memory holds 64 MiB or one chunk, whichever is more; for PNG and JPEG the whole picture.

    Raises:
        StoreError: the input is damaged, or the disk is full; nothing is left behind.
    """
    final = local_path(path)
    temp = sibling(final.with_name(f".{final.name}"))
    with writing(final):
        try:
            make_empty(temp, reader.shape, reader.dtype)
            copy = open_part_of(temp, reader.shape, reader.dtype)
            for region in BlockGrid(reader.shape, _pieces(reader)):
                write_rows(temp, copy, region, reader.read(region))
            temp.replace(final)
        finally:
            temp.unlink(missing_ok=True)


def _pieces(reader: ArrayReader) -> tuple[int, ...]:
    """Boxes of whole chunks, as large as may be copied at once."""
    pieces = [max(1, c) for c in reader.chunks]
    for axis in reversed(range(len(pieces))):
        others = math.prod(pieces[:axis] + pieces[axis + 1 :]) * reader.dtype.itemsize
        chunk = pieces[axis]
        many = max(1, _COPIED_AT_ONCE // (others * chunk))
        pieces[axis] = min(chunk * many, max(1, -(-reader.shape[axis] // chunk) * chunk))
    return tuple(pieces)
