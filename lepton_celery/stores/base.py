"""What every store offers: readers of regions, and outputs written block by block under a hidden name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.stores.paths import local_path

AnyArray = npt.NDArray[Any]

_JOB_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class ArrayReader(Protocol):
    """An array that stays where it is and gives its regions.

    Open in one process, it may be used in processes forked from it and in several threads.
    """

    @property
    def url(self) -> str:
        """Where the array is; `memory:` for one that is only in this process."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis in pixels."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of what `read` gives, in native byte order."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """The box that is read whole when one pixel of it is touched; one row where access is random."""

    def read(self, region: Region) -> AnyArray:
        """A fresh C-contiguous array of exactly `region.shape`, in native byte order, that the caller owns.

        Raises:
            InputError: the region is not inside the array.
            StoreError: the file is damaged there.
        """


@dataclass(frozen=True)
class Target:
    """An output array on its way to its final name.

    A manifest carries it as JSON (`stores.documents`) to the workers that write its blocks.
    """

    path: str
    """Final path, or file:// URL; its suffix says the format."""
    shape: tuple[int, ...]
    """Length of each axis in pixels."""
    dtype: str
    """NumPy's name of the dtype, such as `float32`."""
    block_shape: tuple[int, ...]
    """The blocks it is written in, as in `BlockGrid(shape, block_shape)`."""
    job_id: str
    """Keeps the parts of two jobs apart that write to one name."""
    overwrite: bool = False
    """Whether `publish` may replace what stands under the final name."""

    def __post_init__(self) -> None:
        # The job id becomes part of a file name and may come from a message: no separators, no leading dot.
        if not _JOB_ID.fullmatch(self.job_id):
            raise InputError(f"job id {self.job_id!r} cannot stand in a file name; use letters, digits, . _ and -")
        try:
            np.dtype(self.dtype)
        except TypeError as error:
            raise InputError(f"{self.dtype!r} is no dtype; give NumPy's name of one, such as 'float32'") from error
        BlockGrid(self.shape, self.block_shape)
        if not self.final.name:
            raise InputError(f"output {self.path!r} names no file; give a path that ends in one")

    @cached_property
    def final(self) -> Path:
        """Absolute path under which the complete array appears."""
        return local_path(self.path)

    @cached_property
    def part(self) -> Path:
        """The hidden sibling that collects the blocks until then."""
        return self.final.with_name(f".{self.final.name}.{self.job_id}.part")

    @property
    def grid(self) -> BlockGrid:
        """The blocks the array is written in."""
        return BlockGrid(self.shape, self.block_shape)

    @property
    def native(self) -> np.dtype[Any]:
        """The dtype, in native byte order."""
        return np.dtype(self.dtype).newbyteorder("=")


class ArrayOutput(Protocol):
    """An array that comes into being block by block, and appears under its name only when it is complete.

    The methods may be called in any process, any number of times, on objects made from equal targets. Nothing is
    fsynced: the promises hold when processes die, not when the power fails.
    """

    @property
    def target(self) -> Target:
        """What is written, and where."""

    def create(self) -> None:
        """Make the part; blocks that are there already stay.

        Raises:
            StoreError: no permission, or a part of another shape in the way.
        """

    def reserve(self) -> None:
        """Take the space that the part will need from the disk, where the format allows. Blocks may be written meanwhile,
        and the array may be published.

        Raises:
            StoreError: disk full.
        """

    def write(self, region: Region, block: AnyArray) -> None:
        """Write one block of `target.grid`, or a box of several; a reader after `publish` never sees half of it.

        Raises:
            InputError: `region` is not made of whole blocks, or `block` has another shape or dtype.
            StoreError: disk full, or the part is gone.
        """

    def publish(self) -> None:
        """Let the final name appear, complete, in one step; nothing happens when it was done before.

        Raises:
            OutputExists: something else stands there and the target may not overwrite it; the part stays.
            StoreNotFound: there is neither a part nor a published output.
        """

    def discard(self) -> None:
        """Remove the part and all that belongs to it; what was published stays."""


def check_region(url: str, shape: tuple[int, ...], region: Region) -> None:
    """Refuse a region that is not inside an array of `shape`."""
    if region.ndim != len(shape) or not Region.whole(shape).contains(region):
        raise InputError(f"region {region} is not inside {url}, whose shape is {shape}; clip it to the array first")


def check_block(target: Target, region: Region, block: AnyArray) -> None:
    """Refuse what is not made of whole blocks of the target's grid, in the target's dtype.

    Two writers that share a chunk lose each other's pixels, so nothing but whole blocks is let through.
    """
    lengths = zip(region.start, region.stop, target.shape, target.block_shape, strict=False)
    if region.ndim != len(target.shape) or any(a % b or (z % b and z != n) or not a < z <= n for a, z, n, b in lengths):
        raise InputError(
            f"region {region} is not made of whole blocks of {target.final.name} (shape {target.shape}, blocks "
            f"{target.block_shape}); write whole blocks only"
        )
    if block.shape != region.shape:
        raise InputError(f"block of shape {block.shape} does not fill region {region}; give {region.shape}")
    if block.dtype.newbyteorder("=") != target.native:
        raise InputError(
            f"block of dtype {block.dtype} does not fit {target.final.name}, which is {target.native}; "
            f"convert it with .astype({target.dtype!r})"
        )
