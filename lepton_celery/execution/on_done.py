"""The tasks that a job's `on_done` names, as plain data in its manifest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lepton_celery.limits import Text


@dataclass(frozen=True)
class TaskToSend:
    """A Celery task by its name, with arguments and options that are JSON values."""

    name: Text
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    immutable: bool = False
    """Whether it takes its own arguments only."""


@dataclass(frozen=True)
class OnDone:
    """The tasks that are sent when a job has ended."""

    tasks: tuple[TaskToSend, ...]
    is_chain: bool = False
    """Whether each task is sent when the one before it has succeeded; otherwise all are sent at once."""
