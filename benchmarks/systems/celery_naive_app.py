"""The Celery application of the naive chord, the only one that accepts pickle."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from celery import Celery
from numpy.typing import NDArray
from skimage import filters, measure

from benchmarks import arrays, components
from benchmarks.cases import Case, task_from
from benchmarks.workloads import Components, Filter, workload_of

Array = NDArray[Any]

app = Celery("naive", broker=os.environ["LEPTON_BROKER_URL"], backend=os.environ["LEPTON_BROKER_URL"])
app.conf.update(task_serializer="pickle", result_serializer="pickle", accept_content=["pickle", "json"])


@app.task(name="benchmarks.pixels")
def block(text: str, index: int, pixels: Array) -> Array:
    """Filter one block, given with its halo."""
    task = task_from(text)
    workload = workload_of(task)
    assert isinstance(workload, Filter)
    return workload.function(pixels)[task.case.read(index, workload.halo)[1]]


@app.task(name="benchmarks.merge")
def merge(parts: list[Array], text: str) -> None:
    """Assemble the image in one worker's memory and write it."""
    task = task_from(text)
    arrays.write_whole(task.output("pixels"), _together(parts, task.case), task.case.block)


@app.task(name="benchmarks.histogram")
def histogram(pixels: Array) -> Array:
    """Counts of the gray levels of a block."""
    return np.bincount(pixels.ravel(), minlength=256)


@app.task(name="benchmarks.threshold")
def threshold(counts: list[Array]) -> float:
    """Otsu's threshold of the histograms of all blocks."""
    total = np.sum(counts, axis=0)
    (levels,) = np.nonzero(total)
    seen = np.arange(levels[0], levels[-1] + 1)
    return float(filters.threshold_otsu(hist=(total[seen], seen)))


@app.task(name="benchmarks.label")
def label(pixels: Array, above: float) -> Array:
    """Labels of one block."""
    labels: Array = measure.label(pixels > above, connectivity=1)
    return labels


@app.task(name="benchmarks.join")
def join(parts: list[Array], text: str) -> None:
    """Join the labels of all blocks in one worker's memory, and write them and the table."""
    task = task_from(text)
    workload = workload_of(task)
    assert isinstance(workload, Components)
    labels = components.joined(parts, task.case)
    arrays.write_whole(task.output("labels"), labels, task.case.block)
    columns = components.table(labels, arrays.read_whole(task.source), workload.properties)
    arrays.write_table(task.out / "table", columns)


def _together(parts: list[Array], case: Case) -> Array:
    image = np.empty(case.shape, parts[0].dtype)
    for index, part in enumerate(parts):
        image[case.core(index)] = part
    return image
