"""The interface of a system, and the code shared by systems that pass blocks by reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from benchmarks.cases import Task, task_from
from benchmarks.workloads import workload_of

WORKERS = 2


class System(Protocol):
    """A system that can run every workload."""

    def start(self, work: Path) -> None:
        """Start workers, pool or cluster. This is not timed."""
        ...

    def run(self, task: Task) -> None:
        """Do the task, from input files to output files. This is timed."""
        ...

    def stop(self) -> None:
        """End all processes that `start` started."""
        ...


def run_blocks(text: str, stage: int, start: int, stop: int) -> None:
    """Do a batch of blocks of one stage, in a worker."""
    task = task_from(text)
    work = workload_of(task).stages[stage]
    for index in range(start, stop):
        work.block(task, index)


def batches(task: Task) -> list[tuple[int, int]]:
    """The first block and the end of each batch of a task."""
    return [(at, min(at + task.case.batch, task.case.blocks)) for at in range(0, task.case.blocks, task.case.batch)]


def by_reference(task: Task, run_stage: Callable[[str, int], None]) -> None:
    """Do a task stage by stage: `run_stage` is called with the task as JSON and the stage, and does all its blocks."""
    text = task.to_json()
    for number, stage in enumerate(workload_of(task).stages):
        stage.begin(task)
        run_stage(text, number)
        stage.merge(task)
