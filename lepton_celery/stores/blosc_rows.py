"""Part of a Blosc buffer without decoding the rest of it.

Blosc packs a buffer in blocks of some hundred kilobytes, each by itself. C-Blosc's `blosc_getitem` decodes just those asked
for; numcodecs carries it in its library, without a door to it in Python.

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
"""Version, version of the codec, flags, bytes of an item; bytes of all, bytes of a block, bytes compressed."""

Buffer = Any
"""What holds contiguous bytes; typing has a name for it from Python 3.12 on."""


def check_complete(data: Buffer, nbytes: int) -> None:
    """Refuse a buffer that does not hold what its header says, or not `nbytes` of pixels.

    Blosc believes its header: of a truncated chunk it reads past the end, and gives pixels out of thin air.

    Raises:
        ValueError, struct.error: it is truncated, or of another size.
    """
    *_, size, _, compressed = _HEADER.unpack_from(data)
    if compressed != len(data) or size != nbytes:
        raise ValueError(f"a chunk of {len(data)} bytes is truncated, or holds other than {nbytes} bytes of pixels")


def decode_part(data: Buffer, start: int, into: AnyArray) -> bool:
    """Fill `into`, C-contiguous, with the bytes from `start` on; False when that cannot be had without the rest.

    `data` must have passed `check_complete`.

    Raises:
        ValueError: the buffer is damaged there.
    """
    function = _getitem()
    item = data[3]
    if function is None or not item or start % item or into.nbytes % item:
        return False
    source = np.frombuffer(data, np.uint8)
    if function(source.ctypes.data, start // item, into.nbytes // item, into.ctypes.data) != into.nbytes:
        raise ValueError("a chunk is damaged")
    return True


@cache
def _getitem() -> Callable[[int, int, int, int], int] | None:
    try:
        function = ctypes.CDLL(blosc.__file__).blosc_getitem
    except (OSError, AttributeError):  # a build of numcodecs that keeps its symbols to itself
        return None
    function.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
    function.restype = ctypes.c_int
    return function
