"""Parts of a worker that call a function every few seconds in its event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Celery, bootsteps


class TimerStep(bootsteps.StartStopStep):
    """Calls a function at intervals while the worker runs.

    It is no thread, because the pool forks new children whenever it grows, and a fork must not meet a thread that holds a
    lock.
    """

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._timer: Any = None

    def schedule(self, app: Celery[Any]) -> tuple[float, Callable[[], None]]:
        """The seconds between calls, and the function."""
        raise NotImplementedError

    def start(self, parent: Any) -> None:
        self._timer = parent.timer.call_repeatedly(*self.schedule(parent.app))

    def stop(self, parent: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
