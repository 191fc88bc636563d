"""Finds the local stack of a folder by a file in its state folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from lepton_celery.ledger.processes import process_started
from lepton_celery.stores.documents import from_document

STACK_FILE = "stack.json"
"""Name of the file in the state folder."""


@dataclass(frozen=True, slots=True)
class StackInfo:
    """A running local stack, as it describes itself to other processes."""

    pid: int
    """Id of the process that owns the stack. SIGINT ends the stack, and SIGTERM if the owner called `stop_on_signals`."""
    started: str
    """The start time of that process (`process_started`), which distinguishes it from a later one with the same id."""
    broker_url: str = field(repr=False)
    """The broker's URL with its password."""
    flower_url: str | None
    app: str
    """The module of the Celery application that the workers run."""
    settings: str
    """The name of the workers' settings module."""
    processes: dict[str, int]
    """Process ids by name: server, worker-1, worker-2, ..., flower."""


def read_running(directory: Path) -> StackInfo | None:
    """The running stack of a state folder; None if there is none, or if the process in its file is dead."""
    try:
        document = json.loads((directory / STACK_FILE).read_text(encoding="utf-8"))
        info = from_document(document, StackInfo, STACK_FILE)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return info if info.started and process_started(info.pid) == info.started else None
