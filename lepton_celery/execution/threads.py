"""Limits BLAS and OpenMP to one thread, because workers and the engine's threads already use all processors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

_pools: tuple[int, ThreadpoolController] | None = None
"""Number of loaded modules at the last search for thread pools, and the controller of the pools found."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS and OpenMP to the calling thread."""
    global _pools
    # a search takes 2 ms, and finds new pools only after an import
    if _pools is None or _pools[0] != len(sys.modules):
        _pools = len(sys.modules), ThreadpoolController()
    with _pools[1].limit(limits=1):
        yield
