"""Loads image libraries and compiled kernels once in the worker's main process, so that pool children start with them."""

from __future__ import annotations

import gc
from typing import Any

from celery import bootsteps
from celery.signals import worker_process_shutdown

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.queues import serves_jobs
from lepton_celery.engines.celery.worker import log_lines
from lepton_celery.tracing.tracer import flush


class PreloadStep(bootsteps.Step):
    """Loads them before the pool starts, in a worker that serves a lane."""

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: Any) -> bool:
        return serves_jobs(parent.app)

    def create(self, parent: Any) -> None:
        settings: Settings = parent.app.conf["lepton"]
        log_lines.install()  # pool children inherit it
        worker_process_shutdown.connect(lambda **_: flush(settings), weak=False, dispatch_uid="lepton.flush")
        # little more than imports: computing in the main process would start threads, which a fork does not copy
        import scipy.ndimage
        import scipy.sparse.csgraph  # noqa: F401

        from lepton_celery.catalogue import catalogue, load_kernels
        from lepton_celery.catalogue.entries import resolve

        for entry in catalogue().values():
            resolve(entry.source)
        if settings.kernels:
            load_kernels()
        # exempt the loaded modules from garbage collection, which would write to the pages that children share
        gc.collect()
        gc.freeze()
