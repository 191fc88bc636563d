"""Chunks of a Zarr array, read as the files they are: no event loop, no thread, no copy that is not needed."""

from __future__ import annotations

import itertools
import mmap
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import zarr
from numcodecs import blosc
from numcodecs.gzip import GZip
from numcodecs.zstd import Zstd
from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, ZstdCodec
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata

from lepton_celery.grid import Region
from lepton_celery.stores.base import AnyArray
from lepton_celery.stores.blosc_rows import Buffer, check_complete, decode_part
from lepton_celery.stores.chunk_cache import ChunkCache, identity, room_for

_FEW = 4
"""Of a chunk of which at most one in so many rows is wanted, just these are decoded and kept; of others the whole."""

_MAPPED_BYTES = 1 << 19
"""Size from which a file is mapped (a chunk of 256 kB was read 1.2 times as fast by a copy, one of 4 MB by a map)."""

Decode = Callable[[Buffer], Buffer]

_BLOSC, _RAW = "blosc", "raw"

Order = Literal["<", ">", ""]

_ORDERS: dict[str, Order] = {"None": "", "little": "<", "big": ">", "|": "", "<": "<", ">": ">"}
"""Byte orders as the versions of Zarr name them; none where a pixel is one byte."""

_BYTES_TO_BYTES = ("zstd", "gzip", "zlib", "bz2", "lzma", "lz4")
"""Codecs of version 2 that give back the bytes of the pixels, as numcodecs names them."""


class ChunkFiles:
    """The chunks of one array, each a file of its own: raw pixels, Blosc, or any codec that gives the pixels' bytes."""

    def __init__(self, folder: Path, array: zarr.Array[Any], codec: str | Decode, dtype: np.dtype[Any]) -> None:
        self._folder = str(folder)
        self._key = array.metadata.encode_chunk_key
        self._codec = codec
        self._dtype = dtype
        self._lengths: tuple[int, ...] = array.shape
        self._shape: tuple[int, ...] = array.chunks
        self._nbytes = int(np.prod(self._shape, dtype=np.int64)) * dtype.itemsize
        # rows of it lie together in a chunk
        self._axis = next((axis for axis, length in enumerate(self._shape) if length > 1), 0)
        self._row_bytes = self._nbytes // self._shape[self._axis]
        self._fill = 0 if array.fill_value is None else array.fill_value
        self._cache = ChunkCache()
        self.decoded_bytes = 0
        """Bytes of pixels that were decoded, for whoever wants to know how often that was."""

    @property
    def cached_bytes(self) -> int:
        """Bytes of decoded chunks that are kept."""
        return self._cache.nbytes

    def read(self, region: Region) -> AnyArray:
        """A fresh array of the pixels of `region`, in native byte order.

        Raises:
            OSError: a file cannot be read.
            ValueError, RuntimeError, struct.error: a chunk is damaged.
        """
        out = np.empty(region.shape, self._dtype.newbyteorder("="))
        if not out.size:
            return out
        scratch, room = _Scratch(self._shape, self._dtype), room_for(out.nbytes, self._nbytes)
        axes = map(_steps, region.start, region.stop, self._shape, self._lengths)
        for steps in itertools.product(*axes):
            position, part, into, once = zip(*steps, strict=True)
            self._copy(position, part, out[into], scratch, 0 if all(once) else room)
        return out

    def _copy(
        self, position: tuple[int, ...], part: tuple[slice, ...], out: AnyArray, scratch: _Scratch, room: int
    ) -> None:
        """Fill `out` with a part of a chunk, of which what was decoded is kept if there is `room` for it."""
        try:
            fd = os.open(f"{self._folder}/{self._key(position)}", os.O_RDONLY)
        except FileNotFoundError:
            out[...] = np.asarray(self._fill, self._dtype)  # never written: so Zarr means it
            return
        try:
            size, version = (status := os.fstat(fd)).st_size, identity(status)
            if self._codec == _RAW:
                out[...] = self._pixels(_contents(fd, size))[part]
                return
            rows = self._rows(part)
            key = (*position, rows.start, rows.stop)
            found = self._cache.get(key, version)
            if found is None:
                is_kept = version is not None and self._row_bytes * len(rows) <= room
                found = self._decode(_contents(fd, size), rows, scratch, is_kept=is_kept)
                if is_kept:
                    self._cache.put(key, version, found, room=room)
        finally:
            os.close(fd)
        axis = self._axis
        within = slice(part[axis].start - rows.start, part[axis].stop - rows.start)
        out[...] = found[(*part[:axis], within, *part[axis + 1 :])]

    def _rows(self, part: tuple[slice, ...]) -> range:
        """Which rows are decoded for a part of a chunk."""
        rows, length = part[self._axis], self._shape[self._axis]
        is_little = (rows.stop - rows.start) * _FEW <= length
        return range(rows.start, rows.stop) if is_little else range(length)

    def _pixels(self, data: Buffer) -> AnyArray:
        if len(data) != self._nbytes:
            raise ValueError(f"a chunk has {len(data)} bytes of pixels instead of {self._nbytes}")
        return np.frombuffer(data, self._dtype).reshape(self._shape)

    def _decode(self, data: Buffer, rows: range, scratch: _Scratch, *, is_kept: bool) -> AnyArray:
        """Rows of a chunk as pixels; in an array of their own if they are to be kept."""
        shape = (*self._shape[: self._axis], len(rows), *self._shape[self._axis + 1 :])
        is_whole = shape == self._shape
        if self._codec == _BLOSC:
            check_complete(data, self._nbytes)
            if not is_whole and decode_part(data, self._row_bytes * rows.start, found := np.empty(shape, self._dtype)):
                self.decoded_bytes += found.nbytes
                return found
        self.decoded_bytes += self._nbytes
        if callable(self._codec):
            chunk = self._pixels(self._codec(data))
        else:
            chunk = np.empty(self._shape, self._dtype) if is_whole and is_kept else scratch.chunk
            blosc.decompress(data, chunk.reshape(-1).view(np.uint8))
        few = chunk[(slice(None),) * self._axis + (slice(rows.start, rows.stop),)]
        return few.copy() if is_kept and not is_whole else few


