"""Which bytes an input has, told without reading them: so that one that changes under a job is noticed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_celery.stores.failures import reading
from lepton_celery.stores.paths import local_path

_MOST_FOLDERS = 4096
"""Of a Zarr array; a chunk that is written anew changes the time of the folder it is in."""


def identity(url: str | os.PathLike[str]) -> str:
    """Size and time of a file, or of the folders and metadata of a Zarr array, in a short text that changes with them.

    Raises:
        StoreNotFound, StoreError: there is nothing, or nothing that may be read.
    """
    path = local_path(url)
    with reading(path):
        if not path.is_dir():
            return _stamp(path)
        found = blake2b(digest_size=16)
        for part in islice(_folders(path), _MOST_FOLDERS):
            found.update(f"{part.relative_to(path)} {_stamp(part)}\n".encode())
        return f"folder {found.hexdigest()}"


def content_identity(pixels: NDArray[np.generic]) -> str:
    """The same of an array in memory, from its pixels."""
    found = blake2b(f"{pixels.shape} {pixels.dtype.str}".encode(), digest_size=16)
    rows = np.atleast_1d(pixels)
    step = max(1, len(rows) // 64)  # a part at a time: the array may be a memory map larger than memory
    for first in range(0, len(rows), step):
        found.update(np.ascontiguousarray(rows[first : first + step]).tobytes())
    return f"pixels {found.hexdigest()}"


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} bytes, changed {status.st_mtime_ns}"


def _folders(path: Path) -> Iterator[Path]:
    """A folder, its files of metadata, and the folders in it."""
    for folder, folders, files in os.walk(path):
        folders.sort()
        yield Path(folder)
        for name in sorted(files):
            if name in ("zarr.json", ".zarray", ".zgroup"):
                yield Path(folder, name)
