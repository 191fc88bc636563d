"""Memory in which each pool process notes the file that it reads or writes, for the worker's main process.

A process that waits for a dead file system can tell nobody. It may even hold the interpreter's lock, if it waits for a page
of a memory map.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import NamedTuple

from billiard.process import current_process

from lepton_celery.stores.stalls import FileWatch

_HEADER = struct.Struct("=qqH")
"""Process id, time by the monotonic clock in nanoseconds, and bytes of the path; 0 bytes while it uses no file."""
_SLOT_BYTES = 512
_MAX_PATH_BYTES = _SLOT_BYTES - _HEADER.size
_LEAST_SLOTS = 256
"""Number of pool processes that a worker may grow to by remote control and still watch all of them."""


class FileUse(NamedTuple):
    """What a process noted last."""

    since_ns: int
    path: str


class FileSlots(FileWatch):
    """Made in a worker's main process before its pool: the processes of the pool inherit the memory."""

    def __init__(self, processes: int) -> None:
        self._count = max(processes, _LEAST_SLOTS)
        self._memory = mmap.mmap(-1, self._count * _SLOT_BYTES)  # shared, and zeros take no room
        self._pid = self._start = -1
        self._path = ""

    def begin(self, path: str) -> str:
        before, self._path = self._path, path
        self._note(path)
        return before

    def end(self, before: str) -> None:
        self._path = before
        self._note(before)

    def _note(self, path: str) -> None:
        if self._pid != (pid := os.getpid()):
            index = getattr(current_process(), "index", self._count)  # of a process of the pool; others have none
            self._pid, self._start = pid, index * _SLOT_BYTES if 0 <= index < self._count else -1
        if (start := self._start) < 0:
            return
        name = os.fsencode(path)[:_MAX_PATH_BYTES]
        _HEADER.pack_into(self._memory, start, pid, time.monotonic_ns(), len(name))
        start += _HEADER.size
        self._memory[start : start + len(name)] = name

    def in_use(self, pid: int) -> FileUse | None:
        """The file that a process reads or writes; None if it uses none, or is not known."""
        for start in range(0, self._count * _SLOT_BYTES, _SLOT_BYTES):
            noted_by, since_ns, length = _HEADER.unpack_from(self._memory, start)
            if noted_by == pid:
                start += _HEADER.size
                return FileUse(since_ns, os.fsdecode(self._memory[start : start + length])) if length else None
        return None
