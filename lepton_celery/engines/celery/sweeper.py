"""Repairs what lost messages leave behind; part of every worker, and harmless when many sweep at once."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import Celery, bootsteps
from kombu import Queue

from lepton_celery import manifest
from lepton_celery.config import LANES, Settings
from lepton_celery.engines.celery import canvas
from lepton_celery.engines.celery.defaults import queue_of
from lepton_celery.errors import JobError, LeptonError
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.base import JobInfo, JobState, Ledger

log = logging.getLogger(__name__)


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
    """Looks at all running jobs and sends again what nobody is working on."""

    def __init__(self, app: Celery, ledger: Ledger, settings: Settings) -> None:
        self._app, self._ledger, self._settings = app, ledger, settings

    def sweep(self) -> None:
        """One look at every running job."""
        try:
            for job_id in self._ledger.active():
                self._look(job_id)
        except LeptonError as error:
            log.warning("sweep put off: %s", error)

    def _look(self, job_id: str) -> None:
        try:
            info = self._ledger.info(job_id)
        except JobError:
            return
        if info.state is not JobState.RUNNING or time.time() - info.updated_at < self._settings.sweep_s:
            return  # something happened to it just now
        if info.blocks_done == info.blocks_total:
            canvas.send_merge(self._app, info)
            return
        if self._waiting(info):
            return  # its messages are in the queue: it waits for its turn
        self._send_again(info)

    def _waiting(self, info: JobInfo) -> bool:
        """Whether the job's lane has messages that no worker has taken yet."""
        assert info.lane in LANES
        with self._app.connection_for_read() as connection:
            lane = Queue(queue_of(info.lane), channel=connection.default_channel)
            found: Any = lane.queue_declare(passive=False)  # a named tuple, whatever the stub says
            return bool(found.message_count)

    def _send_again(self, info: JobInfo) -> None:
        found = manifest.Manifest.from_json(self._ledger.manifest(info.job_id))
        batch_blocks = found.plan.stages[found.plan.place(info.stage)[0]].batch_blocks
        limit = self._settings.wave_batches * batch_blocks
        lost = self._ledger.unreceipted(info.job_id, info.stage, limit=limit)
        if lost:
            log.warning("job %s: %d blocks had no receipt and no lease; sent again", info.job_id, len(lost))
            canvas.send_wave(self._app, info, lost, batch_blocks)
        canvas.fill_window(self._app, self._ledger, self._settings, info.job_id, info.stage, batch_blocks)
