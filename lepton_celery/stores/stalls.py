"""File systems that do not answer, such as NFS whose server is gone.

A call on one of their files may never return, and nothing in its process can end it. So a client makes such calls in a
thread and stops waiting for it, and a worker's main process ends the process that waits. Both wait as long as there is
progress: whoever reads or writes takes processor time, and whoever waits for an answer takes none.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import copy_context
from pathlib import Path
from typing import Protocol, TypeVar

from lepton_celery.errors import StoreTimeout

T = TypeVar("T")

_LOOKS = 8
"""How often a waiting client looks for progress within the time that it waits."""


class FileWatch(Protocol):
    """Is told which file a thread waits for."""

    def begin(self, path: str) -> str:
        """Note that work on a file begins; returns the file, or an empty text, on which work began before."""

    def end(self, before: str) -> None:
        """Note that it has ended, and that the work before goes on."""


class _NoWatch(FileWatch):
    def begin(self, path: str) -> str:
        return ""

    def end(self, before: str) -> None:
        return


_watch: FileWatch = _NoWatch()


def watch() -> FileWatch:
    """What this process tells of its reads and writes; by default nobody."""
    return _watch


def set_watch(new: FileWatch) -> None:
    """Tell another watch from now on, in this process and those that are forked from it."""
    global _watch
    _watch = new


def no_answer(path: str | os.PathLike[str], timeout_s: float) -> StoreTimeout:
    """The error of a file that was waited for in vain."""
    return StoreTimeout(
        f"reading or writing {os.fspath(path)} made no progress for {timeout_s:g} s: its file system does not answer; check "
        "the mount and its server, or raise LEPTON_STORE_TIMEOUT_S"
    )


def answered(path: str | os.PathLike[str], call: Callable[[], T], timeout_s: float) -> T:
    """What a call that uses a file returns or raises; with 0 s, however long it takes.

    Raises:
        StoreTimeout: it made no progress for so long. Its thread is left behind, and ends when the file system answers.
    """
    if not timeout_s:
        return call()
    outcome: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=copy_context().run, args=(run,), name="lepton-file", daemon=True)
    thread.start()
    progress = Progress(timeout_s)
    thread.join(timeout_s / _LOOKS)
    while thread.is_alive():
        if progress.is_over("", ticks_of(os.getpid(), thread.native_id or 0)):
            raise no_answer(path, timeout_s)
        thread.join(timeout_s / _LOOKS)
    if errors:
        raise errors.pop()
    return outcome[0]


def check_answers(paths: Iterable[str | os.PathLike[str]], timeout_s: float) -> None:
    """Raise StoreTimeout if the file system of one of these files, which need not exist, does not answer."""
    asked = ""

    def ask() -> None:
        nonlocal asked
        for path in paths:
            asked = os.fspath(path)
            os.path.lexists(asked)

    try:
        answered("", ask, timeout_s)
    except StoreTimeout as error:
        raise no_answer(asked, timeout_s) from error


class Progress:
    """Whether a thread that waits for files has made no progress for too long."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._seen: tuple[object, int] | None = None
        self._since = 0.0

    def is_over(self, step: object, ticks: int) -> bool:
        """Note what the thread does and the processor time that it has taken; whether nothing has changed for so long."""
        now = time.monotonic()
        if (step, ticks) != self._seen:
            self._seen, self._since = (step, ticks), now
        return now - self._since >= self._timeout_s


def ticks_of(pid: int, thread: int) -> int:
    """Processor time that a thread has taken, in clock ticks; -1 if the system does not tell, or the thread is gone."""
    try:
        text = Path(f"/proc/{pid}/task/{thread}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return -1
    fields = text.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