class _Step(NamedTuple):
    """A chunk along one axis of a region."""

    position: int
    part: slice
    """Of the chunk."""
    into: slice
    """Of the region."""
    once: bool
    """The region has all of it, and it is not near the far edge: the blocks that follow do not reach into it."""


def _steps(start: int, stop: int, chunk: int, length: int) -> list[_Step]:
    last = (stop - 1) // chunk
    found = []
    for at in range(start // chunk, last + 1):
        first, end = at * chunk, min((at + 1) * chunk, length)
        a, z = max(start, first), min(stop, end)
        is_whole = (a, z) == (first, end)
        found.append(_Step(at, slice(a - first, z - first), slice(a - start, z - start), is_whole and at < last - 1))
    return found


class _Scratch:
    """One buffer for all chunks of a region that are not kept: it stays in the processor's caches, a fresh one does not."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = shape, dtype

    @cached_property
    def chunk(self) -> AnyArray:
        return np.empty(self._shape, self._dtype)


def _contents(fd: int, size: int) -> Buffer:
    """A file's bytes: copied where they are few, mapped where page faults cost less than the copy."""
    return os.read(fd, size) if size < _MAPPED_BYTES else mmap.mmap(fd, 0, prot=mmap.PROT_READ)


def chunk_files(folder: Path, array: zarr.Array[Any]) -> ChunkFiles | None:
    """The chunks of an array as files; None when zarr has to read them: shards, filters, codecs of other kinds."""
    found = (
        _of_version_2(array.metadata) if isinstance(array.metadata, ArrayV2Metadata) else _of_version_3(array.metadata)
    )
    if found is None or not array.ndim:
        return None
    codec, order = found
    dtype = np.dtype(array.dtype)
    return ChunkFiles(folder, array, codec, dtype.newbyteorder(order) if order else dtype)


def _of_version_2(metadata: ArrayV2Metadata) -> tuple[str | Decode, Order] | None:
    """How chunks are decoded, and in which byte order they then are."""
    if metadata.filters or metadata.order != "C":
        return None
    order = _ORDERS[metadata.dtype.to_native_dtype().str[0]]
    compressor = metadata.compressor
    if compressor is None:
        return _RAW, order
    if compressor.codec_id == "blosc":
        return _BLOSC, order
    return (compressor.decode, order) if compressor.codec_id in _BYTES_TO_BYTES else None


def _of_version_3(metadata: ArrayV3Metadata) -> tuple[str | Decode, Order] | None:
    serializer, *compressors = metadata.codecs
    if metadata.to_dict().get("storage_transformers") or not isinstance(serializer, BytesCodec):
        return None
    # an enumeration in zarr 3.1, which Python 3.11 gets; plain text in later ones
    order = _ORDERS[str(getattr(serializer.endian, "value", serializer.endian))]
    match compressors:
        case []:
            return _RAW, order
        case [BloscCodec()]:
            return _BLOSC, order
        case [ZstdCodec()]:
            return Zstd().decode, order
        case [GzipCodec()]:
            return GZip().decode, order
    return None
