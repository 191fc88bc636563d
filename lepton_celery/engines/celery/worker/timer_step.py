"""A part of a worker that calls a function at intervals in the worker's event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import bootsteps

from lepton_celery.engines.celery.sending.queues import serves_jobs


class TimerStep(bootsteps.StartStopStep):
    """Calls a function at intervals while a worker runs that serves a lane.

    It uses no thread, because the pool forks children at any time, and a child would inherit a lock that a thread holds.
    """

    requires = ("celery.worker.components:Timer",)
    _timer: Any = None

    def include_if(self, parent: Any) -> bool:
        return serves_jobs(parent.app)

    def schedule(self, parent: Any) -> tuple[float, Callable[[], None]]:
        """The seconds between calls, and the function, for a worker that starts."""
        raise NotImplementedError

    def start(self, parent: Any) -> None:
        self._timer = parent.timer.call_repeatedly(*self.schedule(parent))

    def stop(self, parent: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
