"""Simulates jobs on up to 10,000 workers with times measured on this machine: `python -m benchmarks.simulation`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from benchmarks import arrays, document, plot, servicetimes
from benchmarks.cases import Case, Task
from benchmarks.folder import work_folder
from benchmarks.servicetimes import Measured, Real
from benchmarks.workloads import WORKLOADS, workload_of
from lepton_celery.fleet.simulation.measured import Stage, Times, World
from lepton_celery.fleet.simulation.one_job import simulate_job
from lepton_celery.fleet.simulation.spending import Spending

_WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 10_000)
_SHOWN = (1, 8, 64, 512, 4096, 10_000)
_LARGE = 1024
"""Side of the blocks of the large jobs, in pixels."""

_STORE = 100e9
"""Bandwidth of the store of many workers, in bytes per second; on one machine its time is part of the blocks' times."""


@dataclass(frozen=True)
class Scenario:
    """A large job to simulate, and the small case on which its blocks are measured."""

    case: Case
    measured: Case


def scenarios(along: int, block: int) -> list[Scenario]:
    """Jobs of `along`² blocks of `block`² pixels, and a job of ten times as many tiny blocks."""
    tiny = 64
    side, small = along * block, 4 * block
    many = round(along * 10**0.5)
    return [
        Scenario(Case(name, name, (side,) * 2, (block,) * 2, ()), Case(name, name, (small,) * 2, (block,) * 2, ()))
        for name in ("W1", "W4", "W3")
    ] + [
        Scenario(
            Case("W5", "W5", (many * tiny,) * 2, (tiny,) * 2, ()), Case("W5", "W5", (16 * tiny,) * 2, (tiny,) * 2, ())
        )
    ]


def checks(block: int) -> list[Case]:
    """Small jobs that are both simulated and run."""
    sizes = {"W1": block, "W4": block, "W3": block, "W5": 16}
    return [Case(name, name, (8 * n,) * 2, (n,) * 2, ()) for name, n in sizes.items()]


@dataclass(frozen=True)
class Checked:
    """A job that was simulated and run."""

    case: Case
    workers: int
    simulated_s: float
    real_s: float

    @property
    def error(self) -> float:
        """The relative error of the simulated time; positive when the simulation is too slow."""
        return self.simulated_s / self.real_s - 1


@dataclass(frozen=True)
class Point:
    """A large job on a number of workers."""

    workers: int
    spending: Spending


def grow(stages: Sequence[Sequence[Stage]], workers: Sequence[int], times: Times) -> list[Point]:
    """Simulate a job on each number of workers; `stages` holds its stages as planned for each of them."""
    world = World(store_bytes_per_s=_STORE)
    return [
        Point(count, simulate_job(planned, times, world, count)) for count, planned in zip(workers, stages, strict=True)
    ]


def check(cases: Sequence[Case], work: Path, runs: int) -> tuple[Times, list[Checked]]:
    """Measure the times of this machine, then compare simulated with real jobs on one and on two workers."""
    found, measured = [], {}
    for case in cases:
        measured[case.name] = servicetimes.in_process(case, work)
        click.echo(f"{case.name}: {sum(map(sum, measured[case.name].block_s)):.2f} s in this process")
    with Real(work, 1) as real:
        times = servicetimes.times(real, work, runs)
        alone = {case.name: real.median(case, runs=runs).seconds for case in cases}
    with Real(work, 2) as real:
        both = {case.name: real.median(case, runs=runs).seconds for case in cases}
    for workers, seconds in ((1, alone), (2, both)):
        local = World(round_trip_s=0.0)
        for case in cases:
            stages = servicetimes.stages_of(servicetimes.planned(case, work, workers), measured[case.name])
            simulated_s = simulate_job(stages, times, local, workers).seconds
            found.append(Checked(case, workers, simulated_s, seconds[case.name]))
            click.echo(
                f"{case.name} on {workers}: real {found[-1].real_s:.2f} s, simulated {found[-1].simulated_s:.2f}"
            )
    return times, found


def section(
    times: Times,
    checked: Sequence[Checked],
    grown: dict[str, list[Point]],
    jobs: dict[str, Sequence[Stage]],
    name: str,
) -> str:
    """The section of the document."""
    lines = [
        "## Simulated: up to 10,000 workers",
        "",
        "This machine has two cores, so the speed-up with many workers is simulated, as discrete events with times measured",
        f"here ({document.machine()}).",
        "",
        f"![speed-up against the number of workers]({name})",
        "",
        "**Assumptions.** One server is broker and ledger, and answers one call after the other, with a round trip of",
        f"{1e3 * World().round_trip_s:g} ms to the workers. All workers share one store with a bandwidth of",
        f"{_STORE / 1e9:g} GB/s.",
        "Workers are as fast as one here, none fails, and no other job runs. The plan and its batch sizes are the",
        "planner's for that number of workers. A stage starts when the one before it is merged. One worker merges, and",
        "combining a partial in a group costs as much as merging it.",
        "",
        *_measured(times, jobs),
        "",
        *_compared(checked),
        "",
        *_speedups(grown),
    ]
    return "\n".join(lines)


