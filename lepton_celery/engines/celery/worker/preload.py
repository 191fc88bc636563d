"""Loads image libraries and compiled kernels once in the worker's main process, so that pool children start with them."""

from __future__ import annotations

import gc
from typing import Any

from celery.signals import worker_init

from lepton_celery.config import Settings


def install() -> None:
    """Connect the signal handler, which does nothing for applications that were not prepared. Idempotent."""
    worker_init.connect(_preload, weak=False, dispatch_uid="lepton.preload")


def _preload(sender: Any, **_: Any) -> None:
    settings: Settings | None = sender.app.conf.get("lepton")
    if settings is None:
        return
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
