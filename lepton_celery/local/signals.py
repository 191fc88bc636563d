"""SIGTERM and SIGHUP as ordinary ends of a program, so that its cleanup runs."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP raise SystemExit, so that they end the program as Ctrl-C does.

    This changes the signal handlers of the whole process.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP on purpose
            signal.signal(number, lambda received, frame: sys.exit(128 + received))


@contextmanager
def held_signals() -> Iterator[Sequence[int]]:
    """Hold back the signals that end a program until the `with` block is done, which is given those that have come.

    For cleanup that must not stop halfway, and for forks: Python ignores an exception that a signal raises while it forks,
    so the signal would be lost. Signals are not blocked in the kernel, because children would inherit that. Signals that
    end the process without a handler still do. Threads other than the main one receive no signals.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    handled = {number: handler for number, handler in before.items() if callable(handler)}
    for number in handled:
        signal.signal(number, lambda number, frame: received.append(number))
    try:
        yield received
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
    for late in received[:1]:
        signal.raise_signal(late)
