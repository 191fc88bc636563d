"""dask.array with the threaded scheduler of one process."""

from __future__ import annotations

from pathlib import Path

import dask

from benchmarks.cases import Task
from benchmarks.systems import dask_graph
from benchmarks.systems.base import WORKERS


class DaskThreads:
    """dask's threaded scheduler."""

    def start(self, work: Path) -> None:
        dask.config.set(scheduler="threads", num_workers=WORKERS)

    def run(self, task: Task) -> None:
        dask_graph.compute(task)

    def stop(self) -> None:
        pass
