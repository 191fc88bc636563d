"""The first Celery program that comes to mind: blocks of pixels go through the broker, results come back the same way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from celery import chord

from benchmarks import arrays
from benchmarks.cases import Task
from benchmarks.systems.base import WORKERS
from benchmarks.workloads import Filter, workload_of
from lepton_celery.stack.local import LocalStack


class NaiveCelery:
    """Pickled pixels; filters only."""

    def start(self, work: Path) -> None:
        self._stack = LocalStack(
            work / "naive",
            workers=1,
            concurrency=WORKERS,
            flower=False,
            app="benchmarks.systems.celery_naive_app",
            # Celery refuses pickle to root, with reason; here both ends are ours
            env={"C_FORCE_ROOT": "1"},
        )
        self._stack.start()
        os.environ["LEPTON_BROKER_URL"] = self._stack.broker_url
        from benchmarks.systems import celery_naive_app

        self._tasks: Any = celery_naive_app

    def run(self, task: Task) -> None:
        workload, case = workload_of(task), task.case
        assert isinstance(workload, Filter)
        image = arrays.read_whole(task.source)
        header = []
        for index in range(case.blocks):
            wide, within = case.read(index, workload.halo)
            header.append(self._tasks.block.s(case.workload, np.ascontiguousarray(image[wide]), within))
        cores = [case.core(index) for index in range(case.blocks)]
        body = self._tasks.merge.s(cores, case.shape, str(task.output("pixels")))
        chord(header)(body).get(timeout=300)

    def stop(self) -> None:
        self._stack.stop()
