"""The Celery application of the naive chord; the only place where pickle is let in."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from celery import Celery
from numpy.typing import NDArray

from benchmarks.workloads import WORKLOADS, Filter

Array = NDArray[Any]

app = Celery("naive", broker=os.environ["LEPTON_BROKER_URL"], backend=os.environ["LEPTON_BROKER_URL"])
app.conf.update(task_serializer="pickle", result_serializer="pickle", accept_content=["pickle", "json"])


@app.task(name="benchmarks.pixels")
def block(workload: str, pixels: Array, within: tuple[slice, ...]) -> Array:
    """One block's pixels from its pixels and their halo."""
    found = WORKLOADS[workload]
    assert isinstance(found, Filter)
    return found.function(pixels)[within]


@app.task(name="benchmarks.merge")
def merge(parts: list[Array], cores: list[tuple[slice, ...]], shape: tuple[int, ...], path: str) -> None:
    """The picture put together in one worker's memory."""
    image = np.empty(shape, parts[0].dtype)
    for core, part in zip(cores, parts, strict=True):
        image[core] = part
    np.save(path, image)
