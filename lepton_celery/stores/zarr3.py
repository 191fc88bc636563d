"""Zarr: versions 2 and 3 in, version 3 out.

Metadata goes through zarr-python, which everybody trusts. Chunks of the plain layout (little-endian bytes, Blosc or no
compression: the one written here) are read and written as the files they are: that is two to three times faster than zarr's
event loop, and leaves no thread behind that a fork could lose.
"""

from __future__ import annotations

import itertools
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import blosc
from zarr.codecs import BloscCodec, BytesCodec

from lepton_celery.errors import InputError, StoreError
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.stores.base import AnyArray, Target, check_block, check_region
from lepton_celery.stores.failures import reading, writing
from lepton_celery.stores.publish import discard_part, place_new, publish_part, remove, sibling

_LARGEST_CHUNK = 64 * 2**20
"""Bytes: a chunk is read whole, and Blosc ends at 2 GiB."""


class ZarrReader:
    """A Zarr array of version 2 or 3 in a folder; nothing but its metadata is read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.url = str(path)
        self._path = path
        with reading(path):
            if not path.exists():
                raise FileNotFoundError(path)
            try:
                node = zarr.open(store=str(path), mode="r")
            except FileNotFoundError as error:
                # That is what zarr says of anything without metadata that it knows.
                raise StoreError(f"{path} cannot be read: it is no Zarr array, version 2 or 3") from error
        if isinstance(node, zarr.Group):
            with reading(path):
                names = ", ".join(sorted(name for name, _ in node.arrays())) or "none"
            raise StoreError(
                f"{path} is a Zarr group, not an array; open one of the arrays inside ({names}): {path}/NAME"
            )
        self._array = node
        found = np.dtype(node.dtype)
        if found.kind not in "biufc":
            raise StoreError(f"{path} holds {found}, which is no pixel type; save numbers or booleans")
        self.shape: tuple[int, ...] = tuple(node.shape)
        self.dtype: np.dtype[Any] = found.newbyteorder("=")
        self.chunks: tuple[int, ...] = tuple(min(c, max(n, 1)) for c, n in zip(node.chunks, self.shape, strict=True))
        self._plain = _is_plain(node)

    def read(self, region: Region) -> AnyArray:
        check_region(self.url, self.shape, region)
        with reading(self._path):
            if self._plain:
                return self._read_plain(region)
            return np.array(self._array[region.slices], dtype=self.dtype, order="C", copy=True)

    def _read_plain(self, region: Region) -> AnyArray:
        out = np.empty(region.shape, self.dtype)
        grid = BlockGrid(self.shape, self._array.chunks)
        # One buffer for all chunks: the page faults of a fresh one for each cost more than the decoding.
        buffer = np.empty(self._array.chunks, self.dtype.newbyteorder("<"))
        for index in grid.overlapping(region):
            box = grid.region(index)
            shared = Region(tuple(map(max, box.start, region.start)), tuple(map(min, box.stop, region.stop)))
            self._decode(grid.position(index), buffer)
            out[shared.within(region)] = buffer[shared.within(box)]
        return out

    def _decode(self, position: tuple[int, ...], into: AnyArray) -> None:
        try:
            data = _chunk_file(self._path, position).read_bytes()
        except FileNotFoundError:
            # A chunk that was never written reads as the fill value: so Zarr means it.
            into[...] = np.asarray(self._array.fill_value, self.dtype)
            return
        if self._plain == "raw":
            into[...] = np.frombuffer(data, into.dtype).reshape(into.shape)
            return
        # Blosc believes its header: of a truncated chunk it reads past the end, and gives pixels out of thin air.
        _, size, _, compressed = struct.unpack_from("<4I", data)
        if compressed != len(data) or size != into.nbytes:
            raise ValueError(f"chunk {position} is truncated")
        blosc.decompress(data, into)


class ZarrOutput:
    """A Zarr v3 array, Blosc LZ4; a block owns whole chunks, each of which replaces itself in one step."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._chunks = _chunk_shape(target)

    def create(self) -> None:
        part = self.target.part
        with writing(part):
            if part.exists():
                self._check_part()
                return
            temp = sibling(part)
            try:
                self._describe(temp)
                place_new(temp, part)
            except FileExistsError:
                pass
            finally:
                remove(temp)

    def reserve(self) -> None:
        pass  # what it will take depends on the pixels

    def write(self, region: Region, block: AnyArray) -> None:
        check_block(self.target, region, block)
        part, dtype = self.target.part, self.target.native.newbyteorder("<")
        # The halves of a chunk file must not be found under the part: a killed writer's leftovers would be published.
        temp = sibling(part)
        starts = (range(a, b, c) for a, b, c in zip(region.start, region.stop, self._chunks, strict=True))
        with writing(part):
            try:
                for start in itertools.product(*starts):
                    stop = tuple(min(a + c, n) for a, c, n in zip(start, self._chunks, self.target.shape, strict=True))
                    box = Region(start, stop)
                    chunk = np.ascontiguousarray(block[box.within(region)], dtype).reshape(box.shape)
                    if chunk.shape != self._chunks:
                        whole = np.zeros(self._chunks, dtype)
                        whole[tuple(map(slice, chunk.shape))] = chunk
                        chunk = whole
                    temp.write_bytes(
                        blosc.compress(chunk.reshape(-1).view(np.uint8), b"lz4", 5, typesize=dtype.itemsize)
                    )
                    self._put(temp, tuple(a // c for a, c in zip(start, self._chunks, strict=True)))
            except OSError:
                temp.unlink(missing_ok=True)
                raise

    def publish(self) -> None:
        publish_part(self.target.part, self.target.final, overwrite=self.target.overwrite)

    def discard(self) -> None:
        discard_part(self.target.part, self.target.final)

    def _put(self, temp: Path, position: tuple[int, ...]) -> None:
        part = self.target.part
        chunk = _chunk_file(part, position)
        try:
            temp.replace(chunk)
        except FileNotFoundError:
            # Level by level, and never the part itself: a discarded one must not come back.
            for folder in [*reversed(chunk.relative_to(part).parents)][1:]:
                (part / folder).mkdir(exist_ok=True)
            temp.replace(chunk)

    def _describe(self, folder: Path) -> None:
        native = self.target.native
        zarr.create_array(
            store=str(folder),
            shape=self.target.shape,
            chunks=self._chunks,
            dtype=native,
            compressors=BloscCodec(typesize=native.itemsize, cname="lz4", clevel=5, shuffle="shuffle"),
            fill_value=np.zeros((), native)[()],
            config={"write_empty_chunks": True},
        )

    def _check_part(self) -> None:
        found = ZarrReader(self.target.part)
        if found.shape != self.target.shape or found.dtype != self.target.native:
            raise StoreError(
                f"{self.target.part} holds {found.dtype} {found.shape}, the output is {self.target.native} "
                f"{self.target.shape}; discard it, or use another job id"
            )


def _chunk_file(folder: Path, position: tuple[int, ...]) -> Path:
    return folder.joinpath("c", *map(str, position))


def _is_plain(array: zarr.Array[Any]) -> str:
    """`raw` or `blosc` when chunks can be read as files; empty when zarr has to read them."""
    metadata = array.metadata
    if metadata.zarr_format != 3 or metadata.to_dict().get("chunk_key_encoding") != _PLAIN_KEYS:
        return ""
    serializer, *compressors = metadata.codecs
    if metadata.to_dict().get("storage_transformers") or not isinstance(serializer, BytesCodec):
        return ""
    # an enumeration in zarr 3.1, which Python 3.11 gets; plain text in later ones
    endian = getattr(serializer.endian, "value", serializer.endian)
    if endian not in (None, "little"):
        return ""
    if not compressors:
        return "raw"
    return "blosc" if len(compressors) == 1 and isinstance(compressors[0], BloscCodec) else ""


_PLAIN_KEYS = {"name": "default", "configuration": {"separator": "/"}}


def _chunk_shape(target: Target) -> tuple[int, ...]:
    """The block, clipped to the image, cut into parts along its longest axes until it is as small as a chunk must be."""
    chunks = [min(b, max(n, 1)) for n, b in zip(target.shape, target.block_shape, strict=True)]
    while math.prod(chunks) * target.native.itemsize > _LARGEST_CHUNK:
        axis = chunks.index(max(chunks))
        # An axis that one block covers may be cut anywhere; elsewhere the parts must be equal.
        covered = target.block_shape[axis] >= target.shape[axis]
        parts = 2 if covered else next(d for d in range(2, chunks[axis] + 1) if chunks[axis] % d == 0)
        chunks[axis] = -(-chunks[axis] // parts)
    if any(b < n and b % c for n, b, c in zip(target.shape, target.block_shape, chunks, strict=True)):
        raise InputError(
            f"blocks {target.block_shape} of {target.path} would share chunks {tuple(chunks)}; writers that share a chunk "
            "lose pixels, use another block shape"
        )
    return tuple(chunks)
