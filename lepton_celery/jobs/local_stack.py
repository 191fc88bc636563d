"""The local stack of a folder, as other processes find it: a file in the state folder names its broker."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from lepton_celery.ledger.processes import process_started

STACK_FILE = "stack.json"
"""Name of that file."""


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
        info = StackInfo(**json.loads((directory / STACK_FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    return info if info.started and process_started(info.pid) == info.started else None
