"""Limits on memory and time, enforced in the process that does the blocks."""

from __future__ import annotations

import faulthandler
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_TIME_TOLERANCE = 0.1
"""Fraction of the time limit by which a block may exceed it, so that the timer need not restart for each small block."""


@contextmanager
def memory_limit(limit_bytes: int) -> Iterator[None]:
    """Limit this process to `limit_bytes` more memory than it has now; 0 sets no limit. This works on Linux only.

    An allocation beyond the limit raises MemoryError, and the block can be computed in smaller pieces; the kernel would kill
    the process.
    """
    status = Path("/proc/self/status")
    if not limit_bytes or not status.exists():
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    used = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmData")) << 10
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    allowed = min([used + limit_bytes, *limits])  # never more than the operator allows
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextmanager
def time_limit(limit_s: float) -> Iterator[Callable[[], None]]:
    """End this process, with a traceback in its log, when one block takes longer than `limit_s` seconds; 0 sets no limit.

    This works even in compiled code that holds the GIL, which an exception cannot interrupt. The ledger counts a lost
    attempt, and another process does the block.

        with time_limit(600) as begin:
            for block in blocks:
                begin()
    """
    set_at = 0.0

    def begin() -> None:
        nonlocal set_at
        now = time.monotonic()
        if limit_s and now - set_at > _TIME_TOLERANCE * limit_s:
            # Celery replaces sys.stderr by an object without a file descriptor
            faulthandler.dump_traceback_later((1 + _TIME_TOLERANCE) * limit_s, exit=True, file=sys.__stderr__ or 2)
            set_at = now

    try:
        yield begin
    finally:
        if set_at:
            faulthandler.cancel_dump_traceback_later()
