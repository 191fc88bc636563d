"""Waiting for a condition, for sweeps of workers, and for the end of a process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil


def eventually(condition: Callable[[], object], what: str = "the condition", timeout_s: float = 180.0) -> None:
    """Wait until the condition holds; fail if that takes longer than `timeout_s`, on the busiest machine."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain for {what}"
        time.sleep(0.01)


def sweeps(alive: Path, count: int = 4) -> None:
    """Wait until workers have swept so many times, which their `alive_file` shows."""
    for _ in range(count):
        before = alive.stat().st_mtime_ns
        eventually(lambda before=before: alive.stat().st_mtime_ns > before, "a sweep")  # type: ignore[misc]


def is_gone(process: psutil.Process | int) -> bool:
    """Whether a process has ended. A zombie counts as ended: in a container, nobody may be there to reap it."""
    try:
        found = psutil.Process(process) if isinstance(process, int) else process
        return not found.is_running() or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
