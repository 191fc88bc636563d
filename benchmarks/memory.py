"""Compares the memory of a worker process with the plan and the promise: `python -m benchmarks.memory`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from celery import Celery

import lepton_celery as lepton
from benchmarks import document
from benchmarks.cases import Case, Task
from benchmarks.folder import work_folder
from benchmarks.processes import Parts, anonymous_bytes, children
from benchmarks.runner import remove
from benchmarks.systems.base import WORKERS
from benchmarks.workloads import workload_of
from lepton_celery.config import load_settings
from lepton_celery.engines.celery.sending.publisher import publisher_of
from lepton_celery.grid import Region, StageIndex
from lepton_celery.local.stack import LocalStack
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.planner import make_plan
from lepton_celery.planning.regions import needed_regions

PROMISED = 3
"""Factor of the promise: a process needs at most this many times (block + halo) × bytes × live nodes."""

CASES = (
    Case("W2", "W2", (256, 256), (128, 128), ()),
    Case("W1", "W1", (4096, 4096), (1024, 1024), ()),
    Case("V1", "V1", (256, 256, 256), (128, 128, 128), ()),
    Case("W4", "W4", (4096, 4096), (1024, 1024), ()),
    Case("W3", "W3", (4096, 4096), (1024, 1024), ()),
    Case("W3t", "W3t", (2048, 2048), (1024, 1024), ()),
    Case("W1, blocks of 2048²", "W1", (4096, 4096), (2048, 2048), ()),
)
"""Run in this order: memory that a process retains from one case also counts for the next."""


@dataclass(frozen=True)
class Taken:
    """The memory of one case, in bytes."""

    case: Case
    measured: int
    """Peak of the largest worker process, less its memory before all cases."""
    planned: int
    """The largest prediction for a stage of the plan."""
    bound: int
    """The promise: `PROMISED` × `live_bytes`."""


def live_bytes(plan: Plan, stage_index: StageIndex) -> int:
    """(block + halo) × bytes, summed over the images that are alive at once, for the block of the stage that needs most.

    An image is alive from its evaluation until that of the last image that needs it, and until the end if the stage
    stores or reduces it. The result of a labelling, which has no halo, is added.
    """
    stage = plan.stages[stage_index]
    return max((_alive(plan, stage_index, block) for block in stage.grid), default=0)


def _alive(plan: Plan, stage_index: StageIndex, block: Region) -> int:
    stage = plan.stages[stage_index]
    needed = needed_regions(plan, stage_index, block)
    sizes = {index: region.size * plan.nodes[index].itemsize for index, region in needed.items()}
    last = {index: index for index in needed}
    for index in needed:
        if not plan.is_read(index, stage_index):
            for image in plan.nodes[index].pixels.values():
                last[image] = max(last.get(image, index), index)
    reduced = [image for index in stage.reduces for image in plan.nodes[index].pixels.values()]
    last |= dict.fromkeys((*stage.stores, *reduced), len(plan.nodes))
    alive = (sum(size for index, size in sizes.items() if index <= at <= last[index]) for at in needed)
    made = (block.size * plan.nodes[index].itemsize for index in stage.stores if index not in sizes)
    return max(alive, default=0) + sum(made)


def measure(cases: Sequence[Case], work: Path) -> Iterator[Taken]:
    """Run the cases on two workers, one after the other."""
    with LocalStack(work / "stack", workers=WORKERS, flower=False) as stack:
        app = lepton.create_app(load_settings({"LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": stack.broker_url}))
        publisher_of(app)
        for _ in range(4):  # warm up both workers
            for case in cases:
                _do(case.tiny(), app, work)
        workers = [process.pid for process in stack.processes[1:] if process.pid is not None]
        groups = {str(child): [child] for worker in workers for child in children(worker)}
        before = {name: anonymous_bytes(pid) for name, (pid,) in groups.items()}
        for case in cases:
            with Parts(groups, every_s=0.002) as parts:
                plan = _do(case, app, work)
            yield Taken(
                case,
                max(parts.peak[name] - before[name] for name in groups),
                max(stage.predicted.memory_bytes for stage in plan.stages),
                PROMISED * max(live_bytes(plan, StageIndex(stage)) for stage in range(len(plan.stages))),
            )


def _do(case: Case, app: Celery, work: Path) -> Plan:
    """Run a case to its end, and return its plan."""
    task = Task.new(case, work)
    if not task.source.exists():
        workload_of(task).make(task)
    graph = workload_of(task).graph(task)
    plan = make_plan(graph, PlanOptions(block_shape=case.block, workers=WORKERS)).plan
    lepton.submit(graph, app=app, block_shape=case.block, workers=WORKERS).wait(300)
    remove(task.source)
    remove(task.out)
    return plan


def section(taken: Sequence[Taken]) -> str:
    """The section of the document."""
    lines = [
        "## Memory of a worker",
        "",
        "Measured: the growth of the anonymous memory of a worker process at its peak during a job, in the larger of two",
        f"workers. Planned: the memory of the stage that needs most, as the plan states it. Promised: {PROMISED} × (block +",
        f"halo) × bytes × live nodes, which is {PROMISED} times all images of a block and its halo that must exist at the",
        "same time. The measured memory includes what is kept from earlier blocks and, in W3 and W3t, the merge of all",
        "labels, which grows with the number of objects and not with the block.",
        "",
    ]
    rows = [
        (
            one.case.name,
            " × ".join(map(str, one.case.shape)),
            " × ".join(map(str, one.case.block)),
            *(f"{value / 2**20:.1f}" for value in (one.measured, one.planned, one.bound)),
            f"{one.measured / one.bound:.2f}",
            "kept" if one.measured <= one.bound else "**broken**",
        )
        for one in taken
    ]
    sizes = ("measured MB", "planned MB", "promised MB")
    head = ("workload", "picture", "block", *sizes, "measured / promised", "promise")
    return "\n".join([*lines, *document.table(head, rows)])


@click.command(help="Measure what a worker process takes of memory.")
@click.option("--quick", is_flag=True, help="One case: to see that it runs.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
def main(quick: bool, out: Path) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    with work_folder() as work:
        taken = []
        for one in measure(CASES[:1] if quick else CASES, work):
            click.echo(f"{one.case.name}: {one.measured / 2**20:.1f} of {one.bound / 2**20:.1f} MB")
            taken.append(one)
        text = section(taken)
    document.replace_section(out / "benchmarks.md", "memory", text)
    click.echo(text)


if __name__ == "__main__":
    main()
