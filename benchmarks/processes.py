"""Finds the processes of a driver by a mark in their environment, measures them and ends them."""

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
"""Samples between two searches for new processes."""


def marked(mark: str) -> list[int]:
    """All processes that inherited the mark, whoever their parent is now."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def kill_marked(mark: str, timeout_s: float = 10.0) -> None:
    """Kill the processes that carry a driver's mark, which only its descendants inherit."""
    deadline = time.monotonic() + timeout_s
    while (left := marked(mark)) and time.monotonic() < deadline:
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _figure(path: str, name: str) -> int:
    """A value in kB of a file in /proc, as bytes; 0 for a process that has ended."""
    with suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0


def anonymous_bytes(pid: int) -> int:
    """Anonymous resident memory of a process, including pages that it shares since a fork."""
    return _figure(f"/proc/{pid}/status", "RssAnon:")


def own_share_bytes(pid: int) -> int:
    """Anonymous memory of a process, with shared pages divided among their processes (PSS). This is slow to read."""
    return _figure(f"/proc/{pid}/smaps_rollup", "Pss_Anon:")


def children(pid: int) -> list[int]:
    """The living children of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry.name))
    return found


def available_bytes() -> int:
    """Memory of the machine that is still available."""
    return _figure("/proc/meminfo", "MemAvailable:")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and of its ended children."""
    with suppress(OSError):
        # the name is in parentheses and may contain any character
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS
    return 0.0


def busy_seconds() -> float:
    """Processor time that the machine has spent since it started."""
    user, nice, system, _, _, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / _TICKS


class Parts:
    """Samples the anonymous memory of groups of processes while the `with` block runs."""

    def __init__(self, groups: Mapping[str, Sequence[int]], *, every_s: float = 0.01) -> None:
        self.before = {name: _largest(pids) for name, pids in groups.items()}
        """Bytes of the largest process of each group before the block."""
        self.peak = dict(self.before)
        """Peak bytes of any process of each group."""
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
        """The peak of a group less its memory before the block."""
        return self.peak[name] - self.before[name]

    def _sample(self) -> None:
        has_ended = False
        while not has_ended:
            has_ended = self._ended.wait(self._every_s)  # one sample more then: a short block may have had none
            for name, pids in self._groups.items():
                self.peak[name] = max(self.peak[name], _largest(pids))


def _largest(pids: Sequence[int]) -> int:
    return max(map(anonymous_bytes, pids), default=0)


class Watch:
    """Measures all marked processes together while the `with` block runs."""

    def __init__(self, mark: str) -> None:
        self.peak_bytes = 0
        """Peak of their anonymous memory."""
        self.cpu_s = 0.0
        self.foreign = 0.0
        """Average number of processors that other programs used meanwhile, our own sampling included."""
        self._mark = mark
        self._pids = marked(mark)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        # pages that workers share since their fork would otherwise be counted once for each worker
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
