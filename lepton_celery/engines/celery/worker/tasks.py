"""The Celery tasks: their names and options. The module `work` has their bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import shared_task

from lepton_celery.engines.celery.sending.canvas import CLOSE, PROCESS, TIDY
from lepton_celery.engines.celery.worker import inspection as inspection  # registers its remote control command
from lepton_celery.engines.celery.worker import work
from lepton_celery.engines.celery.worker.job_task import JobTask


def _task(name: str, function: Callable[..., None], **options: Any) -> Any:
    make: Any = shared_task  # the stubs know it as a decorator only
    return make(function, bind=True, base=JobTask, name=name, **options)


# no limit here: `StageWork` counts retries by the settings of its application
process_batch = _task(PROCESS, work.process, reject_on_worker_lost=True, max_retries=None)
close_wave = _task(CLOSE, work.close, reject_on_worker_lost=True, max_retries=None)
tidy_job = _task(TIDY, work.tidy)
