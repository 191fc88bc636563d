"""A naive Celery chord: pickled pixels go through the broker, and results come back the same way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from celery import chord
from numpy.typing import NDArray

from benchmarks import arrays
from benchmarks.cases import Task
from benchmarks.systems.base import WORKERS
from benchmarks.workloads import Filter, workload_of
from lepton_celery.local.stack import LocalStack, Project

Array = NDArray[Any]


class NaiveCelery:
    """One worker of two processes that accepts pickle."""

    def start(self, work: Path) -> None:
        # Celery refuses to run as root with pickle; here both sender and receiver are ours
        project = Project(app="benchmarks.systems.celery_naive_app", env={"C_FORCE_ROOT": "1"})
        self._stack = LocalStack(work / "naive", workers=1, concurrency=WORKERS, flower=False, project=project)
        self._stack.start()
        os.environ["LEPTON_BROKER_URL"] = self._stack.broker_url
        from benchmarks.systems import celery_naive_app

        self._tasks: Any = celery_naive_app

    def run(self, task: Task) -> None:
        workload, image = workload_of(task), arrays.read_whole(task.source)
        text, blocks = task.to_json(), range(task.case.blocks)
        if isinstance(workload, Filter):
            halo = workload.halo
            header = [self._tasks.block.s(text, index, self._pixels(task, image, index, halo)) for index in blocks]
            chord(header)(self._tasks.merge.s(text)).get(timeout=300)
            return
        pieces = [self._pixels(task, image, index, 0) for index in blocks]
        threshold = chord([self._tasks.histogram.s(pixels) for pixels in pieces])(self._tasks.threshold.s()).get(
            timeout=300
        )
        header = [self._tasks.label.s(pixels, threshold) for pixels in pieces]
        chord(header)(self._tasks.join.s(text)).get(timeout=300)

    def _pixels(self, task: Task, image: Array, index: int, halo: int) -> Array:
        return np.ascontiguousarray(image[task.case.read(index, halo)[0]])

    def stop(self) -> None:
        self._stack.stop()
