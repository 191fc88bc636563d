"""Arrays in memory behind the interfaces of stores, for the inline engine and for memory maps."""

from __future__ import annotations

import numpy as np

from lepton_celery.errors import StoreError
from lepton_celery.grid import Region
from lepton_celery.stores.base import AnyArray, ArrayOutput, ArrayReader, Target, check_block, check_region, pixel_dtype
from lepton_celery.stores.failures import reading


class MemoryReader(ArrayReader):
    """An array of this process or a memory map. It must not change until its last region is read."""

    reads_whole_chunks = False

    def __init__(self, array: AnyArray, url: str = "memory:") -> None:
        self._array = np.asarray(array)
        self.url, self.shape = url, self._array.shape
        self.dtype = pixel_dtype("an array" if url == "memory:" else url, self._array.dtype)
        run = 0 if self._array.flags.fnc else self._array.ndim - 1
        self.chunks = tuple(max(1, n) if axis == run else 1 for axis, n in enumerate(self.shape))

    def read(self, region: Region) -> AnyArray:
        check_region(self.url, self.shape, region)
        return np.array(self._array[region.slices], dtype=self.dtype, order="C", copy=True)


class MappedReader(MemoryReader):
    """A memory map. Pages that are not in memory are read from the file when they are first used."""

    def read(self, region: Region) -> AnyArray:
        with reading(self.url):
            return super().read(region)


class MemoryOutput(ArrayOutput):
    """An output in memory. The path of its target is only a name in error messages."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._part: AnyArray | None = None
        self._final: AnyArray | None = None

    @property
    def array(self) -> AnyArray:
        """The complete array; StoreError before `publish`."""
        if self._final is None:
            raise StoreError(f"output {self.target.path!r} is not published; publish it first")
        return self._final

    def create(self) -> None:
        if self._part is None:
            self._part = np.zeros(self.target.shape, self.target.native)

    def write(self, region: Region, pixels: AnyArray) -> None:
        check_block(self.target, region, pixels)
        if self._part is None:
            raise StoreError(f"output {self.target.path!r} has no part; create it first")
        self._part[region.slices] = pixels

    def publish(self) -> None:
        if self._part is not None:
            self._final, self._part = self._part, None
        elif self._final is None:
            raise StoreError(f"output {self.target.path!r} has no part; create it first")

    def discard(self) -> None:
        self._part = None
