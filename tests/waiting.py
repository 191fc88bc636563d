"""Waiting for a condition, and for the end of a process."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def eventually(condition: Callable[[], object], what: str = "the condition", timeout_s: float = 180.0) -> None:
    """Wait until the condition holds; fail if that takes longer than `timeout_s`, on the busiest machine."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain for {what}"
        time.sleep(0.01)


def is_gone(process: psutil.Process | int) -> bool:
    """Whether a process has ended. A zombie counts as ended: in a container, nobody may be there to reap it."""
    try:
        found = psutil.Process(process) if isinstance(process, int) else process
        return not found.is_running() or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
