"""Notes in the ledger which lanes a worker serves, so that a job whose lane nobody serves does not wait without a word.

The notes also tell autoscalers how many slots there are, and which of the workers size themselves.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from lepton_celery import __version__
from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.queues import served_lanes
from lepton_celery.engines.celery.worker.timer_step import TimerStep
from lepton_celery.errors import LeptonError
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.lanes import WorkerProcesses
from lepton_celery.ledger.processes import resident_bytes
from lepton_celery.text import logger

log = logger(__name__)

_SHORTEST_NOTE_S = 5.0
"""A note is valid for at least this many seconds, because a busy worker may be late with the next one."""


class ServingStep(TimerStep):
    """Notes the lanes and the slots when the worker starts, then with each sweep, and that it serves none when it stops."""

    def schedule(self, parent: Any) -> tuple[float, Callable[[], None]]:
        settings: Settings = parent.app.conf["lepton"]
        note_serving(parent)
        return settings.sweep_s, lambda: note_serving(parent)

    def stop(self, parent: Any) -> None:
        super().stop(parent)
        note_serving(parent, has_ended=True)


def note_serving(worker: Any, *, has_ended: bool = False) -> None:
    """Note which lanes a worker serves, with how many slots, until the note of its next sweeps; or that it has ended."""
    settings: Settings = worker.app.conf["lepton"]
    at_first = worker.min_concurrency if worker.autoscale else worker.concurrency
    slots = int(getattr(worker.pool, "num_processes", None) or at_first or 1)
    limits = getattr(getattr(worker, "autoscaler", None), "limits", None)  # only that of this package has some
    for_s = 0.0 if has_ended else max(_SHORTEST_NOTE_S, 5 * settings.sweep_s)
    try:
        open_ledger(settings.ledger).serve(
            worker.hostname,
            served_lanes(worker.app),
            slots=slots,
            for_s=for_s,
            limits=limits,
            release=__version__,
            processes=_processes(worker.pool),
        )
    except LeptonError as error:
        log.warning("the ledger does not know which lanes this worker serves: %s", error)


def _processes(pool: Any) -> WorkerProcesses:
    """The processes of this worker, of which this is the main one."""
    info: Any = getattr(
        pool, "info", None
    )  # of a pool that has not started yet, or of another kind, it may be anything
    found = info.get("processes") if isinstance(info, dict) else None
    pids = [pid for pid in found if isinstance(pid, int)] if isinstance(found, list) else []
    memory = sum(map(resident_bytes, {os.getpid(), *pids}))
    return WorkerProcesses(socket.gethostname(), tuple(pids or [os.getpid()]), memory)
