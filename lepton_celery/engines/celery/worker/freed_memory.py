"""Keeps the memory of a block for the next one.

A block's arrays are some megabytes each. The C library gives such memory back to the system when an array is freed and takes
it anew for the next, page by page and zeroed: a third of the time of a pipeline that is fast otherwise (`docs/design.md`).
So a process that works on a job keeps what it freed, and gives it back when it opens the next job. Arrays that are larger
than blocks are still given back at once, wherever they lie.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of `mallopt`, in glibc's malloc.h."""
_KEPT_BYTES = 128 << 20
"""Free memory at the heap's end that is kept; of more, all is given back."""
_LARGE_BYTES = 64 << 20
"""An array from which on it is a mapping of its own."""


@cache
def keep() -> bool:
    """Keep freed memory from now on; whether the C library can."""
    library = _glibc()
    if library is None:
        return False
    return bool(library.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES) and library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))


def give_back() -> None:
    """Give back what is kept."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> Any:
    """The C library, where it is glibc."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
