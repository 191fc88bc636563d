"""Repairs what lost messages leave behind; part of every worker, and harmless when many sweep at once."""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery, bootsteps
from kombu import Queue
from kombu.exceptions import OperationalError

from lepton_celery.config import LANES, Settings
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.engines.celery.sending.queues import queue_of
from lepton_celery.errors import BrokerUnreachable, JobError, LeptonError
from lepton_celery.execution.manifest import Manifest
from lepton_celery.grid import Place
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.base import Ledger
from lepton_celery.ledger.info import JobInfo, JobState
from lepton_celery.planning.batches import alone, batches
from lepton_celery.planning.plan import Plan

log = logging.getLogger(__name__)

_MOST_LOST = 256
"""Lost blocks of a job sent again in one sweep."""

_TIDY_EVERY_S = 60.0
_MOST_TIDIED = 16
"""Ended jobs removed at a time."""

_NEWEST = 1000
"""Jobs looked at for submitters that died."""

_SUBMITTING_S = 6 * 3600.0
"""Longest that copying a job's inputs may take."""


class SweeperStep(bootsteps.StartStopStep):
    """Sweeps every few seconds in the worker's event loop.

    Not a thread: the pool forks new children whenever it grows, and a fork must not meet a thread that holds a lock.
    """

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        settings: Settings = parent.app.conf["lepton"]
        sweeper = Sweeper(parent.app, open_ledger(settings.ledger), settings)
        self._timer = parent.timer.call_repeatedly(settings.sweep_s, sweeper.sweep)

    def stop(self, parent: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Sweeper:
    """Looks at all running jobs and sends again what nobody is working on; now and then, removes what ended long ago."""

    def __init__(self, app: Celery, ledger: Ledger, settings: Settings) -> None:
        self._app, self._ledger, self._settings = app, ledger, settings
        self._next_tidy = 0.0

    def sweep(self) -> None:
        """One look at every running job."""
        try:
            now = self._ledger.clock()
            for job_id in self._ledger.active():
                self._look(job_id, now)
            if now >= self._next_tidy:
                self._next_tidy = now + min(_TIDY_EVERY_S, self._settings.retention_s)
                self._tidy(now)
        except (LeptonError, OperationalError) as error:
            log.warning("sweep put off: %s", error)

    def _look(self, job_id: str, now: float) -> None:
        try:
            info = self._ledger.info(job_id)
        except JobError:
            return
        if info.state is not JobState.RUNNING:
            return
        self._send_lost(info)
        if self._settings.duplicate_after and info.dispatched == info.blocks_total > info.blocks_done > 0:
            self._send_slow(info)
        if now - info.updated_at < self._settings.sweep_s:
            return  # something happened to it just now
        if info.blocks_done == info.blocks_total:
            canvas.send_merge(self._app, info)
            return
        if not self._waiting(info):  # else its messages are in the queue: it waits for its turn
            self._send_again(info)

    def _send_lost(self, info: JobInfo) -> None:
        """Blocks whose worker is gone: the answer names each once, so that only one worker sends it again."""
        lost = self._ledger.reclaim(info.job_id, info.stage, limit=_MOST_LOST)
        if lost:
            log.warning("job %s: %d blocks had leases that are over; sent again", info.job_id, len(lost))
            canvas.send_wave(self._app, info, alone(map(Place, lost)))

    def _send_slow(self, info: JobInfo) -> None:
        """Blocks that take far longer than others of their stage, for a worker that has nothing else to do in it."""
        stats = info.stage_stats.get(info.stage, {})
        worked = sum(stats.get(name, 0.0) for name in ("compute_s", "read_s", "write_s"))
        stage = self._plan(info).stages[info.stage_index]
        batch_s = worked / info.blocks_done * stage.batch_blocks
        older_s = self._settings.duplicate_after * max(batch_s, self._settings.sweep_s)
        if self._waiting(info):
            return  # there is other work
        slow = self._ledger.duplicate_slow(info.job_id, info.stage, older_s=older_s, limit=_MOST_LOST)
        if slow:
            log.warning("job %s: %d blocks take long; handed to others too", info.job_id, len(slow))
            canvas.send_wave(self._app, info, alone(map(Place, slow)))

    def _plan(self, info: JobInfo) -> Plan:
        return Manifest.from_json(self._ledger.manifest(info.job_id)).plan

    def _tidy(self, now: float) -> None:
        """Have ended jobs removed, and those whose submitter died before it had all in place."""
        for job_id in self._ledger.ended(before_s=self._settings.retention_s)[:_MOST_TIDIED]:
            canvas.send_tidy(self._app, job_id)
        for info in self._ledger.jobs(limit=_NEWEST):
            begun = info.stage or info.blocks_done or info.dispatched
            if info.state is JobState.PAUSED and not begun and now - info.updated_at > _SUBMITTING_S:
                log.warning("job %s was never submitted as a whole; removed", info.job_id)
                if self._ledger.cancel(info.job_id):
                    canvas.send_tidy(self._app, info.job_id)

    def _waiting(self, info: JobInfo) -> bool:
        """Whether the job's lane has messages that no worker has taken yet."""
        assert info.lane in LANES
        with self._app.connection_for_read() as connection:
            try:
                lane = Queue(queue_of(info.lane), channel=connection.channel())
                # only asked for: declaring it with other arguments than it has is an error on RabbitMQ
                found: Any = lane.queue_declare(passive=True)  # a named tuple, whatever the stub says
            except connection.channel_errors:
                return False  # there is no such queue yet; Redis has none that is empty
            except connection.connection_errors as error:
                raise BrokerUnreachable(f"the broker does not answer: {error}") from error
            return bool(found.message_count)

    def _send_again(self, info: JobInfo) -> None:
        plan = self._plan(info)
        stage = plan.stages[info.stage_index]
        limit = self._settings.wave_batches * stage.batch_blocks
        lost = self._ledger.unreceipted(info.job_id, info.stage, limit=limit)
        if lost:
            log.warning("job %s: %d blocks had no receipt and no lease; sent again", info.job_id, len(lost))
            canvas.send_wave(self._app, info, batches(stage, plan.workers, lost))
        canvas.fill_window(self._app, self._ledger, self._settings, info, plan)
