"""Retains the memory that a block frees for the next block.

The arrays of a block take some megabytes each. glibc returns such memory to the system when an array is freed, and the
system zeroes every page again for the next array, which takes a third of the time of a fast pipeline (`docs/design.md`). A
process that works on a job therefore retains freed memory until it opens the next job.
"""

from __future__ import annotations

import ctypes
from functools import cache

_TRIM_THRESHOLD = -1
"""M_TRIM_THRESHOLD of `mallopt`, in glibc's malloc.h."""
_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of `mallopt`."""
_RETAINED_BYTES = 128 << 20
"""Bytes of free memory at the end of the heap above which glibc returns them to the system."""
_LARGE_BYTES = 64 << 20
"""Size in bytes from which an array has a memory mapping of its own, which is returned when the array is freed."""


def release_freed_memory() -> bool:
    """Return retained memory to the system, and retain memory freed from now on; False if the C library is not glibc."""
    library = _retaining_library()
    if library is not None:
        library.malloc_trim(0)
    return library is not None


@cache
def _retaining_library() -> ctypes.CDLL | None:
    """The C library, configured to retain freed memory; None if it is not glibc."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return None
    retains = library.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES) and library.mallopt(_TRIM_THRESHOLD, _RETAINED_BYTES)
    return library if retains else None
