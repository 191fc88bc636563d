"""One thread for each process: BLAS and OpenMP must not start others beside the engine's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

_pools: tuple[int, ThreadpoolController] | None = None
"""The process's pools of threads, and how many modules were loaded when they were looked for."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Have BLAS and OpenMP use the thread that calls them, and no others: workers and threads share the processors."""
    global _pools
    # looking for them takes 2 ms, and there are new ones only where something was imported
    if _pools is None or _pools[0] != len(sys.modules):
        _pools = len(sys.modules), ThreadpoolController()
    with _pools[1].limit(limits=1):
        yield
