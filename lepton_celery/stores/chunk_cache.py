"""A cache of decoded chunks, which neighbouring blocks and their halos share."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from threading import Lock

from lepton_celery.stores.base import AnyArray

Identity = tuple[int, int, int]
"""Inode, size and modification time of a file. A chunk that is written again gets another identity."""

Key = tuple[int, ...]
"""Position of a chunk in the array, and the start and stop of the decoded rows in the chunk."""

CACHE_BYTES = 32 << 20
"""Largest size of one reader's cache, in bytes."""

REGIONS_KEPT = 2.5
"""Size of a reader's cache in regions, or in chunks if these are larger: a block's own chunk, the neighbouring chunk, and
rows of the chunks around them."""

MIN_AGE_NS = 100_000_000
"""Age at which the modification time identifies a version of a file: file systems keep it in steps of up to 10 ms."""


def room_for(region_bytes: int, chunk_bytes: int) -> int:
    """The size in bytes of a cache for regions and chunks of these sizes."""
    return min(CACHE_BYTES, int(REGIONS_KEPT * max(region_bytes, chunk_bytes)))


def identity(status: os.stat_result) -> Identity | None:
    """The identity of this version of a file; None if the file is so new that its next version may look the same."""
    if time.time_ns() - status.st_mtime_ns < MIN_AGE_NS:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


class ChunkCache:
    """The most recently used decoded pixels.

    Threads may share the cache, and the process may fork at any moment: a caller that finds the lock taken does without the
    cache, and never waits.
    """

    def __init__(self) -> None:
        self._chunks: OrderedDict[Key, tuple[Identity, AnyArray]] = OrderedDict()
        self.nbytes = 0
        """Bytes of all pixels in the cache."""
        self._lock = Lock()

    def get(self, key: Key, version: Identity | None) -> AnyArray | None:
        """The pixels under `key` if they are of this version of the file, else None. The caller must not modify them."""
        if version is None or not self._lock.acquire(blocking=False):
            return None
        try:
            cached, chunk = self._chunks.get(key, (None, None))
            if cached != version:
                return None
            self._chunks.move_to_end(key)
            return chunk
        finally:
            self._lock.release()

    def put(self, key: Key, version: Identity | None, chunk: AnyArray, *, room: int) -> None:
        """Store pixels, and evict entries until the cache takes at most `room` bytes.

        The least recently used entry that is at least as large as `chunk` is evicted first: a whole chunk replaces a whole
        chunk, and the few rows of neighbouring chunks stay.
        """
        if version is None or not self._lock.acquire(blocking=False):
            return
        try:
            self._remove(key)
            self._chunks[key] = version, chunk
            self.nbytes += chunk.nbytes
            while self.nbytes > room:
                as_large = (key for key, (_, other) in self._chunks.items() if other.nbytes >= chunk.nbytes)
                self._remove(next(as_large, next(iter(self._chunks))))
        finally:
            self._lock.release()

    def _remove(self, key: Key) -> None:
        if key in self._chunks:
            _, chunk = self._chunks.pop(key)
            self.nbytes -= chunk.nbytes
