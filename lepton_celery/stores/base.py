"""The interfaces of stores: readers of regions, and outputs that are written block by block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lepton_celery.errors import InputError, StoreError
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.stores.axes import Axes
from lepton_celery.stores.paths import check_job_id, local_path

AnyArray = npt.NDArray[Any]


class ArrayReader(Protocol):
    """An array, on disk or in memory, whose regions can be read one by one.

    A reader may be used in several threads, and in processes that are forked from the one that opened it.
    """

    url: str
    """Where the array is; `memory:` for an array of this process."""
    shape: tuple[int, ...]
    """Length of each axis in pixels."""
    dtype: np.dtype[Any]
    """Dtype of the pixels that `read` gives, in native byte order."""
    chunks: tuple[int, ...]
    """Shape of the boxes that can only be read whole; a single row if every pixel can be read alone."""
    reads_whole_chunks: bool = True
    """Whether a chunk is read or decoded whole, or in part, for any of its pixels; not so of memory maps."""

    axes: Axes = ()
    """The axes; empty if nothing is known about them."""

    def read(self, region: Region) -> AnyArray:
        """The pixels of a region as a new C-contiguous array in native byte order, which the caller owns.

        Raises:
            InputError: the region is not inside the array.
            StoreError: the file is damaged there.
        """


@dataclass(frozen=True)
class Target:
    """An output array that a job writes. The job's manifest carries this description as JSON to the workers."""

    path: str
    """Final path, or file:// URL; its suffix names the format."""
    shape: tuple[int, ...]
    """Length of each axis in pixels."""
    dtype: str
    """NumPy's name of the dtype, such as `float32`."""
    block_shape: tuple[int, ...]
    """Shape of the blocks that are written, as in `BlockGrid(shape, block_shape)`."""
    job_id: str
    """Id of the job, which is in the name of the part: two jobs that write to one path have separate parts."""
    overwrite: bool = False
    """Whether `publish` may replace an earlier output."""
    axes: Axes = ()
    """The axes, for formats that describe them; empty if nothing is known about them."""

    def __post_init__(self) -> None:
        check_job_id(self.job_id)
        try:
            np.dtype(self.dtype)
        except TypeError as error:
            raise InputError(f"{self.dtype!r} is not a dtype; give NumPy's name of one, such as 'float32'") from error
        BlockGrid(self.shape, self.block_shape)
        if not self.final.name:
            raise InputError(f"output {self.path!r} names no file; give a path that ends in one")

    @cached_property
    def final(self) -> Path:
        """Absolute path at which the complete array appears."""
        return local_path(self.path)

    @cached_property
    def part(self) -> Path:
        """Path of the part: the hidden file or folder beside `final` that collects the blocks until `publish`."""
        return part_of(self.final, self.job_id)

    @property
    def grid(self) -> BlockGrid:
        """The grid of the blocks that are written."""
        return BlockGrid(self.shape, self.block_shape)

    @property
    def native(self) -> np.dtype[Any]:
        """The dtype, in native byte order."""
        return np.dtype(self.dtype).newbyteorder("=")


def part_of(final: Path, job_id: str) -> Path:
    """The hidden path beside `final` at which a job collects the blocks of an output.

    Raises:
        InputError: the job id cannot be part of a file name.
    """
    check_job_id(job_id)
    return final.with_name(f".{final.name}.{job_id}.part")


class ArrayOutput(Protocol):
    """An array that is written block by block, and appears under its name when it is complete.

    The methods may be called in any process, any number of times, on objects made from equal targets. Nothing is fsynced:
    an output survives killed processes, but not a power failure.
    """

    target: Target
    """The array and its path."""

    def create(self) -> None:
        """Create the part if it does not exist. Blocks of an existing part are kept.

        Raises:
            StoreError: no permission, or the existing part has another shape or dtype.
        """

    def reserve(self) -> None:
        """Allocate the disk space of the whole part, if the format allows it.

        Other processes may write blocks and publish the array meanwhile.

        Raises:
            StoreError: the disk is full.
        """
        return  # by default nothing: the size of compressed pixels is not known in advance

    def write(self, region: Region, pixels: AnyArray) -> None:
        """Write one block of `target.grid`, or a box of several blocks.

        Raises:
            InputError: `region` is not made of whole blocks, or `pixels` have another shape or dtype.
            StoreError: the disk is full, or the part is gone.
        """

    def publish(self) -> None:
        """Give the part its final name atomically. Does nothing if the array is published already.

        Raises:
            OutputExists: something else has the final name, and `target.overwrite` is not set; the part stays.
            StoreNotFound: there is neither a part nor a published output.
        """

    def discard(self) -> None:
        """Remove the part and its temporary files; a published output stays."""


def pixel_dtype(owner: str | Path, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in native byte order; StoreError if it is neither boolean nor a number."""
    if dtype.kind not in "biufc":
        raise StoreError(f"{owner} holds {dtype}, which is not a pixel type; convert it to numbers or booleans")
    return dtype.newbyteorder("=")


MAX_WHOLE_BYTES = 1 << 30
"""Largest number of bytes of pixels that are decoded at once: a picture, or a chunk, a tile or a strip of another image."""


def check_whole(owner: str | Path, what: str, nbytes: int) -> None:
    """Refuse a picture or a chunk that would take too much memory to decode, whatever its file's few bytes are.

    Raises:
        InputError: it has more than `MAX_WHOLE_BYTES`.
    """
    if nbytes > MAX_WHOLE_BYTES:
        raise InputError(
            f"{owner}: a {what} has {nbytes:,} bytes of pixels and can only be decoded whole, over the limit of "
            f"{MAX_WHOLE_BYTES:,}; save the image as .zarr or as a TIFF of tiles"
        )


def check_part(path: Path, array: AnyArray | ArrayReader, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse a part that was made for an output of another shape or dtype."""
    if array.shape != shape or array.dtype != dtype:
        raise StoreError(
            f"{path} holds {array.dtype} {array.shape}, the output is {dtype} {shape}; discard it, or use another job id"
        )


def check_region(url: str, shape: tuple[int, ...], region: Region) -> None:
    """Refuse a region that is not inside an array of `shape`."""
    if region.ndim != len(shape) or not Region.whole(shape).contains(region):
        raise InputError(f"region {region} is not inside {url}, whose shape is {shape}; clip it to the array first")


def check_block(target: Target, region: Region, pixels: AnyArray) -> None:
    """Refuse a region that is not made of whole blocks of the target's grid, and pixels of another shape or dtype.

    Two writers that share a chunk would lose each other's pixels.
    """
    lengths = zip(region.start, region.stop, target.shape, target.block_shape, strict=False)
    if region.ndim != len(target.shape) or any(a % b or (z % b and z != n) or not a < z <= n for a, z, n, b in lengths):
        raise InputError(
            f"region {region} is not made of whole blocks of {target.final.name} (shape {target.shape}, blocks "
            f"{target.block_shape}); write whole blocks only"
        )
    if pixels.shape != region.shape:
        raise InputError(f"block of shape {pixels.shape} does not fill region {region}; give {region.shape}")
    if pixels.dtype.newbyteorder("=") != target.native:
        raise InputError(
            f"block of dtype {pixels.dtype} does not fit {target.final.name}, which is {target.native}; "
            f"convert it with .astype({target.dtype!r})"
        )
