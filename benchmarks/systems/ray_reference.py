"""Ray tasks by reference: a task gets the path of its input, not the pixels."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import ray

from benchmarks.cases import Task
from benchmarks.systems.base import WORKERS, batches, by_reference, run_blocks


class Ray:
    """A local Ray node with two worker processes."""

    def start(self, work: Path) -> None:
        ray.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            object_store_memory=200 * 2**20,
            _temp_dir=str(work / "ray"),
        )
        self._remote: Any = ray.remote(run_blocks)

    def run(self, task: Task) -> None:
        by_reference(task, partial(self._run_stage, task))

    def _run_stage(self, task: Task, text: str, stage: int) -> None:
        ray.get([self._remote.remote(text, stage, *ends) for ends in batches(task)])

    def stop(self) -> None:
        ray.shutdown()
