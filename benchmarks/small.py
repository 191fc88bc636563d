"""Compares small jobs with plain Celery calls that do the same work: `python -m benchmarks.small`."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import redis

from benchmarks import arrays, document
from benchmarks.cases import Case, Task
from benchmarks.folder import work_folder
from benchmarks.runner import remove
from benchmarks.systems.celery_reference import CeleryReference
from benchmarks.systems.lepton import LeptonCelery
from benchmarks.workloads import workload_of
from lepton_celery.ledger.address import redis_py_url

CASES = (
    Case("W1", "W1", (512, 512), (512, 512), ()),
    Case("W4", "W4", (512, 512), (512, 512), ()),
    Case("W3", "W3", (512, 512), (512, 512), ()),
)
"""Cases of one, one and three stages."""


def _timed(run: Callable[[Task], None], case: Case, work: Path) -> float:
    task = Task.new(case, work)
    begun = time.perf_counter()
    run(task)
    seconds = time.perf_counter() - begun
    remove(task.out)
    return seconds


def measure(work: Path, repeat: int) -> tuple[dict[str, tuple[list[float], list[float]]], float]:
    """Seconds of plain calls and of jobs by case, measured in turn; median seconds of a round trip to the broker."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    plain, lepton = CeleryReference(), LeptonCelery()
    plain.start(work)
    lepton.start(work)
    try:
        for case in CASES:
            task = Task(case, work, work)
            arrays.write_whole(task.source, workload_of(task).input(case.shape), case.block)
            calls, jobs = found.setdefault(case.name, ([], []))
            for number in range(repeat + 3):
                one, other = _timed(plain.call, case, work), _timed(lepton.run, case, work)
                if number >= 3:  # the first runs warm up
                    calls.append(one)
                    jobs.append(other)
        server = redis.Redis.from_url(redis_py_url(plain.broker_url))
        trips = []
        for _ in range(200):
            begun = time.perf_counter()
            server.ping()
            trips.append(time.perf_counter() - begun)
    finally:
        plain.stop()
        lepton.stop()
    return found, statistics.median(trips)


def section(found: dict[str, tuple[list[float], list[float]]], trip_s: float) -> str:
    """The section of the document."""
    rows = []
    for case in CASES:
        calls, jobs = found[case.name]
        stages = len(workload_of(Task(case, Path(), Path())).stages)
        call, job = statistics.median(calls), statistics.median(jobs)
        each = 1000 * (job - call) / stages
        rows.append((case.name, str(stages), f"{1000 * call:.1f}", f"{1000 * job:.1f}", f"{each:+.1f}"))
    head = ("workload", "stages", "plain ms", "job ms", "more a stage, ms")
    return "\n".join(
        [
            "## Small jobs",
            "",
            "An image of 512 × 512 as one block. Plain: one Celery call per stage, sent when the result of the call before",
            "it is there. Job: from submission to result, with its plan, ledger, receipts and published outputs. Medians",
            f"of {len(next(iter(found.values()))[0])} runs that take turns. One call of the broker takes",
            f"{1000 * trip_s:.2f} ms.",
            "",
            *document.table(head, rows),
        ]
    )


@click.command(help="Measure small jobs beside plain Celery calls.")
@click.option("--repeat", type=click.IntRange(1), default=30, show_default=True, help="Runs of each.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
def main(repeat: int, out: Path) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    with work_folder() as work:
        text = section(*measure(work, repeat))
    document.replace_section(out / "benchmarks.md", "small", text)
    click.echo(text)


if __name__ == "__main__":
    main()
