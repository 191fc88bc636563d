"""What a batch may take of its worker process, enforced while it runs: memory and time."""

from __future__ import annotations

import faulthandler
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

_SLACK = 0.1
"""The share of its time limit that a block may take longer: the alarm is not set anew for each of many small blocks."""


@contextmanager
def memory_limit(limit_bytes: int) -> Iterator[None]:
    """Let this process take at most so many bytes more than it has now: beyond, an allocation raises MemoryError.

    Better than a kill by the kernel: the block can be tried again in smaller pieces. Linux only; elsewhere nothing is
    limited. 0 for no limit.
    """
    status = Path("/proc/self/status")
    if not limit_bytes or not status.exists():
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    used = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmData")) << 10
    wanted = used + limit_bytes
    for already in (soft, hard):  # never more than the operator allows
        wanted = wanted if already == resource.RLIM_INFINITY else min(wanted, already)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


class TimeLimit:
    """Ends this process, with a traceback in its log, when one block takes longer than `limit_s`.

    Also in the middle of compiled code that lets no other Python code run, where an exception could not get through. The
    ledger then gives the block to another process, and counts. 0 for no limit.

        with TimeLimit(600) as limit:
            for block in blocks:
                limit.begin()
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._set_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._set_at:
            faulthandler.cancel_dump_traceback_later()

    def begin(self) -> None:
        """The next block begins."""
        now = time.monotonic()
        if self._limit_s and now - self._set_at > _SLACK * self._limit_s:
            # the worker's own standard error: Celery puts an object without a file in its place
            faulthandler.dump_traceback_later((1 + _SLACK) * self._limit_s, exit=True, file=sys.__stderr__ or 2)
            self._set_at = now
