"""Keeps the leases of batches alive from the worker's main process, for as long as the child at work on them lives.

A child's own heartbeat is a thread: compiled code that never lets other Python code run starves it, and the block would be
given to another worker while this one is still at it.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.worker import state

from lepton_celery.config import Settings
from lepton_celery.engines.celery.canvas import CLOSE, PROCESS
from lepton_celery.errors import LeptonError
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.base import Ledger

log = logging.getLogger(__name__)


class KeeperStep(bootsteps.StartStopStep):
    """Renews leases every third of their time, in the worker's event loop."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        settings: Settings = parent.app.conf["lepton"]
        ledger = open_ledger(settings.ledger)
        self._timer = parent.timer.call_repeatedly(settings.lease_s / 3, keep, (ledger, settings.lease_s))

    def stop(self, parent: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def keep(ledger: Ledger, lease_s: float) -> None:
    """Renew the leases of what this worker's children are at work on."""
    for request in list(state.active_requests):
        if request.name in (PROCESS, CLOSE) and is_at_work(request.worker_pid):
            job_id, stage = request.args[:2]
            try:
                ledger.renew(job_id, stage, owner=request.id, lease_s=lease_s)
            except LeptonError as error:
                log.warning("leases of job %s not renewed: %s", job_id, error)
                return


def is_at_work(pid: int | None) -> bool:
    """Whether a process lives and is not stopped (SIGSTOP): a stopped one keeps no block from others."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # it is gone, or this system has no /proc: then the child's own heartbeat has to do
        return False
    return text.rpartition(")")[2].split()[0] not in "TtZX"