def _measured(times: Times, jobs: dict[str, Sequence[Stage]]) -> list[str]:
    """The measured times, and those of the blocks in a table."""
    rows = [
        (
            job,
            str(number + 1),
            f"{stage.blocks:,}",
            servicetimes.spread(stage.block_s),
            f"{stage.block_bytes / 1e6:.2g}",
            f"{stage.merge_s:.2g}",
        )
        for job, stages in jobs.items()
        for number, stage in enumerate(stages)
    ]
    return [
        f"**Measured times.** A message takes a worker {1e3 * times.message_s:.2f} ms and the server",
        f"{1e6 * times.server_message_s:.0f} µs; a block takes a worker {1e6 * times.block_s:.0f} µs and the server",
        f"{1e6 * times.server_block_s:.1f} µs besides its computation; sending a message takes {1e3 * times.send_s:.2f} ms;",
        f"a job {1e3 * times.job_s:.0f} ms. The computation of a block, by stage, in milliseconds: median (5th to 95th",
        "percentile).",
        "",
        *document.table(("job", "stage", "blocks", "a block, ms", "MB a block", "merge s"), rows),
    ]


def _compared(checked: Sequence[Checked]) -> list[str]:
    """A table of simulated and real times."""
    rows = [
        (c.case.name, str(c.workers), f"{c.simulated_s:.2f}", f"{c.real_s:.2f}", f"{100 * c.error:+.0f} %")
        for c in checked
    ]
    table = document.table(("job", "workers", "simulated s", "real s", "error"), rows)
    return ["**Accuracy.** The same jobs, simulated and run here:", "", *table]


def _speedups(grown: dict[str, list[Point]]) -> list[str]:
    """A table of the speed-up and efficiency of each job by number of workers."""
    rows = []
    for job, points in grown.items():
        one = points[0].spending.seconds
        for point in points:
            if point.workers in _SHOWN:
                spent = point.spending
                share = f"{100 * spent.busy / (point.workers * spent.seconds):.0f} %"
                rows.append((job, f"{point.workers:,}", f"{one / spent.seconds:.0f}", share, spent.limit))
    return [
        "**Results.** Speed-up over one worker, and efficiency: the share of the workers' time spent in blocks. Limited by:",
        "what the workers mostly do in the rest of their time. Window: they get no message although blocks are left, as",
        "the lane's window is full or the publisher is behind. Ledger: they wait for the server. Store: they wait for the",
        "store. Message: they handle messages. End: no work is left in the stage. Merge: one worker merges, and the others",
        "wait.",
        "",
        *document.table(("job", "workers", "speed-up", "efficiency", "limited by"), rows),
    ]


def draw(path: Path, grown: dict[str, list[Point]]) -> None:
    """Plot a panel for each job: its speed-up, and the ideal one."""
    plt = plot.pyplot()
    figure, axes = plt.subplots(
        1, len(grown), figsize=(3.1 * len(grown), 3.4), squeeze=False, layout="constrained", sharey=True
    )
    for panel, (job, points) in zip(axes.flat, grown.items(), strict=True):
        one, workers = points[0].spending.seconds, [point.workers for point in points]
        panel.loglog(workers, workers, color=plot.FAINT, linewidth=3)
        panel.loglog(workers, [one / point.spending.seconds for point in points], color=plot.OURS, linewidth=1.8)
        panel.set_title(f"{job}: {WORKLOADS[job].title.partition('(')[0].partition(',')[0]}", loc="left", fontsize=10)
        panel.set_xlabel("workers")
    axes.flat[0].set_ylabel("speed-up (wide line: ideal)")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def large(scenario: Scenario, work: Path) -> Path:
    """Create the input of a large job as a sparse file: the planner reads only its header."""
    task = Task(scenario.case, work, work)
    like = workload_of(task).input((32, 32))
    arrays.create(task.source, (*scenario.case.shape, *like.shape[2:]), like.dtype, scenario.case.block)
    return task.source


@click.command(help="Simulate jobs on up to 10,000 workers, with times measured on this machine.")
@click.option("--quick", is_flag=True, help="Small blocks and few workers: to see that everything runs.")
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="Real runs of each job checked.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
def main(quick: bool, runs: int, out: Path) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    workers = (1, 2, 64, 512) if quick else _WORKERS
    grown: dict[str, list[Point]] = {}
    jobs: dict[str, Sequence[Stage]] = {}
    with work_folder() as work:
        times, checked = check(checks(64 if quick else 256), work, 1 if quick else runs)
        click.echo(str(asdict(times)))
        for scenario in scenarios(*((32, 64) if quick else (316, _LARGE))):
            name = scenario.case.name
            measured: Measured = servicetimes.in_process(scenario.measured, work)
            source = large(scenario, work)
            planned = [
                servicetimes.stages_of(servicetimes.planned(scenario.case, work, count), measured) for count in workers
            ]
            source.unlink()
            jobs[name] = planned[0]
            grown[name] = grow(planned, workers, times)
            click.echo(f"{name}: {grown[name][-1].spending.seconds:.2f} s on {workers[-1]:,} workers")
    name = "simulation.svg"
    out.mkdir(parents=True, exist_ok=True)
    draw(out / name, grown)
    text = section(times, checked, grown, jobs, name)
    document.replace_section(out / "benchmarks.md", "simulation", text)
    click.echo(text)


if __name__ == "__main__":
    main()
