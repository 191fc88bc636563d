"""Identities of inputs: short texts by which a job notices that an input has changed, without reading it again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_celery.stores.failures import reading
from lepton_celery.stores.formats import ZARR_METADATA
from lepton_celery.stores.paths import local_path
from lepton_celery.stores.roots import Roots, check_allowed

MAX_FOLDERS = 4096
"""Largest number of folders and metadata files of a Zarr array that are examined. Writing a chunk again changes the
modification time of its folder."""


def identity(url: str | os.PathLike[str], *, roots: Roots = ()) -> str:
    """Size and modification time of a file, or a digest of those of a Zarr array's folders and metadata files.

    Raises:
        InputError: it is outside `roots`.
        StoreNotFound: there is no such file or folder.
        StoreError: no permission.
    """
    path = local_path(url)
    with reading(path):
        check_allowed(path, roots)
        if not path.is_dir():
            return _stamp(path)
        digest = blake2b(digest_size=16)
        for item in islice(_folders(path), MAX_FOLDERS):
            digest.update(f"{item.relative_to(path)} {_stamp(item)}\n".encode())
        return f"folder {digest.hexdigest()}"


def stamp(url: str | os.PathLike[str], *, roots: Roots = ()) -> str:
    """A short text that changes when a file, or the metadata or the top folder of a Zarr array, is written again.

    Unlike an identity it costs a few calls, however many chunks an array has, and misses chunks that are written in place.

    Raises:
        InputError, StoreNotFound, StoreError: as `identity`.
    """
    path = local_path(url)
    with reading(path):
        check_allowed(path, roots)
        known = [path, *(path / name for name in (*ZARR_METADATA, "c"))] if path.is_dir() else [path]
        stamps = [f"{item.stat().st_ino} {_stamp(item)}" for item in known if item is path or item.exists()]
        return blake2b("\n".join(stamps).encode(), digest_size=8).hexdigest()


def content_identity(pixels: NDArray[np.generic]) -> str:
    """A digest of an array's shape, dtype and pixels, as a short text."""
    digest = blake2b(f"{pixels.shape} {pixels.dtype.str}".encode(), digest_size=16)
    rows = np.atleast_1d(pixels)
    # some rows at a time, because the array may be a memory map that is larger than memory
    step = max(1, len(rows) // 64)
    for first in range(0, len(rows), step):
        digest.update(np.ascontiguousarray(rows[first : first + step]).tobytes())
    return f"pixels {digest.hexdigest()}"


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} bytes, changed {status.st_mtime_ns}"


def _folders(path: Path) -> Iterator[Path]:
    """A folder, its metadata files, and those of all folders in it."""
    for folder, folders, files in os.walk(path):
        folders.sort()
        yield Path(folder)
        for name in sorted(set(ZARR_METADATA).intersection(files)):
            yield Path(folder, name)
