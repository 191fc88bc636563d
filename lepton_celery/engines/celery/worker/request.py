"""A message in a worker's main process: what happens when the task ends, or the pool process that works on it dies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from billiard.einfo import ExceptionWithTraceback  # type: ignore[attr-defined]  # not in its stubs
from celery.exceptions import WorkerLostError
from celery.worker import state
from celery.worker.request import Request

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.canvas import CLOSE, PROCESS
from lepton_celery.engines.celery.worker.failures import stop_hopeless
from lepton_celery.engines.celery.worker.lease_renewer import owner_of
from lepton_celery.errors import LeptonError
from lepton_celery.grid import StageNumber
from lepton_celery.ledger import open_ledger
from lepton_celery.log_fields import about
from lepton_celery.text import logger

log = logger(__name__)


class JobRequest(Request):
    """A message whose leases end at once when its process dies, and that is acknowledged whatever else fails.

    The ledger notes which blocks ended their process. A job of which too many do is stopped.
    """

    # of the base class; its stubs do not know them
    _already_cancelled: bool
    _already_revoked: bool

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Handle an exception of the task, or the end of its process."""
        with self._about():
            if _is_end_of_process(exc_info.exception) and not self._ended_on_purpose:
                self._end_leases()
            handle = super().on_failure
            self._and_acknowledge(handle, exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Handle the end of the time that the project's limits give."""
        with self._about():
            self._and_acknowledge(super().on_timeout, soft, timeout)

    def _about(self) -> AbstractContextManager[None]:
        """What lines of the log about this message are about."""
        first = next(iter(self.args or ()), "")
        return about(job=first if isinstance(first, str) else "")

    @property
    def _ended_on_purpose(self) -> bool:
        """Whether this worker ended the process: it stops, or the message was revoked or will come again."""
        codes = [getattr(state, name) for name in ("should_stop", "should_terminate")]
        stops = any(code is not None and code is not False for code in codes)  # 0 is the code of a worker that stops
        return stops or self._already_cancelled or self._already_revoked

    def _end_leases(self) -> None:
        """End the leases of the process that died, so that its blocks need not wait until they expire."""
        pid: Any = self.worker_pid  # None until a process has accepted the message
        if self.name not in (PROCESS, CLOSE) or not pid:
            return
        settings: Settings = self.task.app.conf["lepton"]
        try:
            job_id, number = str(self.args[0]), StageNumber(int(self.args[1]))
            ledger = open_ledger(settings.ledger)
            losses = ledger.end_owner(job_id, number, owner=owner_of(self.id, pid))
            stop_hopeless(self.task.app, ledger, job_id, number, losses)
        except (LeptonError, LookupError, ValueError) as error:  # the leases expire
            log.warning("a process died, and its leases are not ended: %s", error)

    def _and_acknowledge(self, handle: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Handle an end of the task. If that fails, acknowledge the message all the same.

        Celery counts a chord, sends events and retries before it acknowledges, each of which a server that is full or read
        only refuses. A worker holds a message that is not acknowledged, and takes no other in its place. What the message
        asked for is in the ledger.
        """
        try:
            handle(*arguments, **options)
        except Exception as error:  # of Celery, of the backend's client or of a receiver of a signal
            log.warning("the end of task %s is not told to Celery: %s", self.id, error)
            self.acknowledge()


def _is_end_of_process(error: BaseException) -> bool:
    if isinstance(error, ExceptionWithTraceback):
        error = error.exc
    return isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt)
