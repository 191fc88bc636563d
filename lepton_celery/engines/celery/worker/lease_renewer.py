"""Renews the leases of a worker's pool children from its main process, as long as the children live.

The heartbeat of a child is a thread. Compiled code that does not release the GIL blocks it, and without renewal another
worker would take over the block while the child still works on it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

from celery.worker import state

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.canvas import CLOSE, PROCESS
from lepton_celery.engines.celery.worker.timer_step import TimerStep
from lepton_celery.errors import LeptonError
from lepton_celery.grid import StageNumber
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.ledger.processes import has_proc, process_stat
from lepton_celery.text import logger

log = logger(__name__)

_EXPIRED_LEASE_S = 0.001
"""The lease of a dead child is renewed for this many seconds, so that the next sweep sends its blocks again."""


class LeaseRenewerStep(TimerStep):
    """The lease renewer as a part of every worker; it runs every second, or more often if leases are short."""

    def schedule(self, parent: Any) -> tuple[float, Callable[[], None]]:
        settings: Settings = parent.app.conf["lepton"]
        renewer = LeaseRenewer(open_ledger(settings.ledger), settings.lease_s)
        return min(1.0, settings.lease_s / 3), renewer.renew


_Holding = tuple[int, str, StageNumber]
"""The process id of an owner of leases, and the job and the stage that it works on."""


class LeaseRenewer:
    """Renews the leases of children that live, and ends those of children that died."""

    def __init__(self, ledger: Ledger, lease_s: float) -> None:
        self._ledger, self._lease_s = ledger, lease_s
        self._before: dict[str, _Holding] = {}
        """The owners that the last call of `renew` found."""
        self._next_renewal = 0.0

    def renew(self) -> None:
        """Check the worker's children once."""
        held = _holdings()
        now = time.monotonic()
        is_due = now >= self._next_renewal
        try:
            for owner, (pid, job_id, number) in (self._before | held).items():
                stat = process_stat(pid)
                if stat is None and has_proc():
                    self._ledger.renew(job_id, number, owner=owner, lease_s=_EXPIRED_LEASE_S)
                elif owner in held and is_due and stat is not None and stat.state not in "ZXTt":
                    # a stopped child must not keep its blocks; without /proc, only the child's own heartbeat renews leases
                    self._ledger.renew(job_id, number, owner=owner, lease_s=self._lease_s)
        except LeptonError as error:
            log.warning("leases not renewed: %s", error)
            return
        self._before = held
        if is_due:
            self._next_renewal = now + self._lease_s / 3


def _holdings() -> dict[str, _Holding]:
    """The owners of leases in this worker's children."""
    return {
        owner_of(request.id, request.worker_pid): (request.worker_pid, request.args[0], StageNumber(request.args[1]))
        for request in list(state.active_requests)
        if request.name in (PROCESS, CLOSE) and request.worker_pid
    }


def owner_of(task_id: str, pid: int) -> str:
    """The owner of a batch's leases: message and process, as a message may be redelivered while its batch is running."""
    return f"{task_id} {socket.gethostname()} {pid}"
