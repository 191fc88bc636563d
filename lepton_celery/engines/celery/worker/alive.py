"""Touches a file while the worker's event loop runs, for the probes of an orchestrator.

A probe looks at the file's age, which costs next to nothing. `celery inspect ping` starts Python for seconds in each
worker, and asks all workers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lepton_celery.config import Settings
from lepton_celery.engines.celery.worker.timer_step import TimerStep
from lepton_celery.errors import reason_of
from lepton_celery.text import logger

log = logger(__name__)


class AliveStep(TimerStep):
    """Touches the file of the setting `alive_file` with each sweep, and removes it when the worker stops."""

    def include_if(self, parent: Any) -> bool:
        return bool(self._settings(parent).alive_file) and super().include_if(parent)

    def schedule(self, parent: Any) -> tuple[float, Callable[[], None]]:
        settings = self._settings(parent)
        self._touch(settings)
        return settings.sweep_s, lambda: self._touch(settings)

    def stop(self, parent: Any) -> None:
        super().stop(parent)
        Path(self._settings(parent).alive_file).unlink(missing_ok=True)

    def _settings(self, parent: Any) -> Settings:
        settings: Settings = parent.app.conf["lepton"]
        return settings

    def _touch(self, settings: Settings) -> None:
        try:
            Path(settings.alive_file).touch()
        except OSError as error:
            log.warning("probes will take this worker for dead: %s; correct LEPTON_ALIVE_FILE", reason_of(error))
