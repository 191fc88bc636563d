"""Several named arrays in one file, for partials and values that pass between the stages of a job.

    header   one line of JSON, padded with blanks: [[name, dtype, shape], …]
    arrays   their bytes in that order, each starting at a multiple of 64

NumPy's `.npz`, a zip archive of files with a header each, takes six times as long to write and to read for the small arrays
of a block. Nothing is ever unpickled: arrays of objects are refused.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lepton_celery.errors import InputError, StoreError
from lepton_celery.stores.base import AnyArray
from lepton_celery.stores.documents import write_atomically
from lepton_celery.stores.failures import reading
from lepton_celery.stores.roots import open_binary

_ALIGN = 64


def write_bundle(path: Path, arrays: Mapping[str, AnyArray]) -> None:
    """Write arrays to a file atomically, replacing an earlier file.

    Raises:
        InputError: an array holds Python objects.
        StoreNotFound: the folder does not exist.
        StoreError: the disk is full, or no permission.
    """
    header = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    if any(array.dtype.hasobject for array in arrays.values()):
        raise InputError(f"{path.name} cannot hold arrays of objects: {header}; give arrays of numbers")
    line = json.dumps(header).encode() + b"\n"
    pieces: list[Any] = [line, _padding(len(line))]
    for array in arrays.values():  # without a copy, since an array may be as large as the image
        pieces += [np.ascontiguousarray(array).reshape(-1).view(np.uint8), _padding(array.nbytes)]
    write_atomically(path, *pieces)


def _padding(size: int) -> bytes:
    return b" " * (-size % _ALIGN)


def read_bundle(path: Path, *, mapped: bool = False) -> dict[str, AnyArray]:
    """The arrays that `write_bundle` wrote: in memory, or, if `mapped`, as read-only memory maps.

    Raises:
        StoreNotFound: there is no such file.
        StoreError: it is damaged.
    """
    with reading(path):
        with open_binary(path) as file:
            if mapped:
                data: bytearray | mmap.mmap = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            else:
                data = bytearray(os.fstat(file.fileno()).st_size)
                file.readinto(data)
        try:
            return _arrays(data, bytes(data[: data.find(b"\n") + 1]))
        except (ValueError, TypeError) as error:
            raise StoreError(f"{path} is damaged: {error}; submit the job again") from error


def _arrays(data: bytearray | mmap.mmap, line: bytes) -> dict[str, AnyArray]:
    offset, arrays = len(line) + -len(line) % _ALIGN, {}
    for name, dtype, shape in json.loads(line):
        count = math.prod(shape)
        size = count * np.dtype(dtype).itemsize
        if offset + size > len(data):
            raise ValueError("it is truncated")
        arrays[name] = np.frombuffer(data, dtype, count, offset).reshape(shape) if count else np.empty(shape, dtype)
        offset += size + -size % _ALIGN
    return arrays
