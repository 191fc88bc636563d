"""Retains the memory that a block frees for the next block.

The arrays of a block take some megabytes each. glibc returns such memory to the system when an array is freed, and the
system zeroes every page again for the next array, which takes up to half the time of a fast pipeline (`docs/design.md`). A
worker process therefore retains freed memory until it opens the next job, and a process that computes by itself until
the result is there.
"""

from __future__ import annotations

import ctypes
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

_TRIM_THRESHOLD = -1
"""M_TRIM_THRESHOLD of `mallopt`, in glibc's malloc.h."""
_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of `mallopt`."""
_RETAINED_BYTES = 128 << 20
"""Bytes of free memory at the end of the heap above which glibc returns them to the system."""
_LARGE_BYTES = 64 << 20
"""Size in bytes from which an array has a memory mapping of its own, which is returned when the array is freed."""
_USUAL_RETAINED_BYTES, _USUAL_LARGE_BYTES = 64 << 20, 32 << 20
"""Where glibc arrives by itself in a process that frees large arrays: DEFAULT_MMAP_THRESHOLD_MAX, and twice it."""

_runs = 0
"""Number of `freed_memory_retained` blocks that are open in this process."""
_lock = Lock()


def release_freed_memory() -> bool:
    """Return retained memory to the system, and retain memory freed from now on; False if the C library is not glibc."""
    library = _glibc()
    if library is None:
        return False
    library.malloc_trim(0)
    return _retain(library, _RETAINED_BYTES, _LARGE_BYTES)


@contextmanager
def freed_memory_retained() -> Iterator[None]:
    """Retain freed memory, and return it to the system at the end, when no other thread is in such a block."""
    global _runs
    library = _glibc()
    with _lock:
        _runs += 1
        if library is not None and _runs == 1:
            _retain(library, _RETAINED_BYTES, _LARGE_BYTES)
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            if library is not None and not _runs:
                _retain(library, _USUAL_RETAINED_BYTES, _USUAL_LARGE_BYTES)
                library.malloc_trim(0)


def free_arrays_of(error: BaseException) -> None:
    """Free the arrays that an error keeps alive: the variables of the functions that its traceback and its causes' name.

    Whoever holds the error, such as Celery until its next message, holds them too, and errors that refer to their own
    tracebacks keep them until a garbage collection, which counts objects and not bytes. The traceback can still be printed.
    """
    seen: set[int] = set()
    errors: list[BaseException | None] = [error]
    while errors:
        found = errors.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        traceback.clear_frames(found.__traceback__)
        errors += [found.__cause__, found.__context__, *getattr(found, "exceptions", ())]


def _retain(library: ctypes.CDLL, retained_bytes: int, large_bytes: int) -> bool:
    return bool(library.mallopt(_MMAP_THRESHOLD, large_bytes) and library.mallopt(_TRIM_THRESHOLD, retained_bytes))


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library; None if it is not glibc."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
