"""Limits on the memory and the time of a batch, enforced in its worker process while it runs."""

from __future__ import annotations

import faulthandler
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_TIME_TOLERANCE = 0.1
"""Share of the time limit by which a block may exceed it: the alarm is not set anew for each small block."""


@contextmanager
def memory_limit(limit_bytes: int) -> Iterator[None]:
    """Let this process take at most `limit_bytes` more than it has now; beyond, an allocation raises MemoryError.

    That is better than a kill by the kernel, because the block can be tried again in smaller pieces. 0 sets no limit. Only
    Linux has it; elsewhere nothing is limited.
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
    """End this process, with a traceback in its log, when one block takes longer than `limit_s`.

    That happens even inside compiled code that lets no other Python code run, which an exception could not leave. The
    ledger counts the attempt and gives the block to another process. 0 sets no limit.

        with time_limit(600) as begin:
            for block in blocks:
                begin()
    """
    set_at = 0.0

    def begin() -> None:
        nonlocal set_at
        now = time.monotonic()
        if limit_s and now - set_at > _TIME_TOLERANCE * limit_s:
            # the worker's own standard error, which Celery replaces by an object without a file
            faulthandler.dump_traceback_later((1 + _TIME_TOLERANCE) * limit_s, exit=True, file=sys.__stderr__ or 2)
            set_at = now

    try:
        yield begin
    finally:
        if set_at:
            faulthandler.cancel_dump_traceback_later()
