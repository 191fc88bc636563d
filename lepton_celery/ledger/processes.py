"""Whether a process of this machine is alive, and when it started."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class ProcessStat(NamedTuple):
    """The state of a process, which may have ended but not been waited for."""

    state: str
    """One letter, as in proc(5): Z and X for a process that has ended, T and t for one that is stopped."""
    start_ticks: str
    """When the process started, in clock ticks since the system booted."""


def has_proc() -> bool:
    """Whether this system describes its processes in /proc, as Linux does and macOS does not."""
    return _PROC.exists()


def process_stat(pid: int) -> ProcessStat | None:
    """The state of a process; None if it is gone, or if the system has no /proc."""
    try:
        text = (_PROC / f"{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # "pid (name) state ..."; the name may contain anything, and field 22 is the start
    state, *fields = text.rpartition(")")[2].split()
    return ProcessStat(state, fields[18])


def process_started(pid: int) -> str | None:
    """The start time of a process, as text that distinguishes processes with the same pid; None if the process is dead."""
    if has_proc():
        stat = process_stat(pid)
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{stat.start_ticks}" if stat is not None and stat.state not in "ZX" else None
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def resident_bytes(pid: int) -> int:
    """Memory of a process in RAM, with what it shares with others; 0 if it is gone, or if the system has no /proc."""
    try:
        return int((_PROC / f"{pid}/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except (FileNotFoundError, ProcessLookupError, IndexError, ValueError):
        return 0
