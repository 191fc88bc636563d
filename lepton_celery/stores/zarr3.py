"""Zarr: reads versions 2 and 3, writes version 3.

zarr-python reads and writes the metadata, and reads shards and rarer codecs. Chunks that are files of their own (Blosc,
zstd, gzip or no compression) are read and written directly: that is two to three times faster than zarr's event loop,
leaves no thread behind that a fork could lose, and lets a reader keep a chunk for the next block.

`zarrs` (the extra of that name) decodes in Rust and reads only the needed part of a shard. Its threads do not survive a
fork: a child of a process that has used it hangs. So only the first process that reads pixels uses it, such as a pool
process of Celery, whose parent reads no pixels. Processes that are forked from it use zarr's own pipeline.
"""

from __future__ import annotations

import itertools
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import zarr
from numcodecs import blosc
from zarr.codecs import BloscCodec

from lepton_celery.errors import InputError, StoreError
from lepton_celery.grid import Region
from lepton_celery.stores import zarr_axes
from lepton_celery.stores.base import AnyArray, ArrayReader, Target, check_block, check_part, check_region, pixel_dtype
from lepton_celery.stores.chunk_files import chunk_files
from lepton_celery.stores.failures import reading, writing
from lepton_celery.stores.publish import FileOutput, create_part, sibling
from lepton_celery.stores.roots import PinnedFolder, Roots
from lepton_celery.stores.zarr_folder import ShardIndex, ZarrFolder, shard_index
from lepton_celery.stores.zarr_metadata import MAX_METADATA_BYTES, ZarrNode, is_array, read_node

_LISTED = 100
"""Largest number of files of a group among which a message looks for arrays."""

LARGEST_CHUNK_BYTES = 64 * 2**20
"""Larger blocks are cut into several chunks: a chunk is read whole, and Blosc is limited to 2 GiB."""

_ZARRS_PIPELINE = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "threading.max_workers": 1}
"""Settings of zarr for zarrs, which gets one thread, because the worker processes already run in parallel."""

_SLACK = 2
"""How many times longer than its pixels a stretch of a file may be, besides a shard's index: what no codec can shorten takes
a little more."""

_settings = Lock()
"""Held while zarr's global settings are changed. An array keeps the pipeline with which it was opened."""


