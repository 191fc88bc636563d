"""Decodes part of a Blosc buffer.

Blosc compresses a buffer in pieces of some hundred kilobytes. `blosc_getitem` of C-Blosc decodes only the pieces that hold
the requested items. numcodecs contains that function but has no Python binding for it.

Source: https://github.com/Blosc/c-blosc/blob/v1.21.6/blosc/blosc.h
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numcodecs import blosc

from lepton_celery.stores.base import AnyArray

_HEADER = struct.Struct("<4B3I")
"""Versions of Blosc and of the codec, flags, item size; decoded, piece and compressed size. Sizes are in bytes."""

Buffer = Any
"""Contiguous bytes: `collections.abc.Buffer`, which Python 3.11 does not have."""


def check_complete(data: Buffer, nbytes: int) -> None:
    """Refuse a buffer that is shorter than its header says, or that does not decode to `nbytes` bytes.

    Blosc trusts the header: it reads past the end of a truncated buffer and returns arbitrary pixels.

    Raises:
        ValueError, struct.error: the buffer is truncated, or of another size.
    """
    *_, size, _, compressed = _HEADER.unpack_from(data)
    if compressed != len(data) or size != nbytes:
        raise ValueError(f"a chunk of {len(data)} bytes is truncated, or does not hold {nbytes} bytes of pixels")


def decode_piece(data: Buffer, start: int, into: AnyArray) -> bool:
    """Decode the bytes from `start` on into `into`, which is C-contiguous; False if only the whole buffer can be decoded.

    `data` must have passed `check_complete`.

    Raises:
        ValueError: the buffer is damaged there.
    """
    function = _blosc_getitem()
    item = data[3]
    if function is None or not item or start % item or into.nbytes % item:
        return False
    source = np.frombuffer(data, np.uint8)
    if function(source.ctypes.data, start // item, into.nbytes // item, into.ctypes.data) != into.nbytes:
        raise ValueError("a chunk is damaged")
    return True


@cache
def _blosc_getitem() -> Callable[[int, int, int, int], int] | None:
    try:
        function = ctypes.CDLL(blosc.__file__).blosc_getitem
    except (OSError, AttributeError):  # this build of numcodecs does not export its symbols
        return None
    function.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
    function.restype = ctypes.c_int
    return function
