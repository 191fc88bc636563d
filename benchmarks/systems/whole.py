"""scikit-image on the whole image, the baseline."""

from __future__ import annotations

from pathlib import Path

from benchmarks.cases import Task
from benchmarks.workloads import workload_of


class Whole:
    """One call in one process."""

    def start(self, work: Path) -> None:
        pass

    def run(self, task: Task) -> None:
        workload_of(task).whole(task)

    def stop(self) -> None:
        pass
