"""Chunks of a Zarr array, read directly from their files: without an event loop, threads or needless copies."""

from __future__ import annotations

import itertools
import mmap
import os
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import zarr
from numcodecs import blosc
from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, ZstdCodec
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata

from lepton_celery.grid import Region
from lepton_celery.stores.base import AnyArray
from lepton_celery.stores.blosc_rows import Buffer, check_complete, decode_piece
from lepton_celery.stores.chunk_cache import ChunkCache, identity, room_for
from lepton_celery.stores.decoding import DECODERS, Decode
from lepton_celery.stores.roots import PinnedFolder

ROWS_RATIO = 4
"""Only the needed rows of a chunk are decoded if they are at most `1 / ROWS_RATIO` of its rows, else the whole chunk."""

MAPPED_BYTES = 1 << 19
"""Smallest size in bytes of the files that are memory-mapped; smaller ones are read. Reading was 1.2 times as fast for a
chunk of 256 kB, mapping for one of 4 MB."""

_BLOSC, _RAW = "blosc", "raw"

_ORDERS: dict[str, Literal["<", ">", "|"]] = {"None": "|", "little": "<", "big": ">"}
"""NumPy's signs for the byte orders of version 3; a pixel of one byte has none."""


class ChunkFiles:
    """The chunks of one array, each in a file: raw pixels, Blosc, or a codec that decodes to the bytes of the pixels."""

    def __init__(self, folder: PinnedFolder, array: zarr.Array[Any], codec: str | Decode, dtype: np.dtype[Any]) -> None:
        self._folder = folder
        self._metadata = "zarr.json" if array.metadata.zarr_format == 3 else ".zarray"
        self._key = array.metadata.encode_chunk_key
        self._codec = codec
        self._dtype = dtype
        self._lengths: tuple[int, ...] = array.shape
        self._shape: tuple[int, ...] = array.chunks
        self._nbytes = int(np.prod(self._shape, dtype=np.int64)) * dtype.itemsize
        # the rows of a chunk lie along its first axis longer than 1, so that each row is contiguous
        self._axis = next((axis for axis, length in enumerate(self._shape) if length > 1), 0)
        self._row_bytes = self._nbytes // self._shape[self._axis]
        self._fill = 0 if array.fill_value is None else array.fill_value
        self.cache = ChunkCache()
        self.decoded_bytes = 0
        """Bytes of pixels that were decoded so far."""

    def read(self, region: Region) -> AnyArray:
        """The pixels of `region` as a new array in native byte order.

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
            position, slices, into, is_done = zip(*steps, strict=True)
            self._copy(position, slices, out[into], scratch, 0 if all(is_done) else room)
        return out

    def _copy(
        self, position: tuple[int, ...], slices: tuple[slice, ...], out: AnyArray, scratch: _Scratch, room: int
    ) -> None:
        """Fill `out` with slices of a chunk; decoded pixels go into the cache if they fit into `room` bytes."""
        try:
            fd = self._folder.open_beneath(self._key(position))
        except FileNotFoundError:
            # an array that is being removed or replaced has missing chunks too
            os.close(self._folder.open_beneath(self._metadata))
            out[...] = np.asarray(self._fill, self._dtype)  # Zarr leaves out chunks that were never written
            return
        try:
            size, version = (status := os.fstat(fd)).st_size, identity(status)
            if self._codec == _RAW:
                out[...] = self._pixels(_contents(fd, size))[slices]
                return
            wanted, length = slices[self._axis], self._shape[self._axis]
            are_few = (wanted.stop - wanted.start) * ROWS_RATIO <= length
            rows = range(wanted.start, wanted.stop) if are_few else range(length)
            key = (*position, rows.start, rows.stop)
            pixels = self.cache.get(key, version)
            if pixels is None:
                is_cached = version is not None and self._row_bytes * len(rows) <= room
                pixels = self._decode(_contents(fd, size), rows, scratch, is_cached=is_cached)
                if is_cached:
                    self.cache.put(key, version, pixels, room=room)
        finally:
            os.close(fd)
        axis = self._axis
        within = slice(wanted.start - rows.start, wanted.stop - rows.start)
        out[...] = pixels[(*slices[:axis], within, *slices[axis + 1 :])]

    def _pixels(self, data: Buffer) -> AnyArray:
        if len(data) != self._nbytes:
            raise ValueError(f"a chunk has {len(data)} bytes of pixels instead of {self._nbytes}")
        return np.frombuffer(data, self._dtype).reshape(self._shape)

    def _decode(self, data: Buffer, rows: range, scratch: _Scratch, *, is_cached: bool) -> AnyArray:
        """The decoded rows of a chunk: in a new array if they are cached, else possibly in `scratch`."""
        shape = (*self._shape[: self._axis], len(rows), *self._shape[self._axis + 1 :])
        is_whole = shape == self._shape
        if self._codec == _BLOSC:
            check_complete(data, self._nbytes)
            if not is_whole and decode_piece(data, self._row_bytes * rows.start, piece := np.empty(shape, self._dtype)):
                self.decoded_bytes += piece.nbytes
                return piece
        self.decoded_bytes += self._nbytes
        if callable(self._codec):
            chunk = self._pixels(self._codec(data, self._nbytes))
        else:
            chunk = np.empty(self._shape, self._dtype) if is_whole and is_cached else scratch.chunk
            blosc.decompress(data, chunk.reshape(-1).view(np.uint8))
        wanted = chunk[(slice(None),) * self._axis + (slice(rows.start, rows.stop),)]
        return wanted.copy() if is_cached and not is_whole else wanted


class _Step(NamedTuple):
    """A chunk along one axis of a region."""

    position: int
    within: slice
    """The pixels of the chunk that the region needs."""
    into: slice
    """The pixels of the region that the chunk fills."""
    is_done: bool
    """Whether no later block needs the chunk: the region has all of it, and the chunk is not at the region's far edge."""


