"""Loads image libraries and compiled kernels once in the worker's main process, so that pool children start with them."""

from __future__ import annotations

import gc
from typing import Any

from celery.signals import worker_init

from lepton_celery.config import Settings


def install() -> None:
    """Warm up workers of our applications, and of no others. May be called again."""
    worker_init.connect(_warm, weak=False, dispatch_uid="lepton.warm")


def _warm(sender: Any, **_: Any) -> None:
    settings: Settings | None = sender.app.conf.get("lepton")
    if settings is None:
        return
    # hardly more than imports: data work in the main process would start threads that a fork does not take along
    import scipy.ndimage
    import scipy.sparse.csgraph  # noqa: F401

    from lepton_celery.catalogue import catalogue, load_kernels
    from lepton_celery.catalogue.entries import resolve

    for entry in catalogue().values():
        resolve(entry.source)
    if settings.kernels:
        load_kernels()
    # what is loaded stays: keep the collector from touching it, so that children share its pages
    gc.collect()
    gc.freeze()
