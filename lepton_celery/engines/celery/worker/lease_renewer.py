"""Keeps the leases of batches alive from the worker's main process, for as long as the child at work on them lives.

A child's own heartbeat is a thread: compiled code that never lets other Python code run starves it, and the block would be
given to another worker while this one is still at it.
"""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.worker import state

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.canvas import CLOSE, PROCESS
from lepton_celery.errors import LeptonError
from lepton_celery.grid import StageNumber
from lepton_celery.ledger import Ledger, open_ledger

log = logging.getLogger(__name__)


_OVER_S = 0.001
"""The lease of what nobody is at work on any more."""


class KeeperStep(bootsteps.StartStopStep):
    """Looks after leases every second, or more often where they are short, in the worker's event loop."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        settings: Settings = parent.app.conf["lepton"]
        keeper = Keeper(open_ledger(settings.ledger), settings.lease_s)
        self._timer = parent.timer.call_repeatedly(min(1.0, settings.lease_s / 3), keeper.keep)

    def stop(self, parent: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Keeper:
    """Renews the leases of children that live, and ends those of children that died."""

    def __init__(self, ledger: Ledger, lease_s: float) -> None:
        self._ledger, self._lease_s = ledger, lease_s
        self._held: dict[str, tuple[int, str, StageNumber]] = {}
        """The child, job and stage of each owner that was at work at the last look."""
        self._next_renewal = 0.0

    def keep(self) -> None:
        """One look at the worker's children."""
        held: dict[str, tuple[int, str, StageNumber]] = {}
        for request in list(state.active_requests):
            if request.name in (PROCESS, CLOSE) and request.worker_pid:
                job_id, stage = request.args[:2]
                held[owner_of(request.id, request.worker_pid)] = request.worker_pid, job_id, stage
        now = time.monotonic()
        try:
            for owner, (pid, job_id, stage) in (self._held | held).items():
                if not Path(f"/proc/{pid}").exists() and Path("/proc").exists():
                    self._ledger.renew(
                        job_id, stage, owner=owner, lease_s=_OVER_S
                    )  # the next sweep sends its blocks again
                elif owner in held and now >= self._next_renewal and is_at_work(pid):
                    self._ledger.renew(job_id, stage, owner=owner, lease_s=self._lease_s)
        except LeptonError as error:
            log.warning("leases not renewed: %s", error)
            return
        self._held = held
        if now >= self._next_renewal:
            self._next_renewal = now + self._lease_s / 3


def owner_of(task_id: str, pid: int) -> str:
    """Who holds a batch's leases: the message and the process, for a message may come again while its batch is at work."""
    return f"{task_id} {socket.gethostname()} {pid}"


def is_at_work(pid: int | None) -> bool:
    """Whether a process lives and is not stopped (SIGSTOP): a stopped one keeps no block from others."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # it is gone, or this system has no /proc: then the child's own heartbeat has to do
        return False
    return text.rpartition(")")[2].split()[0] not in "TtZX"
