"""Arrays in files as the peers open them: NumPy memory maps, and Zarr by zarr-python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.lib import format as npy_format
from numpy.typing import DTypeLike, NDArray
from zarr.codecs import BloscCodec

Array = NDArray[Any]


def create(path: Path, shape: tuple[int, ...], dtype: DTypeLike, chunks: tuple[int, ...]) -> None:
    """Create an array on disk; in Zarr it has chunks compressed with LZ4."""
    found = np.dtype(dtype)
    if path.suffix == ".npy":
        npy_format.open_memmap(path, mode="w+", dtype=found, shape=shape)
        return
    codec = BloscCodec(typesize=found.itemsize, cname="lz4", clevel=5, shuffle="shuffle")
    zarr.create_array(store=str(path), shape=shape, chunks=chunks, dtype=found, compressors=codec)


def opened(path: Path, *, writable: bool = False) -> Any:
    """Open an array on disk, to be read or written by slices."""
    if path.suffix == ".npy":
        return npy_format.open_memmap(path, mode="r+" if writable else "r")
    return zarr.open_array(str(path), mode="r+" if writable else "r")


def read_whole(path: Path) -> Array:
    """Read all pixels into memory."""
    if path.suffix == ".npy":
        found: Array = np.load(path)
        return found
    return np.asarray(zarr.open_array(str(path), mode="r")[...])


def write_whole(path: Path, pixels: Array, chunks: tuple[int, ...]) -> None:
    """Write an array in memory to a new file."""
    if path.suffix == ".npy":
        np.save(path, pixels)
        return
    create(path, pixels.shape, pixels.dtype, chunks)
    opened(path, writable=True)[...] = pixels


def write_table(folder: Path, columns: dict[str, Array]) -> None:
    """Write a table as one file for each column."""
    folder.mkdir()
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column)


def read_table(folder: Path) -> dict[str, Array]:
    """Read a table that `write_table` wrote."""
    return {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}
