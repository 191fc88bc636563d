"""Renews the leases of a worker's pool children from its main process, as long as the children live.

It ends a child that waits for a file system that does not answer, and its leases, so that another worker tries.

The heartbeat of a child is a thread. Compiled code that does not release the GIL blocks it, and without renewal another
worker would take over the block while the child still works on it.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from celery import Celery
from celery.worker import state

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.canvas import CLOSE, PROCESS
from lepton_celery.engines.celery.worker.failures import fail_job
from lepton_celery.engines.celery.worker.file_slots import FileSlots
from lepton_celery.engines.celery.worker.timer_step import TimerStep
from lepton_celery.errors import LeptonError, reason_of
from lepton_celery.grid import StageNumber
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.ledger.processes import has_proc, process_stat
from lepton_celery.log_fields import about
from lepton_celery.stores.stalls import Progress, no_answer, set_watch, ticks_of
from lepton_celery.text import logger

log = logger(__name__)

_EXPIRED_LEASE_S = 0.001
"""The lease of a dead child is renewed for this many seconds, so that the next sweep sends its blocks again."""


class LeaseRenewerStep(TimerStep):
    """The lease renewer as a part of every worker; it runs every second, or more often if leases are short."""

    _files: FileSlots

    def create(self, parent: Any) -> None:
        self._files = FileSlots(parent.max_concurrency or parent.concurrency or 1)
        set_watch(self._files)  # for the processes of the pool, which start later

    def schedule(self, parent: Any) -> tuple[float, Callable[[], None]]:
        settings: Settings = parent.app.conf["lepton"]
        renewer = LeaseRenewer(parent.app, open_ledger(settings.ledger), settings, self._files)
        return min(1.0, settings.lease_s / 3), renewer.renew


class _Stalled(NamedTuple):
    """An owner whose process was to be ended."""

    since: float
    reason: str


_Holding = tuple[int, str, StageNumber]
"""The process id of an owner of leases, and the job and the stage that it works on."""


class LeaseRenewer:
    """Renews the leases of children that live, and ends those of children that died or wait for a dead file system."""

    def __init__(self, app: Celery[Any], ledger: Ledger, settings: Settings, files: FileSlots) -> None:
        self._app, self._ledger, self._lease_s = app, ledger, settings.lease_s
        self._files, self._timeout_s = files, settings.store_timeout_s if has_proc() else 0.0
        self._progress: dict[str, Progress] = {}
        self._stalled: dict[str, _Stalled] = {}
        """The owners that were ended because they made no progress, until the kernel has ended their processes."""
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
                if owner in self._stalled:
                    self._fail_abandoned(self._stalled[owner], job_id, number)
                elif stat is None and has_proc():
                    self._ledger.renew(job_id, number, owner=owner, lease_s=_EXPIRED_LEASE_S)
                elif owner in held and stat is not None and stat.state not in "ZXTt" and self._is_stalled(owner, pid):
                    self._end(owner, pid, job_id, number)
                elif owner in held and is_due and stat is not None and stat.state not in "ZXTt":
                    # a stopped child must not keep its blocks; without /proc, only the child's own heartbeat renews leases
                    self._ledger.renew(job_id, number, owner=owner, lease_s=self._lease_s)
        except LeptonError as error:
            log.warning("leases not renewed: %s", error)
            return
        self._before = held
        self._stalled = {owner: self._stalled[owner] for owner in self._stalled.keys() & held.keys()}
        self._progress = {owner: self._progress[owner] for owner in self._progress.keys() & held.keys()}
        if is_due:
            self._next_renewal = now + self._lease_s / 3

    def _is_stalled(self, owner: str, pid: int) -> bool:
        """Whether a child has waited for a file without progress for too long, and was not ended yet."""
        if not self._timeout_s or (use := self._files.in_use(pid)) is None:
            return False
        progress = self._progress.setdefault(owner, Progress(self._timeout_s))
        return progress.is_over(use.since_ns, ticks_of(pid, pid))

    def _end(self, owner: str, pid: int, job_id: str, number: StageNumber) -> None:
        """End a child and its leases; the ledger keeps the reason."""
        use = self._files.in_use(pid)
        if use is None or pid == os.getpid():
            return
        reason = reason_of(no_answer(use.path, self._timeout_s))
        with about(job=job_id):
            log.error("process %d is ended: %s", pid, reason)
        self._ledger.end_owner(job_id, number, owner=owner, reason=reason)
        self._stalled[owner] = _Stalled(time.monotonic(), reason)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _fail_abandoned(self, stalled: _Stalled, job_id: str, number: StageNumber) -> None:
        """End a job on which nobody works any more because the kernel does not let the processes go that wait for files.

        Each of them counts as an attempt. But once a worker has no other process, none is left to try again.
        """
        long_s = max(self._timeout_s, 2 * self._lease_s)  # in which another process would have taken the blocks
        if time.monotonic() - stalled.since < long_s:
            return
        idle_s = self._ledger.clock() - self._ledger.info(job_id).updated_at
        if idle_s >= long_s:
            reason = f"{stalled.reason}; nobody else has worked on it for {idle_s:.0f} s"
            fail_job(self._app, self._ledger, job_id, number, reason)


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
