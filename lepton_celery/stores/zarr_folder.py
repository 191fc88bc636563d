"""The folder of a Zarr array as a store of zarr-python, which follows no link and takes no memory for what a file claims.

zarr-python reads shards, filters and rarer codecs itself. The offsets and lengths in a shard's index are whatever its
writer wrote: those that lead outside the file, and stretches that are far longer than their pixels, are refused before they
are read.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import numpy as np
import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.buffer.core import default_buffer_prototype
from zarr.storage import LocalStore

from lepton_celery.stores.roots import PinnedFolder

_CHECKSUM_BYTES = 4

_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


class ZarrFolder(LocalStore):
    """Reads files through the open folder. What is listed or written goes the way of its base class."""

    def __init__(self, folder: PinnedFolder, largest_bytes: int) -> None:
        """`largest_bytes` is the size of the longest stretch of a file that is read at once."""
        super().__init__(folder.path, read_only=True)
        self._folder, self._largest_bytes = folder, largest_bytes

    def with_read_only(self, read_only: bool = False) -> Self:
        return self

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        try:
            data = await asyncio.to_thread(self._bytes, key, byte_range)
        except _ABSENT:  # chunks that were never written are left out
            return None
        return (prototype or default_buffer_prototype()).buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        try:
            data = self._bytes(key, byte_range)
        except _ABSENT:
            return None
        return (prototype or default_buffer_prototype()).buffer.from_bytes(data)

    def _bytes(self, key: str, byte_range: ByteRequest | None) -> bytes:
        descriptor = self._folder.open_beneath(key)
        try:
            size = os.fstat(descriptor).st_size
            start, stop = _stretch(byte_range, size)
            if not 0 <= start <= stop <= size:
                raise ValueError(f"an index points to the bytes {start:,} to {stop:,} of a file of {size:,} bytes")
            if stop - start > self._largest_bytes:
                raise ValueError(
                    f"{stop - start:,} bytes of a file would be read at once, which its pixels cannot need: at most "
                    f"{self._largest_bytes:,}"
                )
            return _read(descriptor, start, stop - start)
        finally:
            os.close(descriptor)


class ShardIndex(NamedTuple):
    """Where a shard's index is, which has an offset and a length for each of its chunks."""

    chunks: int
    is_first: bool

    def check(self, descriptor: int) -> None:
        """Refuse an index that points outside the file: zarrs would take memory for what it claims, and end the process."""
        size = os.fstat(descriptor).st_size
        length = 16 * self.chunks
        entries = os.pread(descriptor, length, 0 if self.is_first else max(0, size - length - _CHECKSUM_BYTES))
        if len(entries) < length:
            raise ValueError(f"a shard of {size:,} bytes is shorter than its index")
        offsets, lengths = np.frombuffer(entries, "<u8").reshape(-1, 2).T
        is_there = offsets != np.iinfo(np.uint64).max
        if np.any(is_there & ((lengths > size) | (offsets > size - np.minimum(lengths, size)))):
            raise ValueError(f"the index of a shard points outside its {size:,} bytes")


def shard_index(array: zarr.Array[Any]) -> ShardIndex | None:
    """The index of an array's shards in its usual form: plain numbers and their checksum; None for anything else."""
    match getattr(array.metadata, "codecs", ()):
        case [ShardingCodec(index_codecs=[BytesCodec(), Crc32cCodec()]) as codec] if array.shards:
            lengths = zip(array.shards, array.chunks, strict=True)
            return ShardIndex(
                math.prod(n // inner for n, inner in lengths),
                str(getattr(codec.index_location, "value", codec.index_location)) == "start",
            )
    return None


def _stretch(byte_range: ByteRequest | None, size: int) -> tuple[int, int]:
    match byte_range:
        case None:
            return 0, size
        case RangeByteRequest(start, end):
            return start, end
        case OffsetByteRequest(offset):
            return offset, size
        case SuffixByteRequest(suffix):
            return max(0, size - suffix), size
    raise TypeError(f"{byte_range!r} is no stretch of a file")


def _read(descriptor: int, start: int, length: int) -> bytes:
    pieces = []
    while length and (piece := os.pread(descriptor, length, start)):
        pieces.append(piece)
        start, length = start + len(piece), length - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
