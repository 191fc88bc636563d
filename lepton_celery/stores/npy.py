"""NumPy's .npy files: a memory map to read, rows put in place to write."""

from __future__ import annotations

import errno
import io
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from lepton_celery.errors import StoreError
from lepton_celery.grid import Region
from lepton_celery.stores.base import AnyArray, Target, check_block, check_region
from lepton_celery.stores.failures import reading, writing
from lepton_celery.stores.publish import discard_part, place_new, publish_part, sibling

_ROW_BYTES = 1 << 15
"""From so many bytes that lie together, a system call costs less than the page faults of a memory map. Pixels into a new
file, MB per second of processor time, map beside a call for each row: rows of 4 kB 640 and 410 in tmpfs, 1110 and 370 on
ext4; of 16 kB 730 and 890, 1500 and 840; whole rows of the image in one piece 750 and 1390, 520 and 3400."""


one_header_at_a_time = threading.Lock()
"""NumPy has Python parse a file's header, and Python 3.11 now and then fails to parse in two threads at once (python/cpython
#106905: "AST constructor recursion depth mismatch")."""


class NpyReader:
    """A .npy file, C or Fortran order, any byte order; nothing is read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.url = str(path)
        with reading(path), one_header_at_a_time:
            # Never unpickles: open_memmap refuses object arrays before it looks at their data.
            self._array: AnyArray = npy_format.open_memmap(path, mode="r")
        self.shape: tuple[int, ...] = self._array.shape
        self.dtype: np.dtype[Any] = self._array.dtype.newbyteorder("=")
        if self.dtype.kind not in "biufc":
            raise StoreError(f"{path} holds {self.dtype}, which is no pixel type; save numbers or booleans")
        self.chunks = row_chunks(self.shape, fortran=self._array.flags.fnc)

    def read(self, region: Region) -> AnyArray:
        check_region(self.url, self.shape, region)
        return np.array(self._array[region.slices], dtype=self.dtype, order="C", copy=True)


class NpyOutput:
    """A .npy file written in place."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._map: AnyArray | None = None

    def create(self) -> None:
        part = self.target.part
        with writing(part):
            if part.exists():
                self._open()
                return
            temp = sibling(part)
            try:
                make_empty(temp, self.target.shape, self.target.native)
                place_new(temp, part)
            except FileExistsError:
                pass
            finally:
                temp.unlink(missing_ok=True)

    def reserve(self) -> None:
        with writing(self.target.part):
            try:
                fd = os.open(self.target.part, os.O_WRONLY)
            except FileNotFoundError:
                return  # published meanwhile
            try:
                _reserve(fd, 0, os.fstat(fd).st_size)
            finally:
                os.close(fd)

    def write(self, region: Region, block: AnyArray) -> None:
        check_block(self.target, region, block)
        with writing(self.target.part):
            write_rows(self.target.part, self._open(), region, block)

    def publish(self) -> None:
        self._map = None
        publish_part(self.target.part, self.target.final, overwrite=self.target.overwrite)

    def discard(self) -> None:
        self._map = None
        discard_part(self.target.part, self.target.final)

    def _open(self) -> AnyArray:
        if self._map is None:
            self._map = open_part(self.target)
        return self._map


def open_part(target: Target) -> AnyArray:
    """The part of `target` as a writable memory map; StoreError when it is of another shape or dtype."""
    return open_part_of(target.part, target.shape, target.native)


def open_part_of(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> AnyArray:
    """The .npy at `path` as a writable memory map; StoreError when it is not of this shape and dtype."""
    with reading(path), one_header_at_a_time:
        found: AnyArray = npy_format.open_memmap(path, mode="r+")
    if found.shape != shape or found.dtype != dtype:
        raise StoreError(
            f"{path} holds {found.dtype} {found.shape}, the output is {dtype} {shape}; discard it, or use another job id"
        )
    return found


def write_rows(part: Path, array: AnyArray, region: Region, block: AnyArray) -> None:
    """Put `block` into the file that `array` maps, by system calls where rows are long enough."""
    # Rows are joined over the trailing axes that the region covers whole: an RGB row is one run of bytes.
    axis = array.ndim
    while axis and region.shape[axis - 1 :] == array.shape[axis - 1 :]:
        axis -= 1
    axis = max(axis - 1, 0)
    run = block.itemsize * int(np.prod(region.shape[axis:], dtype=np.int64))
    if not isinstance(array, np.memmap):  # of no pixels
        array[region.slices] = block
        return
    if run < _ROW_BYTES:
        # a page of a map that the disk has no room for would kill the process when it is touched
        first = array.offset + sum(a * step for a, step in zip(region.start, array.strides, strict=True))
        last = array.offset + sum((z - 1) * step for z, step in zip(region.stop, array.strides, strict=True))
        fd = os.open(part, os.O_WRONLY)
        try:
            _reserve(fd, first, last + array.itemsize - first)
        finally:
            os.close(fd)
        array[region.slices] = block
        return
    data = np.asarray(block, array.dtype)
    # Where in the file each row of the block begins.
    offsets = np.array(array.offset + sum(a * step for a, step in zip(region.start, array.strides, strict=True)))
    for length, step in zip(region.shape[:axis], array.strides[:axis], strict=True):
        offsets = np.add.outer(offsets, np.arange(length) * step)
    fd = os.open(part, os.O_WRONLY)
    try:
        for row, offset in zip(np.ndindex(region.shape[:axis]), offsets.reshape(-1).tolist(), strict=True):
            _write_all(fd, np.ascontiguousarray(data[row]).reshape(-1).view(np.uint8).data, offset)
    finally:
        os.close(fd)


def _write_all(fd: int, data: memoryview, offset: int) -> None:
    done = os.pwrite(fd, data, offset)
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)


def make_empty(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Make a new .npy file of zeros, which takes no space yet."""
    header = io.BytesIO()
    described = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy_format.write_array_header_2_0(header, described)
    size = header.tell() + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        _write_all(fd, header.getbuffer(), 0)
        os.ftruncate(fd, size)
    finally:
        os.close(fd)


def _reserve(fd: int, start: int, size: int) -> None:
    """Take the space of a stretch of a file from the disk, where the file system can."""
    try:
        os.posix_fallocate(fd, start, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


def row_chunks(shape: tuple[int, ...], *, fortran: bool = False) -> tuple[int, ...]:
    """Chunks of an array with random access: one run of neighbouring pixels."""
    ones = [1] * len(shape)
    if shape:
        axis = 0 if fortran else -1
        ones[axis] = max(1, shape[axis])
    return tuple(ones)
