"""A driver's processes: found by a mark in their environment, measured, and ended when they must be."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

MARK = "BENCHMARK_MARK"
_SAMPLE_S = 0.03
_TICKS = os.sysconf("SC_CLK_TCK")
_SEARCH_EVERY = 25
"""Samples between two looks for new processes."""


def marked(mark: str) -> list[int]:
    """All processes that inherited the mark, wherever in the tree they have gone."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def kill_marked(mark: str, timeout_s: float = 10.0) -> None:
    """End what is left of a driver; what it started carries its mark, and nothing else does."""
    deadline = time.monotonic() + timeout_s
    while (left := marked(mark)) and time.monotonic() < deadline:
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _figure(path: str, name: str) -> int:
    """A figure of a file of /proc that is given in kB; 0 for a process that is gone."""
    with suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0


def anonymous_bytes(pid: int) -> int:
    """Memory of a process that is no file's, pages that it shares since a fork included."""
    return _figure(f"/proc/{pid}/status", "RssAnon:")


def own_share_bytes(pid: int) -> int:
    """The same, with a page that two processes share counted as a half; takes long to find out."""
    return _figure(f"/proc/{pid}/smaps_rollup", "Pss_Anon:")


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry.name))
    return found


def available_bytes() -> int:
    """Memory that programs could still have."""
    return _figure("/proc/meminfo", "MemAvailable:")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and of those children of it that have ended."""
    with suppress(OSError):
        # the name stands in parentheses and may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS
    return 0.0


def busy_seconds() -> float:
    """Processor time of everything on the machine since it started."""
    user, nice, system, _, _, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / _TICKS


class Parts:
    """The anonymous memory of named groups of processes while the `with` block runs, process by process."""

    def __init__(self, groups: Mapping[str, Sequence[int]], *, every_s: float = 0.01) -> None:
        self.before = {name: _largest(pids) for name, pids in groups.items()}
        """That of a group's largest process, before."""
        self.peak = dict(self.before)
        """The most that one process of a group had at a time."""
        self._groups = groups
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def grown(self, name: str) -> int:
        """How much more the largest process of a group had than before."""
        return self.peak[name] - self.before[name]

    def _sample(self) -> None:
        while not self._ended.wait(self._every_s):
            for name, pids in self._groups.items():
                self.peak[name] = max(self.peak[name], _largest(pids))


def _largest(pids: Sequence[int]) -> int:
    return max(map(anonymous_bytes, pids), default=0)


class Watch:
    """What all marked processes take together while the `with` block runs."""

    def __init__(self, mark: str) -> None:
        self.peak_bytes = 0
        """Largest memory."""
        self.cpu_s = 0.0
        """Processor time."""
        self.foreign = 0.0
        """Processors that others used meanwhile, on average; our own sampling among them."""
        self._mark = mark
        self._pids = marked(mark)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        # pages shared since the workers' fork would be counted for each of them
        self._twice = sum(anonymous_bytes(pid) - own_share_bytes(pid) for pid in self._pids)
        self._begun = (time.perf_counter(), busy_seconds(), sum(map(cpu_seconds, self._pids)))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wall, busy, cpu = self._begun
        self._ended.set()
        self._thread.join()
        self.cpu_s = max(0.0, sum(map(cpu_seconds, self._pids)) - cpu)
        self.foreign = max(0.0, busy_seconds() - busy - self.cpu_s) / max(1e-9, time.perf_counter() - wall)

    def _sample(self) -> None:
        at = 0
        while True:
            self.peak_bytes = max(self.peak_bytes, sum(map(anonymous_bytes, self._pids)) - self._twice)
            if self._ended.wait(_SAMPLE_S):
                return
            at += 1
            if at % _SEARCH_EVERY == 0:
                self._pids = sorted({*self._pids, *marked(self._mark)})
