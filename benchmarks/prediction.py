"""Compares predicted with measured times of jobs: `python -m benchmarks.prediction`."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import click

import lepton_celery as lepton
from benchmarks import document
from benchmarks.cases import FULL, Case, Task, quick
from benchmarks.folder import work_folder
from benchmarks.processes import MARK, Watch
from benchmarks.runner import remove
from benchmarks.systems.base import WORKERS
from benchmarks.workloads import workload_of
from lepton_celery.calibration import calibrate as tuning
from lepton_celery.config import Settings, load_settings
from lepton_celery.jobs.report import compare
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.info import JobInfo
from lepton_celery.local.stack import LocalStack
from lepton_celery.planning.cost import keep as costs
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.planner import make_plan

AIM = 0.25
"""The largest relative error that a prediction should have."""


@dataclass
class Predicted:
    """Predicted and actual seconds of a case, from `submit` to the end of the job, one for each run."""

    calibrated_s: float
    """The prediction before any job ran."""
    refined_s: list[float] = field(default_factory=list)
    """Predictions refined by all jobs before the run."""
    actual_s: list[float] = field(default_factory=list)
    compute_s: list[float] = field(default_factory=list)
    """Seconds that workers computed."""
    foreign: list[float] = field(default_factory=list)
    """Processors that other programs used meanwhile."""
    plan: Plan | None = None

    @property
    def median_s(self) -> float:
        return statistics.median(self.actual_s)


def chosen(*, is_quick: bool) -> list[Case]:
    """One case of each workload on .npy and one on Zarr, in full or in quick size."""
    found = [case for case in FULL if "small" not in case.name]
    return [quick(case) for case in found] if is_quick else found


def calibrated(case: Case, work: Path, model: CostModel) -> float:
    """The time of a case that a cost model predicts."""
    outputs = workload_of(Task(case, work, work)).graph(Task(case, work, work))
    return make_plan(outputs, PlanOptions(block_shape=case.block, workers=WORKERS, cost=model)).plan.predicted_s


def run(case: Case, work: Path, settings: Settings) -> tuple[float, JobInfo, Plan, float]:
    """Run one job; its seconds, its record, its plan, and the processors that other programs used."""
    task = Task.new(case, work)
    graph = workload_of(task).graph(task)
    app = lepton.create_app(settings)
    with Watch(os.environ[MARK]) as watch:
        began = time.perf_counter()
        job = lepton.submit(graph, app=app, block_shape=case.block, workers=WORKERS)
        info = job.wait(300)
        seconds = time.perf_counter() - began
    plan = job.manifest().plan
    remove(task.out)
    return seconds, info, plan, watch.foreign


def section(cases: list[Case], found: dict[str, Predicted], took_s: float, rounds: int) -> str:
    """The section of the document."""
    errors = [abs(found[case.name].calibrated_s / found[case.name].median_s - 1) for case in cases]
    refined = [abs(found[case.name].refined_s[-1] / found[case.name].actual_s[-1] - 1) for case in cases]
    within = sum(error <= AIM for error in errors)
    later = sum(error <= AIM for error in refined)
    lines = [
        "## How near predictions are",
        "",
        f"Measured on {document.machine()}. Predicted and actual seconds from submission to the end on {WORKERS} workers",
        f"(medians of {rounds}), files in memory. Calibrated: predicted after `lepton calibrate` alone ({took_s:.0f} s),",
        "before any of these jobs ran. Refined: predicted for the last run, after all earlier jobs. C is the time that",
        f"workers spend computing; foreign is as above. Within {AIM:.0%}: {within} of {len(cases)} as calibrated, {later}",
        "as refined.",
        "",
    ]
    head = ("case", "actual s", "calibrated s", "error", "refined s", "error", "C predicted s", "C actual s", "foreign")
    rows = []
    for case in cases:
        one = found[case.name]
        assert one.plan is not None
        compute = sum(stage.predicted.compute_s for stage in one.plan.stages)
        rows.append(
            (
                case.name,
                f"{one.median_s:.2f}",
                f"{one.calibrated_s:.2f}",
                f"{one.calibrated_s / one.median_s - 1:+.0%}",
                f"{one.refined_s[-1]:.2f}",
                f"{one.refined_s[-1] / one.actual_s[-1] - 1:+.0%}",
                f"{compute:.2f}",
                f"{one.compute_s[-1]:.2f}",
                f"{statistics.median(one.foreign):.1f}",
            )
        )
    return "\n".join([*lines, *document.table(head, rows)])


@click.command(help="Compare predicted times with what jobs take.")
@click.option("--quick", "is_quick", is_flag=True, help="Small pictures: to see that everything runs.")
@click.option("--repeat", type=click.IntRange(1), default=3, show_default=True, help="Runs of each case.")
@click.option("--only", help="Cases by name, separated by commas.")
@click.option("--stages", is_flag=True, help="Show predicted beside actual by stage, too.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
def main(is_quick: bool, repeat: int, only: str | None, stages: bool, out: Path) -> None:
    cases = [case for case in chosen(is_quick=is_quick) if only is None or case.name in only.split(",")]
    with work_folder() as work:
        os.environ |= {"LEPTON_STATE": str(work / "state"), MARK: uuid4().hex}
        for case in cases:
            for made in (case, case.tiny()):
                task = Task(made, work, work)
                if not task.source.exists():
                    workload_of(task).make(task)
        stack = LocalStack(work / "lepton", workers=WORKERS, flower=False)
        stack.start()
        try:
            settings = load_settings({"LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": stack.broker_url})
            done = tuning.calibrate(work, settings=settings)
            click.echo(f"calibrated in {done.took_s:.1f} s, tasks too: {done.on_workers}; {done.model.overheads}")
            found = {case.name: Predicted(calibrated(case, work, done.model)) for case in cases}
            for case in cases:
                run(case.tiny(), work, settings)  # warm up the workers
            # the warm-up must not refine the model
            costs.save_for_workers(open_ledger(settings.ledger), settings.cost_profile, done.model)
            for _ in range(repeat):
                for case in cases:
                    one = found[case.name]
                    seconds, info, one.plan, foreign = run(case, work, settings)
                    one.actual_s.append(seconds)
                    one.refined_s.append(one.plan.predicted_s)
                    one.compute_s.append(info.stats.get("compute_s", 0.0))
                    one.foreign.append(foreign)
                    click.echo(
                        f"{case.name:10} {seconds:7.3f} s, calibrated {one.calibrated_s:7.3f}, refined "
                        f"{one.refined_s[-1]:7.3f}, foreign {foreign:.1f}"
                    )
                    if stages:
                        click.echo(compare(info, one.plan))
        finally:
            stack.stop()
        text = section(cases, found, done.took_s, repeat)
    document.replace_section(out / "benchmarks.md", "prediction", text)
    click.echo(text)


if __name__ == "__main__":
    main()
