"""The local stack of a folder, as other processes find it: a file in the state folder names its broker."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from lepton_celery.stores.documents import from_document

STACK_FILE = "stack.json"
"""Name of that file."""

_PROC = Path("/proc")  # not on macOS


@dataclass(frozen=True, slots=True)
class StackInfo:
    """What another process needs to know of a running stack."""

    pid: int
    """The process that owns the stack; SIGTERM or SIGINT to it ends the stack if it asked for that."""
    started: str
    """When that process started, in the system's own terms: tells it from a later one of the same pid."""
    broker_url: str = field(repr=False)
    """With its password."""
    flower_url: str | None
    app: str
    """The Celery application module the workers run."""
    settings: str
    """The name of the settings they run with."""
    processes: dict[str, int]
    """Process ids by name: server, worker-1, worker-2, ..., flower."""


def read_running(directory: Path) -> StackInfo | None:
    """The stack that runs on this state folder; None when there is none, or only the file of one that died."""
    try:
        document = json.loads((directory / STACK_FILE).read_text(encoding="utf-8"))
        info = from_document(document, StackInfo, STACK_FILE)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return info if info.started and process_started(info.pid) == info.started else None


def process_started(pid: int) -> str | None:
    """When the process started, as a text that two processes of one pid never share; None when it does not live."""
    if _PROC.exists():
        try:
            stat = (_PROC / f"{pid}/stat").read_text(encoding="utf-8", errors="replace")
            boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # proc(5): "pid (name) state ..."; the name may hold anything; field 22 is the start in ticks since boot
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in "ZX" else f"{boot}:{fields[18]}"
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None
