"""The Celery tasks: their names and options. The module `work` has their bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import shared_task

from lepton_celery.engines.celery.sending.canvas import CLOSE, PROCESS, TIDY
from lepton_celery.engines.celery.worker import inspection as inspection  # registers its remote control command
from lepton_celery.engines.celery.worker import work


def _task(name: str, function: Callable[..., None], **options: Any) -> Any:
    """A task that is acknowledged after its work, and whose result is not stored."""
    make: Any = shared_task  # the stubs know it as a decorator only
    return make(function, bind=True, name=name, acks_late=True, ignore_result=True, **options)


# no limit here: `StageWork` counts retries by the settings of its application
process_batch = _task(PROCESS, work.process, reject_on_worker_lost=True, max_retries=None)
close_wave = _task(CLOSE, work.close, reject_on_worker_lost=True, max_retries=None)
tidy_job = _task(TIDY, work.tidy)
