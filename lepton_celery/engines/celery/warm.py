"""Loads image libraries and compiled kernels once in the worker's main process, so that pool children start with them."""

from __future__ import annotations

import gc
from importlib.util import find_spec
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

    import lepton_celery.kernels
    import lepton_celery.stores.npy
    import lepton_celery.stores.tiff
    import lepton_celery.stores.zarr3
    from lepton_celery.operations import catalogue
    from lepton_celery.operations.labelparts import PARTS
    from lepton_celery.operations.spec import Local, resolve

    for entry in catalogue().values():
        source = resolve(entry.source)
        if settings.kernels and isinstance(entry, Local) and entry.kernel is not None:
            lepton_celery.kernels.load(entry.kernel, source)
    for part, kernel in PARTS.items() if settings.kernels else ():
        lepton_celery.kernels.load(kernel, part)
    if find_spec("pyarrow") is not None:
        import pyarrow.parquet  # noqa: F401  # for the table that a last merge writes
    # what is loaded stays: keep the collector from touching it, so that children share its pages
    gc.collect()
    gc.freeze()