def _steps(start: int, stop: int, chunk: int, length: int) -> list[_Step]:
    last = (stop - 1) // chunk
    steps = []
    for position in range(start // chunk, last + 1):
        first, end = position * chunk, min((position + 1) * chunk, length)
        a, z = max(start, first), min(stop, end)
        is_done = (a, z) == (first, end) and position < last - 1
        steps.append(_Step(position, slice(a - first, z - first), slice(a - start, z - start), is_done))
    return steps


class _Scratch:
    """One buffer for all chunks of a region that are not cached; unlike a new array, it stays in the CPU's caches."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = shape, dtype

    @cached_property
    def chunk(self) -> AnyArray:
        return np.empty(self._shape, self._dtype)


def _contents(fd: int, size: int) -> Buffer:
    """The bytes of a file, read or memory-mapped, whichever is faster for its size."""
    return os.read(fd, size) if size < MAPPED_BYTES else mmap.mmap(fd, 0, prot=mmap.PROT_READ)


def chunk_files(folder: PinnedFolder, array: zarr.Array[Any]) -> ChunkFiles | None:
    """The chunks of an array as files; None if only zarr can read them, because of shards, filters or other codecs."""
    metadata = array.metadata
    layout = _layout_2(metadata) if isinstance(metadata, ArrayV2Metadata) else _layout_3(metadata)
    return ChunkFiles(folder, array, *layout) if layout is not None and array.ndim else None


def _layout_2(metadata: ArrayV2Metadata) -> tuple[str | Decode, np.dtype[Any]] | None:
    """The codec of an array of version 2, and the dtype of the decoded bytes."""
    compressor, dtype = metadata.compressor, metadata.dtype.to_native_dtype()
    if metadata.filters or metadata.order != "C":
        return None
    if compressor is None:
        return _RAW, dtype
    if compressor.codec_id == "blosc":
        return _BLOSC, dtype
    return (decode, dtype) if (decode := DECODERS.get(compressor.codec_id)) is not None else None


def _layout_3(metadata: ArrayV3Metadata) -> tuple[str | Decode, np.dtype[Any]] | None:
    """The codec of an array of version 3, and the dtype of the decoded bytes."""
    serializer, *compressors = metadata.codecs
    if metadata.to_dict().get("storage_transformers") or not isinstance(serializer, BytesCodec):
        return None
    # `endian` is an enumeration in zarr 3.1, the last release for Python 3.11, and text in later releases
    order = _ORDERS[str(getattr(serializer.endian, "value", serializer.endian))]
    dtype = metadata.dtype.to_native_dtype().newbyteorder(order)
    match compressors:
        case []:
            return _RAW, dtype
        case [BloscCodec()]:
            return _BLOSC, dtype
        case [ZstdCodec()]:
            return DECODERS["zstd"], dtype
        case [GzipCodec()]:
            return DECODERS["gzip"], dtype
    return None
