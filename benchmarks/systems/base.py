"""What a system is, and how those that take blocks by reference do a task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from benchmarks.cases import Task, task_from
from benchmarks.workloads import workload_of

WORKERS = 2


class System(Protocol):
    """Something that can do a workload."""

    def start(self, work: Path) -> None:
        """Start workers, pool or cluster; not timed."""
        ...

    def run(self, task: Task) -> None:
        """Do the task, from input files to output files; timed."""
        ...

    def stop(self) -> None:
        """End what `start` started."""
        ...


def run_blocks(text: str, stage: int, start: int, stop: int) -> None:
    """A batch of blocks of one stage, in a worker."""
    task = task_from(text)
    work = workload_of(task).stages[stage]
    for index in range(start, stop):
        work.block(task, index)


def batches(task: Task) -> list[tuple[int, int]]:
    """The blocks of a task in batches of the case's size."""
    return [(at, min(at + task.case.batch, task.case.blocks)) for at in range(0, task.case.blocks, task.case.batch)]


def by_reference(task: Task, run_stage: Callable[[str, int], None]) -> None:
    """A task whose blocks `run_stage` gets to run, all of a stage at a time."""
    text = task.to_json()
    for number, stage in enumerate(workload_of(task).stages):
        stage.begin(task)
        run_stage(text, number)
        stage.merge(task)
