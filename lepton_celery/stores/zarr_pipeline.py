"""Opening a Zarr array with the quickest of zarr's codec pipelines that is safe in this process.

`zarrs` (the extra of that name) decodes in Rust and reads no more of a shard than it must. Its threads do not survive a
fork: a child of a process that has used it hangs. So the first process of a family that wants pixels may have it (pool
children of Celery among them, whose parent reads none); processes forked from such a one do with zarr's own.
"""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import zarr

_OWN = {"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}
_ZARRS = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "threading.max_workers": 1}
"""One thread: the worker processes are the parallelism."""

_settings = Lock()
"""zarr's settings are the process's; an array keeps the pipeline that it was opened with."""

_owners: list[int] = []
"""The process that may use zarrs, once there is one."""


def open_for_pixels(path: Path) -> zarr.Array[Any]:
    """The array at `path`, to be read in this process and in none that is forked from it."""
    if _may_use_zarrs():
        with _settings, zarr.config.set(_ZARRS), warnings.catch_warnings():
            # zarrs warns of what it leaves to zarr's own pipeline
            warnings.filterwarnings("ignore", "Array is unsupported by ZarrsCodecPipeline", UserWarning)
            array = zarr.open_array(store=str(path), mode="r")
        if array.metadata.zarr_format == 3 and array.order == "C" and array.dtype.isnative:
            return array  # of others it does not read all
    with _settings, zarr.config.set(_OWN):
        return zarr.open_array(store=str(path), mode="r")


def _may_use_zarrs() -> bool:
    if find_spec("zarrs") is None:
        return False
    if not _owners:
        _owners.append(os.getpid())
    return _owners[0] == os.getpid()
