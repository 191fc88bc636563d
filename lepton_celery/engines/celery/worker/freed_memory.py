"""Retains the memory that a block frees for the next one.

The arrays of a block have some megabytes each. The C library returns such memory to the system when an array is freed and
takes it again for the next, page by page and zeroed; that is a third of the time of a fast pipeline (`docs/design.md`). So a
process that works on a job retains freed memory, and releases it when it opens the next job. Arrays that are larger than
blocks are still returned at once, wherever they lie.
"""

from __future__ import annotations

import ctypes
from functools import cache

_TRIM_THRESHOLD = -1
"""M_TRIM_THRESHOLD of `mallopt`, in glibc's malloc.h."""
_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of `mallopt`."""
_RETAINED_BYTES = 128 << 20
"""Largest amount of free memory at the end of the heap that is retained; beyond it, all of it is returned."""
_LARGE_BYTES = 64 << 20
"""Size from which an array is a mapping of its own, which is returned when it is freed."""


def release_freed_memory() -> bool:
    """Return retained memory to the system, and retain what is freed from now on; False where the C library cannot."""
    library = _retaining_library()
    if library is not None:
        library.malloc_trim(0)
    return library is not None


@cache
def _retaining_library() -> ctypes.CDLL | None:
    """The C library, told to retain freed memory; None if it is not glibc."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return None
    retains = library.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES) and library.mallopt(_TRIM_THRESHOLD, _RETAINED_BYTES)
    return library if retains else None
