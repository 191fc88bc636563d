"""NumPy's .npy files: read through a memory map, written in place."""

from __future__ import annotations

import errno
import io
import math
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib import format as npy_format

from lepton_celery.grid import Region
from lepton_celery.stores.base import AnyArray, check_block, check_part
from lepton_celery.stores.failures import reading, writing
from lepton_celery.stores.memory import MappedReader
from lepton_celery.stores.publish import FileOutput, create_part
from lepton_celery.stores.roots import Roots, open_binary, open_file

LONG_ROW_BYTES = 1 << 15
"""Rows of at least this size are written by a system call each, shorter rows through a memory map.

A system call costs less than the page faults of a map if enough bytes are contiguous. MB per second of processor time in a
new file, by map and by calls: rows of 4 kB 640 and 410 in tmpfs, 1110 and 370 on ext4; rows of 16 kB 730 and 890, 1500 and
840; whole rows of the image 750 and 1390, 520 and 3400."""

MAX_HEADER_BYTES = 10_000
"""Longest header that is parsed, as in NumPy; arrays of numbers have one of some hundred bytes."""

one_header_at_a_time = threading.Lock()
"""Held while NumPy parses a file's header with `ast`, which sometimes fails in two threads at once on Python 3.11
(python/cpython#106905: "AST constructor recursion depth mismatch")."""


class NpyReader(MappedReader):
    """A .npy file of C or Fortran order and any byte order, memory-mapped."""

    def __init__(self, path: Path, roots: Roots = ()) -> None:
        with reading(path), open_binary(path, roots) as file:
            array = _mapped(file, "r")
        super().__init__(array, str(path))


def _mapped(file: io.FileIO, mode: Literal["r", "r+"]) -> AnyArray:
    """The array in an open file, memory-mapped. Nothing is ever unpickled, and no memory is taken for what a header claims.

    Raises:
        ValueError: the header is damaged, or claims more pixels than the file has.
    """
    shape, is_fortran, dtype = _read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    first, last = file.tell(), os.fstat(file.fileno()).st_size
    if first + math.prod(shape) * dtype.itemsize > last:
        raise ValueError(
            f"its header says {dtype} {shape}, but the file ends at {last:,} bytes, in the middle of its pixels"
        )
    return np.memmap(file, dtype, mode, first, shape, "F" if is_fortran else "C")


def _read_header(file: io.FileIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype; the file is left where the pixels begin."""
    version = npy_format.read_magic(file)
    start, width = file.tell(), 2 if version == (1, 0) else 4
    if int.from_bytes(file.read(width), "little") > MAX_HEADER_BYTES:
        raise ValueError(f"its header has more than {MAX_HEADER_BYTES:,} bytes")
    file.seek(start)
    read = npy_format.read_array_header_1_0 if width == 2 else npy_format.read_array_header_2_0
    with one_header_at_a_time:
        return read(file, max_header_size=MAX_HEADER_BYTES)


class NpyOutput(FileOutput):
    """A .npy file that is written in place."""

    _map: AnyArray | None = None

    def create(self) -> None:
        target = self.target
        if target.part.exists():
            self._open()
        else:
            create_part(target.part, lambda draft: make_empty(draft, target.shape, target.native))

    def reserve(self) -> None:
        # the part is gone if another process has published it
        with writing(self.target.part), suppress(FileNotFoundError):
            descriptor = open_file(self.target.part, flags=os.O_RDWR | os.O_NOFOLLOW)
            try:
                _reserve(descriptor, 0, os.fstat(descriptor).st_size)
            finally:
                os.close(descriptor)

    def write(self, region: Region, pixels: AnyArray) -> None:
        check_block(self.target, region, pixels)
        with writing(self.target.part):
            write_rows(self.target.part, self._open(), region, pixels)

    def publish(self) -> None:
        self._map = None
        super().publish()

    def discard(self) -> None:
        self._map = None
        super().discard()

    def _open(self) -> AnyArray:
        if self._map is None:
            self._map = open_writable(self.target.part, self.target.shape, self.target.native)
        return self._map


def open_writable(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> AnyArray:
    """The .npy at `path` as a writable memory map; StoreError if it has another shape or dtype."""
    with reading(path), open_binary(path, flags=os.O_RDWR | os.O_NOFOLLOW) as file:
        array = _mapped(file, "r+")
    check_part(path, array, shape, dtype)
    return array


def write_rows(path: Path, array: AnyArray, region: Region, pixels: AnyArray) -> None:
    """Write pixels to the file that `array` maps, by system calls if the region's rows are long enough."""
    if not isinstance(array, np.memmap):  # an array without pixels is not mapped
        array[region.slices] = pixels
        return
    # a row spans all trailing axes that the region covers completely: an RGB row is contiguous
    axis = array.ndim
    while axis and region.shape[axis - 1 :] == array.shape[axis - 1 :]:
        axis -= 1
    axis = max(axis - 1, 0)
    first = array.offset + sum(a * step for a, step in zip(region.start, array.strides, strict=True))
    descriptor = open_file(path, flags=os.O_WRONLY | os.O_NOFOLLOW)
    try:
        if pixels.itemsize * int(np.prod(region.shape[axis:], dtype=np.int64)) < LONG_ROW_BYTES:
            # writing to a mapped page for which the disk has no room would kill the process (SIGBUS)
            last = array.offset + sum((z - 1) * step for z, step in zip(region.stop, array.strides, strict=True))
            _reserve(descriptor, first, last + array.itemsize - first)
            array[region.slices] = pixels
            return
        data = np.asarray(pixels, array.dtype)
        offsets = np.array(first)
        for length, step in zip(region.shape[:axis], array.strides[:axis], strict=True):
            offsets = np.add.outer(offsets, np.arange(length) * step)
        for row, offset in zip(np.ndindex(region.shape[:axis]), offsets.reshape(-1).tolist(), strict=True):
            _write_all(descriptor, np.ascontiguousarray(data[row]).reshape(-1).view(np.uint8).data, offset)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    written = os.pwrite(descriptor, data, offset)
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)


def make_empty(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Create a .npy file of zeros, which takes no disk space yet."""
    header = io.BytesIO()
    described = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy_format.write_array_header_2_0(header, described)
    with path.open("xb") as file:
        file.write(header.getbuffer())
        file.truncate(header.tell() + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)


def _reserve(descriptor: int, start: int, size: int) -> None:
    """Allocate the disk space of a range of a file, if the file system supports that."""
    try:
        os.posix_fallocate(descriptor, start, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
