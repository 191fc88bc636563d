"""Opens Zarr arrays with the fastest codec pipeline that is safe in this process.

`zarrs` (the extra of that name) decodes in Rust and reads no more of a shard than it needs. Its threads do not survive
a fork: a child of a process that has used it hangs. So the first process that reads pixels uses it, such as a pool
process of Celery, whose parent reads none. Processes that are forked from that one use zarr's own pipeline.
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
"""Settings for zarrs; it gets one thread, because the worker processes are the parallelism."""

_settings = Lock()
"""Held while zarr's settings are changed, which belong to the process. An array keeps the pipeline it was opened with."""

_owners: list[int] = []
"""The id of the process that uses zarrs, once there is one."""


def open_for_pixels(path: Path) -> zarr.Array[Any]:
    """The array at `path`, for reading in this process and in none that is forked from it."""
    if _may_use_zarrs():
        with _settings, zarr.config.set(_ZARRS), warnings.catch_warnings():
            # zarrs warns about arrays that it leaves to zarr's own pipeline
            warnings.filterwarnings("ignore", "Array is unsupported by ZarrsCodecPipeline", UserWarning)
            array = zarr.open_array(store=str(path), mode="r")
        if array.metadata.zarr_format == 3 and array.order == "C" and array.dtype.isnative:
            return array  # zarrs does not read all arrays of other kinds
    with _settings, zarr.config.set(_OWN):
        return zarr.open_array(store=str(path), mode="r")


def _may_use_zarrs() -> bool:
    if find_spec("zarrs") is None:
        return False
    if not _owners:
        _owners.append(os.getpid())
    return _owners[0] == os.getpid()
