"""Sends lost work again. Every worker has a sweeper; they need no coordination."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError

from lepton_celery.config import LANES, Settings
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.engines.celery.sending.publisher import publisher_of
from lepton_celery.engines.celery.sending.queues import queue_of
from lepton_celery.engines.celery.worker.timer_step import TimerStep
from lepton_celery.errors import BrokerUnreachable, JobError, LeptonError
from lepton_celery.execution.manifest import Manifest
from lepton_celery.grid import Place
from lepton_celery.ledger import JobInfo, JobState, Ledger, open_ledger
from lepton_celery.planning.plan import Plan
from lepton_celery.text import logger

log = logger(__name__)

_MAX_LOST = 256
"""Largest number of lost blocks of a job that are sent again in one sweep."""

_FORGET_EVERY_S = 60.0
"""Longest time, in seconds, between two searches for jobs that ended long ago."""
_MAX_FORGOTTEN = 16
"""Largest number of ended jobs that are forgotten in one search."""

_NEWEST_JOBS = 1000
"""Number of the newest jobs that are checked for a submitter that died."""

_SUBMITTING_S = 6 * 3600.0
"""Longest time, in seconds, that a submission may take with the copies of its inputs."""


class SweeperStep(TimerStep):
    """The sweeper as a part of every worker."""

    def schedule(self, parent: Any) -> tuple[float, Callable[[], None]]:
        settings: Settings = parent.app.conf["lepton"]
        return settings.sweep_s, Sweeper(parent.app, open_ledger(settings.ledger), settings).sweep


class Sweeper:
    """Sends lost blocks and merges of running jobs again, and has jobs forgotten that ended long ago."""

    def __init__(self, app: Celery, ledger: Ledger, settings: Settings) -> None:
        self._app, self._ledger, self._settings = app, ledger, settings
        self._next_forget = 0.0

    def sweep(self) -> None:
        """Check every running job once."""
        try:
            now = self._ledger.clock()
            for job_id in self._ledger.active():
                self._sweep_job(job_id, now)
            if now >= self._next_forget:
                self._next_forget = now + min(_FORGET_EVERY_S, self._settings.retention_s)
                self._forget_jobs(now)
        except (LeptonError, OperationalError) as error:
            log.warning("sweep postponed: %s", error)

    def _sweep_job(self, job_id: str, now: float) -> None:
        try:
            info = self._ledger.info(job_id)
        except JobError:
            return
        if info.state is not JobState.RUNNING:
            return
        # the ledger returns each block with an expired lease to one sweeper only
        lost = self._ledger.reclaim(info.job_id, info.stage, limit=_MAX_LOST)
        self._send_alone(info, lost, "had expired leases; sent again")
        if self._settings.duplicate_after and info.dispatched == info.blocks_total > info.blocks_done > 0:
            self._send_slow(info)
        if now - info.updated_at < self._settings.sweep_s:
            return  # the job has just made progress
        if info.blocks_done == info.blocks_total:
            canvas.send_merge(self._app, info)
        elif not self._has_waiting(info):  # otherwise its messages wait in the queue
            settings, plan = self._settings, self._plan(info)
            sent = canvas.send_unreceipted(self._app, self._ledger, settings, info, plan, limit=settings.wave_batches)
            if sent:
                log.warning("job %s: %d blocks had no receipt and no lease; sent again", info.job_id, sent)

    def _send_alone(self, info: JobInfo, places: list[Place], reason: str) -> None:
        """Send each of these blocks in a message of its own, and log why."""
        if places:
            log.warning("job %s: %d blocks %s", info.job_id, len(places), reason)
            canvas.send_alone(self._app, info, places)

    def _send_slow(self, info: JobInfo) -> None:
        """Send blocks that take far longer than the average of their stage to a second worker, if no message waits."""
        stats = info.stage_stats.get(info.stage, {})
        worked = sum(stats.get(name, 0.0) for name in ("compute_s", "read_s", "write_s"))
        batch_s = worked / info.blocks_done * self._plan(info).stages[info.stage_index].batch_blocks
        older_s = self._settings.duplicate_after * max(batch_s, self._settings.sweep_s)
        if self._has_waiting(info):
            return
        slow = self._ledger.duplicate_slow(info.job_id, info.stage, older_s=older_s, limit=_MAX_LOST)
        self._send_alone(info, slow, "take long; handed to a second worker")

    def _plan(self, info: JobInfo) -> Plan:
        return Manifest.from_json(self._ledger.manifest(info.job_id), self._settings.secret_key, info.job_id).plan

    def _has_waiting(self, info: JobInfo) -> bool:
        """Whether the job's lane has messages that no worker has taken yet."""
        assert info.lane in LANES
        with publisher_of(self._app).connection_for_write() as connection:
            try:
                lane = Queue(queue_of(info.lane), channel=connection.channel())
                # passive: declaring it with other arguments than it has is an error on RabbitMQ
                declared: Any = lane.queue_declare(passive=True)  # a named tuple, whatever the stub says
            except connection.channel_errors:
                return False  # the queue does not exist: Redis removes empty ones
            except connection.connection_errors as error:
                raise BrokerUnreachable(f"the broker does not answer: {error}") from error
            return bool(declared.message_count)

    def _forget_jobs(self, now: float) -> None:
        """Have jobs forgotten that ended long ago, and jobs whose submitter died before everything was in place."""
        for job_id in self._ledger.ended(before_s=self._settings.retention_s)[:_MAX_FORGOTTEN]:
            canvas.send_tidy(self._app, job_id)
        for info in self._ledger.jobs(limit=_NEWEST_JOBS):
            has_begun = info.stage or info.blocks_done or info.dispatched
            if info.state is JobState.PAUSED and not has_begun and now - info.updated_at > _SUBMITTING_S:
                log.warning("job %s was never submitted as a whole; forgotten", info.job_id)
                if self._ledger.cancel(info.job_id):
                    canvas.send_tidy(self._app, info.job_id)
