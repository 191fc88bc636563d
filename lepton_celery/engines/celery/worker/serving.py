"""Notes in the ledger which lanes a worker serves, so that a job whose lane nobody serves does not wait without a word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.queues import served_lanes
from lepton_celery.engines.celery.worker.timer_step import TimerStep
from lepton_celery.errors import LeptonError
from lepton_celery.ledger import open_ledger
from lepton_celery.text import logger

log = logger(__name__)

_SHORTEST_NOTE_S = 5.0
"""A note is valid for at least this many seconds, because a busy worker may be late with the next one."""


class ServingStep(TimerStep):
    """Notes the lanes and the slots when the worker starts, then with each sweep, and that it serves none when it stops."""

    _slots = 0

    def schedule(self, parent: Any) -> tuple[float, Callable[[], None]]:
        settings: Settings = parent.app.conf["lepton"]
        for_s = max(_SHORTEST_NOTE_S, 5 * settings.sweep_s)
        self._note(parent, for_s)
        return settings.sweep_s, lambda: self._note(parent, for_s)

    def stop(self, parent: Any) -> None:
        super().stop(parent)
        self._note(parent, 0.0)

    def _note(self, parent: Any, for_s: float) -> None:
        settings: Settings = parent.app.conf["lepton"]
        if for_s:  # a pool that is stopped has no processes
            self._slots = int(getattr(parent.pool, "num_processes", None) or parent.concurrency or 1)
        try:
            lanes = served_lanes(parent.app)
            open_ledger(settings.ledger).serve(parent.hostname, lanes, slots=self._slots, for_s=for_s)
        except LeptonError as error:
            log.warning("the ledger does not know which lanes this worker serves: %s", error)