class ZarrReader(ArrayReader):
    """A Zarr array of version 2 or 3 in a folder."""

    def __init__(self, path: Path, roots: Roots = ()) -> None:
        with reading(path):
            node = _node(path, roots)
            if node.kind == "group":
                path, node = _full_resolution(path, node, roots)
            # held open: chunks are read in this folder, whatever happens to the folders above it
            self._folder = PinnedFolder(path, roots)
            with self._folder.named():
                array = zarr.open_array(store=str(self._folder.path), mode="r", zarr_format=node.version)
            self.axes = zarr_axes.read_axes(path, array, node, roots)
            self.shape, self.dtype = tuple(array.shape), pixel_dtype(path, np.dtype(array.dtype))
            self.chunks = tuple(min(c, max(n, 1)) for c, n in zip(array.chunks, self.shape, strict=True))
        self.url, self._path = str(path), path
        self.files = chunk_files(self._folder, array)
        """The array's chunks as files; None if only zarr can read them."""
        self._files_of_zarr: tuple[int, ...] = array.shards or array.chunks
        self._key = array.metadata.encode_chunk_key
        self._opened_in = 0

    def read(self, region: Region) -> AnyArray:
        check_region(self.url, self.shape, region)
        with reading(self._path):
            if self.files is not None:
                return self.files.read(region)
            array = self._for_pixels()
            if not isinstance(array.store, ZarrFolder) and (index := shard_index(array)):  # zarrs opens files itself
                self._check_files(region, index)
            with _panics_caught():
                return np.require(array[region.slices], self.dtype, ["C", "O", "W"])

    def _check_files(self, region: Region, index: ShardIndex) -> None:
        """Refuse shards that are links or no files, which zarrs would follow or wait for, and those whose index lies."""
        lengths = zip(region.start, region.stop, self._files_of_zarr, strict=True)
        for position in itertools.product(*(range(a // n, -(-z // n)) for a, z, n in lengths)):
            with suppress(FileNotFoundError):  # Zarr leaves out chunks that were never written
                descriptor = self._folder.open_beneath(self._key(position))
                try:
                    index.check(descriptor)
                finally:
                    os.close(descriptor)

    def _for_pixels(self) -> zarr.Array[Any]:
        """The array through zarr, opened once in each process."""
        if self._opened_in != os.getpid():
            longest = _SLACK * (math.prod(self._files_of_zarr) * self.dtype.itemsize) + MAX_METADATA_BYTES
            self._opened = _open_for_pixels(self._folder, longest)
            self._opened_in = os.getpid()
        return self._opened


def _node(path: Path, roots: Roots) -> ZarrNode:
    if (node := read_node(path, roots)) is None:
        raise StoreError(f"{path} cannot be read: it is not a Zarr array of version 2 or 3")
    return node


def _full_resolution(path: Path, group: ZarrNode, roots: Roots) -> tuple[Path, ZarrNode]:
    """The path and the array of the largest image of an OME-Zarr; StoreError for any other group."""
    for full in islice(_levels(path, group), 1):
        with suppress(FileNotFoundError):
            node = _node(full, roots)
            if node.kind == "array":
                return full, node
    with os.scandir(path) as entries:
        found = (entry.name for entry in islice(entries, _LISTED) if is_array(Path(entry.path)))
        names = sorted(found)
    raise StoreError(
        f"{path} is a Zarr group, not an array; open one of the arrays inside ({', '.join(names) or 'none'}): {path}/NAME"
    )


def _levels(path: Path, group: ZarrNode) -> Iterator[Path]:
    """The arrays of an OME-Zarr's pyramid, the largest first; StoreError for one outside of the group."""
    for dataset in zarr_axes.pyramid(group.attributes).get("datasets") or ():
        below = Path(str(dataset["path"]))
        if below.is_absolute() or ".." in below.parts or any(map(os.path.islink, _folders(path, below))):
            raise StoreError(
                f"{path} names an image outside itself, {str(below)!r:.100}; open that image by its own path"
            )
        yield path / below


def smaller_copies(path: Path, roots: Roots = ()) -> Iterator[ArrayReader]:
    """The smaller copies of an array of an OME-Zarr's pyramid, from the largest to the smallest.

    The array is the group's largest one if the path is that of the group.
    """
    with reading(path):
        node = _node(path, roots)
        group = path if node.kind == "group" else path.parent
        around = node if node.kind == "group" else zarr_axes.group_around(path, roots)
        levels = list(_levels(group, around)) if around is not None else []
    first = levels.index(path) if path in levels else 0 if group == path else len(levels)
    for level in levels[first + 1 :]:
        yield ZarrReader(level, roots)


def _folders(path: Path, below: Path) -> Iterator[Path]:
    """The folders on the way from a group to an image in it, and the image."""
    for part in below.parts:
        path = path / part
        yield path


class ZarrOutput(FileOutput):
    """A Zarr array of version 3 with Blosc LZ4; a block consists of whole chunks, each written in one step."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._chunks = _chunk_shape(target)

    def create(self) -> None:
        if self.target.part.exists():
            check_part(self.target.part, ZarrReader(self.target.part), self.target.shape, self.target.native)
        else:
            create_part(self.target.part, self._describe)

    def write(self, region: Region, pixels: AnyArray) -> None:
        check_block(self.target, region, pixels)
        part, dtype = self.target.part, self.target.native.newbyteorder("<")
        # outside of the part's folder, because a killed writer's leftovers in it would be published
        temp = sibling(part)
        starts = (range(a, b, c) for a, b, c in zip(region.start, region.stop, self._chunks, strict=True))
        with writing(part):
            try:
                for start in itertools.product(*starts):
                    stop = tuple(min(a + c, n) for a, c, n in zip(start, self._chunks, self.target.shape, strict=True))
                    box = Region(start, stop)
                    chunk = np.ascontiguousarray(pixels[box.within(region)], dtype).reshape(box.shape)
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

    def _put(self, temp: Path, position: tuple[int, ...]) -> None:
        part = self.target.part
        chunk = part.joinpath("c", *map(str, position))
        try:
            temp.replace(chunk)
        except FileNotFoundError:
            # folders are created level by level, without the part itself: a discarded part must not come back
            for folder in [*reversed(chunk.relative_to(part).parents)][1:]:
                (part / folder).mkdir(exist_ok=True)
            temp.replace(chunk)

    def _describe(self, folder: Path) -> None:
        native = self.target.native
        folder.mkdir()  # zarr would make the folders above it too, also if they were just moved away
        zarr.create_array(
            store=str(folder),
            shape=self.target.shape,
            chunks=self._chunks,
            dtype=native,
            compressors=BloscCodec(typesize=native.itemsize, cname="lz4", clevel=5, shuffle="shuffle"),
            fill_value=np.zeros((), native)[()],
            dimension_names=[item.name or None for item in self.target.axes] or None,
            attributes=zarr_axes.attributes(self.target.axes),
            config={"write_empty_chunks": True},
        )


def _chunk_shape(target: Target) -> tuple[int, ...]:
    """The block clipped to the image, cut along its longest axes until it is small enough for a chunk."""
    chunks = [min(b, max(n, 1)) for n, b in zip(target.shape, target.block_shape, strict=True)]
    while math.prod(chunks) * target.native.itemsize > LARGEST_CHUNK_BYTES:
        axis = chunks.index(max(chunks))
        # an axis that one block covers may be cut anywhere, elsewhere the pieces must be equal
        is_covered = target.block_shape[axis] >= target.shape[axis]
        pieces = 2 if is_covered else next(d for d in range(2, chunks[axis] + 1) if chunks[axis] % d == 0)
        chunks[axis] = -(-chunks[axis] // pieces)
    if any(b < n and b % c for n, b, c in zip(target.shape, target.block_shape, chunks, strict=True)):
        raise InputError(
            f"blocks {target.block_shape} of {target.path} would share chunks {tuple(chunks)}, and writers that share a "
            "chunk lose pixels; use another block shape"
        )
    return tuple(chunks)


@contextmanager
def _panics_caught() -> Iterator[None]:
    """Turn a panic of zarrs into an error. It is no `Exception`, so that it would end a worker's process."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"zarrs cannot decode it: {error}") from error


def _open_for_pixels(folder: PinnedFolder, longest_bytes: int) -> zarr.Array[Any]:
    """The array in a folder, to be read in this process and not in processes forked from it."""
    if find_spec("zarrs") is not None and _user_of_zarrs() == os.getpid():
        with _settings, zarr.config.set(_ZARRS_PIPELINE), warnings.catch_warnings():
            # zarrs warns about arrays that it leaves to zarr's own pipeline
            warnings.filterwarnings("ignore", "Array is unsupported by ZarrsCodecPipeline", UserWarning)
            array = zarr.open_array(store=str(folder.path), mode="r")
        if shard_index(array) and array.order == "C" and array.dtype.isnative:
            return array  # zarrs cannot read every array of the other kinds
    with _settings, zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}):
        return zarr.open_array(store=ZarrFolder(folder, longest_bytes), mode="r")


@cache
def _user_of_zarrs() -> int:
    """The id of the first process that calls this; processes forked from it get the same id."""
    return os.getpid()
