"""Loads the image libraries once in the worker's main process, so that pool children start with them."""

from __future__ import annotations

import gc
from typing import Any

from celery.signals import worker_init


def install() -> None:
    """Warm up workers of our applications, and of no others. May be called again."""
    worker_init.connect(_warm, weak=False, dispatch_uid="lepton.warm")


def _warm(sender: Any, **_: Any) -> None:
    if sender.app.conf.get("lepton") is None:
        return
    # only imports: data work in the main process would start threads that a fork does not take along
    import scipy.ndimage
    import scipy.sparse.csgraph  # noqa: F401

    import lepton_celery.stores.npy
    import lepton_celery.stores.tiff
    import lepton_celery.stores.zarr3  # noqa: F401
    from lepton_celery.operations import catalogue
    from lepton_celery.operations.spec import resolve

    for entry in catalogue().values():
        resolve(entry.source)
    # what is loaded stays: keep the collector from touching it, so that children share its pages
    gc.collect()
    gc.freeze()
