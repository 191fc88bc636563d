"""Decoded pixels of chunks that the next block will want too: its halo reaches into them, or it lies in them."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from threading import Lock

from lepton_celery.stores.base import AnyArray

Identity = tuple[int, int, int]
"""Inode, size and time of change of a file: a chunk that was replaced is another one."""

CACHE_BYTES = 32 << 20
"""The most that one reader keeps …"""
_LARGE = 2.5
"""… and in regions, or chunks if they are larger: a block's own chunk, its neighbour, and rows of those around them."""

_SETTLED_NS = 100_000_000
"""Age from which a file's time tells versions apart: file systems keep it in steps of up to 10 ms."""


def room_for(region_bytes: int, chunk_bytes: int) -> int:
    """The most bytes to keep when regions and chunks are so large."""
    return min(CACHE_BYTES, int(_LARGE * max(region_bytes, chunk_bytes)))


def identity(status: os.stat_result) -> Identity | None:
    """What tells this version of a file from others; None when it is too young to tell."""
    if time.time_ns() - status.st_mtime_ns < _SETTLED_NS:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


Key = tuple[int, ...]
"""A chunk's position, and which of its rows."""


class ChunkCache:
    """What was decoded of the chunks used last, within a limit of bytes that follows the regions read.

    For several threads, and for processes forked at any moment: one that finds the cache taken goes without.
    """

    def __init__(self) -> None:
        self._chunks: OrderedDict[Key, tuple[Identity, AnyArray]] = OrderedDict()
        self._bytes = 0
        self._taken = Lock()

    def __len__(self) -> int:
        return len(self._chunks)

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        return self._bytes

    def get(self, key: Key, version: Identity | None) -> AnyArray | None:
        """The pixels under `key`, not to be written to, if they are of this version of the file."""
        if version is None or not self._taken.acquire(blocking=False):
            return None
        try:
            kept, chunk = self._chunks.get(key, (None, None))
            if kept != version:
                return None
            self._chunks.move_to_end(key)
            return chunk
        finally:
            self._taken.release()

    def put(self, key: Key, version: Identity | None, chunk: AnyArray, *, room: int) -> None:
        """Keep pixels, and let go of others until all take at most `room` bytes.

        Those not used for longest go first, among those that are as large: a whole chunk comes in the place of a whole one,
        and the few rows of its neighbours stay.
        """
        if version is None or not self._taken.acquire(blocking=False):
            return
        try:
            self._drop(key)
            self._chunks[key] = version, chunk
            self._bytes += chunk.nbytes
            while self._bytes > room:
                as_large = (key for key, (_, other) in self._chunks.items() if other.nbytes >= chunk.nbytes)
                self._drop(next(as_large, next(iter(self._chunks))))
        finally:
            self._taken.release()

    def _drop(self, key: Key) -> None:
        if key in self._chunks:
            _, chunk = self._chunks.pop(key)
            self._bytes -= chunk.nbytes
