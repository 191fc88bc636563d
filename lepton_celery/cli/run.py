"""`lepton run` and `lepton explain`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, Unpack

import click
from rich.console import Console

from lepton_celery import graph
from lepton_celery.calibration import calibrate as calibration
from lepton_celery.cli.pipeline import build_steps, load_pipeline
from lepton_celery.cli.where import app_with, find_settings
from lepton_celery.config import LANES
from lepton_celery.errors import BrokerUnreachable, InputError
from lepton_celery.execution.manifest import JobOptions, Lane, OnError
from lepton_celery.execution.seams import describe
from lepton_celery.graph.nodes import Node
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.prepare import prepare
from lepton_celery.jobs.progress_bar import show_progress
from lepton_celery.jobs.report import compare, summarize
from lepton_celery.jobs.run import run_prepared
from lepton_celery.jobs.submit import submit
from lepton_celery.planning.cost.keep import model_of_folder
from lepton_celery.planning.explain import explain_outputs
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import Plan

_STEPS_HELP = """
    INPUT is an image (.npy, .zarr, .tif, .png or .jpg). Each STEP is NAME or NAME:ARGUMENTS and works on the result of the
    step before; `lepton operations` lists the names. The steps `threshold:otsu` and `threshold:0.5` give a boolean image of
    the pixels above a threshold.
"""


def lengths(text: str) -> tuple[int, ...]:
    """The shape in a text such as 1024x1024 or 1024,1024. Help pages show this function's name as LENGTHS."""
    try:
        return tuple(map(int, text.replace("x", ",").split(",")))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a shape; give pixels per axis, such as 1024x1024") from None


_block_option = click.option("--block-shape", type=lengths, help="Shape of the blocks in pixels, such as 1024x1024.")
_pipeline_option = click.option(
    "--pipeline", type=click.Path(path_type=Path), help="JSON file with a graph, instead of steps."
)


class _JobOptions(TypedDict):
    """The options of `lepton run` that `submit` takes."""

    block_shape: tuple[int, ...] | None
    priority: Lane
    overwrite: bool
    on_error: OnError
    resume: bool


@click.command(help="Process INPUT into OUTPUT.\n" + _STEPS_HELP)
@click.argument("input")
@click.argument("output")
@click.argument("steps", metavar="[STEP]...", nargs=-1)
@_pipeline_option
@_block_option
@click.option("--priority", type=click.Choice(LANES), default="default", help="The lane of the job.")
@click.option("--here", is_flag=True, help="Run in this process, on threads, even if a broker is configured.")
@click.option("--threads", type=click.IntRange(1), help="Number of threads with --here.  [default: one per processor]")
@click.option("--overwrite", is_flag=True, help="Replace an existing OUTPUT when the job is done.")
@click.option(
    "--on-error",
    type=click.Choice(["fail", "fill"]),
    default="fail",
    help="What to do about a block that cannot be computed: fail the job, or fill the block with a value.",
)
@click.option(
    "--resume", is_flag=True, help="Continue an unfinished job with the same OUTPUT instead of starting a new one."
)
@click.option("--no-wait", is_flag=True, help="Submit the job, print its id and return.")
def run(
    input: str,
    output: str,
    steps: tuple[str, ...],
    pipeline: Path | None,
    here: bool,
    threads: int | None,
    no_wait: bool,
    **options: Unpack[_JobOptions],
) -> None:
    outputs = _outputs(input, output, steps, pipeline)
    console = Console(stderr=True)
    settings = None if here else find_settings()
    if settings is None:
        _run_here(outputs, options, threads, console, is_asked_for=here)
    else:
        job = submit(outputs, app=app_with(settings), **options)
        if no_wait:
            click.echo(job.id)
            return
        console.print(f"job {job.id}", highlight=False)
        try:
            job.wait(progress=True)
        except KeyboardInterrupt:
            console.print(
                f"job {job.id} continues on the workers; stop it with: lepton cancel {job.id}", highlight=False
            )
            raise
        _report(job, job.manifest().plan, console)
    for path in outputs:
        click.echo(f"wrote {path}")


def _outputs(source: str, output: str, steps: tuple[str, ...], pipeline: Path | None) -> dict[str, Node]:
    if pipeline is not None and steps:
        raise InputError(f"both --pipeline {pipeline} and steps {' '.join(steps)} were given; give one of them")
    if pipeline is not None:
        return load_pipeline(pipeline, source, output)
    if not steps:
        raise InputError("no steps were given; name at least one, such as gaussian:sigma=2, or give --pipeline FILE")
    return {output: build_steps(graph.open(source), steps)}


def _run_here(
    outputs: Mapping[str, Node], options: _JobOptions, threads: int | None, console: Console, *, is_asked_for: bool
) -> None:
    if options["resume"] or options["on_error"] != "fail":
        raise InputError("--resume and --on-error are for jobs on workers; start some with `lepton up`")
    threads = threads or os.cpu_count() or 1
    plan_options = PlanOptions(options["block_shape"], threads, cost=model_of_folder().on_threads())
    prepared = prepare(outputs, plan_options, JobOptions(overwrite=options["overwrite"]))
    if not is_asked_for:
        console.print(f"no broker is configured: running here on {threads} threads (`lepton up` starts workers)")
    with show_progress(prepared.manifest.plan, console=console) as draw:
        job = run_prepared(prepared, threads=threads, on_change=draw)
    _report(job, prepared.manifest.plan, console)


def _report(job: Job, plan: Plan, console: Console) -> None:
    """Print the times of a finished job, its filled blocks, and the visibility of block borders in inexact outputs."""
    info = job.info()
    console.print(summarize(info, plan), highlight=False, soft_wrap=True)
    console.print(compare(info, plan), highlight=False, soft_wrap=True)
    for filled in job.filled_blocks():
        console.print(f"block {filled.block} {filled.region} is filled: {filled.reason}", highlight=False, markup=False)
    if seams := job.seams():
        console.print(describe(seams), highlight=False, soft_wrap=True)


@click.command(help="Show the plan of a job and how long it would take.\n\n    Nothing is computed." + _STEPS_HELP)
@click.argument("input")
@click.argument("steps", metavar="[STEP]...", nargs=-1)
@_pipeline_option
@_block_option
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Number of worker processes.  [default: one per processor of this machine]",
)
def explain(
    input: str, steps: tuple[str, ...], pipeline: Path | None, block_shape: tuple[int, ...] | None, workers: int | None
) -> None:
    outputs = _outputs(input, "output" if pipeline is None else str(Path.cwd()), steps, pipeline)
    try:
        cost = calibration.current(find_settings())
    except BrokerUnreachable:
        cost = model_of_folder()
    options = PlanOptions(block_shape, workers=workers or os.cpu_count() or 1, cost=cost)
    click.echo(explain_outputs(outputs, options))
