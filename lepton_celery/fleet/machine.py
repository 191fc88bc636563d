"""What a machine, or the container that this process is in, has of memory and processors, and what workers use of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from lepton_celery.fleet.load import Resource

_CGROUPS = Path("/sys/fs/cgroup")
_LEAST_SLOT_BYTES = 128 << 20
"""What a slot is taken to need at least: one that has just started has used little."""
_NO_LIMIT = 1 << 60
"""Version 1 of cgroups writes about this number of bytes where there is no limit."""


def memory_limits(own: Path = Path("/proc/self/cgroup"), root: Path = _CGROUPS) -> list[tuple[int, int]]:
    """Limit and use, in bytes, of each cgroup above this process that limits its memory."""
    found = []
    for folder in _folders(own, root, "memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
        if limit is not None and used is not None and limit < _NO_LIMIT:
            found.append((limit, max(0, used - _reclaimable(folder))))
    return found


def processors(own: Path = Path("/proc/self/cgroup"), root: Path = _CGROUPS) -> float:
    """The processors that this process may use, of which a cgroup may allow a part."""
    allowed = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    for folder in _folders(own, root, "cpu"):
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        with suppress(OSError, ValueError):
            first, second = (folder / "cpu.max").read_text().split()
            quota, period = int(first), int(second)  # `max` is no number
        if quota and period and quota > 0:
            allowed = min(allowed, quota / period)
    return allowed


class Usage:
    """What worker processes use; it measures from one call to the next."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._seconds: dict[int, float] = {}
        """Processor time of each process at the last call."""

    def measure(self, pids: Iterable[int], busy: int, *, others: int = 0) -> tuple[Resource | None, Resource]:
        """Memory, if its limit is known, and processors, of which only the use of workers counts.

        Other programs do not keep workers from their share of the processors, but they do keep them from memory.

        Args:
            pids: the processes that do the work.
            busy: how many of them work.
            others: how many slots of other workers work on this machine, each taken to use as much as one of these.
        """
        seconds, largest = {}, _LEAST_SLOT_BYTES
        for pid in pids:
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                times, memory = process.cpu_times(), process.memory_info()
                seconds[pid] = times.user + times.system
                largest = max(largest, memory.rss - getattr(memory, "shared", 0))
        now = time.monotonic()
        spent_s = sum(seconds[pid] - self._seconds[pid] for pid in seconds.keys() & self._seconds.keys())
        used = max(0.0, spent_s) / max(1e-3, now - self._at)
        self._at, self._seconds = now, seconds
        memory_ = [
            Resource(limit, min(used_bytes, limit), largest) for limit, used_bytes in [*memory_limits(), _machine()]
        ]
        scarcest = min(memory_, key=lambda resource: resource.limit - resource.used)
        per_slot = min(1.0, used / busy) if busy else 0.0
        return scarcest, Resource(processors(), used + others * per_slot, round(per_slot, 3))


def _machine() -> tuple[int, int]:
    """Memory of the machine in bytes, and what of it is not available."""
    memory = psutil.virtual_memory()
    return memory.total, memory.total - memory.available


def _folders(own: Path, root: Path, controller: str) -> list[Path]:
    """The folders of a process's cgroup and of those above it, which limit it too."""
    try:
        lines = own.read_text().splitlines()
    except OSError:  # not on Linux
        return []
    folders: dict[Path, None] = {}
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            base = root
        elif controller in controllers.split(","):
            base = root / controller
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for count in range(len(parts), -1, -1):
            folders[base.joinpath(*parts[:count])] = None
    return list(folders)


def _reclaimable(folder: Path) -> int:
    """Bytes of a cgroup that hold files which were not used lately: the kernel drops them when memory is needed."""
    with suppress(OSError, ValueError):
        fields = dict(line.split(maxsplit=1) for line in (folder / "memory.stat").read_text().splitlines())
        return int(fields.get("total_inactive_file") or fields.get("inactive_file") or 0)
    return 0


def _number(file: Path) -> int | None:
    """The number in a file; None if there is no file, or no number in it, such as `max`."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
