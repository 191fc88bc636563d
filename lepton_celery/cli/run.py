"""`lepton run`: a job on workers or in this process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from lepton_celery.cli.console import LONG, json_option, messages, print_json
from lepton_celery.cli.documents import job_document
from lepton_celery.cli.pipeline import STEPS_HELP, pipeline_options, requested_outputs
from lepton_celery.cli.where import app_with, find_settings
from lepton_celery.config import Settings, configured
from lepton_celery.errors import InputError
from lepton_celery.execution.manifest import JobOptions, OnError
from lepton_celery.execution.seams import describe
from lepton_celery.graph.nodes import Node
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.prepare import prepare
from lepton_celery.jobs.progress_bar import show_progress
from lepton_celery.jobs.run import run_prepared
from lepton_celery.jobs.submit import submit
from lepton_celery.limits import MAX_BLOCKS
from lepton_celery.planning.cost.keep import model_of_folder
from lepton_celery.planning.options import PlanOptions
from lepton_celery.priority import priority_of
from lepton_celery.tenants import check_owner
from lepton_celery.text import shown, shown_lines
from lepton_celery.views.job import view_of


@dataclass(frozen=True)
class _Options:
    """The arguments and options of `lepton run`."""

    input: str
    output: str
    steps: tuple[str, ...]
    pipeline: Path | None
    inputs: tuple[str, ...]
    saved: tuple[str, ...]
    block_shape: tuple[int, ...] | None
    title: str
    priority: str
    tenant: str
    owner: str
    here: bool
    threads: int | None
    overwrite: bool
    on_error: OnError
    resume: bool
    wait: bool
    timeout: float | None
    as_json: bool


@click.command(help="Process INPUT into OUTPUT.\n" + STEPS_HELP)
@click.argument("input")
@click.argument("output")
@click.argument("steps", metavar="[STEP]...", nargs=-1)
@click.option(
    "--save",
    "-s",
    "saved",
    multiple=True,
    metavar="NAME=PATH",
    help="Write the result that a step named NAME to PATH too; may be repeated.",
)
@pipeline_options
@click.option(
    "--title", default="", show_default=False, help="Name of the job in lists.  [default: the names of its outputs]"
)
@click.option(
    "--priority",
    metavar="LANE[:RANK]",
    default="default",
    help="The lane of the job: interactive, default or batch; and its rank among your jobs there, from 0 to 9 (first).",
)
@click.option("--tenant", default="", show_default=False, help="Whose share of the lane the job takes.")
@click.option("--owner", default="", show_default=False, help="Who asks for the job, in lists.")
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
@click.option("--wait/--no-wait", default=True, help="Wait for the job, or print its id and return.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Longest time to wait; the job goes on.  [default: none]",
)
@json_option
def run(**given: Any) -> None:
    options = _Options(**given)
    outputs = requested_outputs(
        options.input, options.output, options.steps, options.pipeline, options.inputs, options.saved
    )
    settings = None if options.here else find_settings()
    job = _run_here(outputs, options) if settings is None else _run_on_workers(outputs, options, settings)
    if options.as_json:
        print_json(job_document(view_of(job, most_troubled=MAX_BLOCKS)))
    elif options.wait:
        _report(job)
        for path in outputs:
            click.echo(f"wrote {shown(path, LONG)}")
    else:
        click.echo(job.id)


def _run_on_workers(outputs: Mapping[str, Node], options: _Options, settings: Settings) -> Job:
    if options.threads is not None:
        raise InputError("--threads is for --here; on workers, `lepton up --workers` says how many work at once")
    job = submit(
        outputs,
        app=app_with(settings),
        resume=options.resume,
        priority=options.priority,
        tenant=options.tenant,
        owner=options.owner,
        title=options.title,
        block_shape=options.block_shape,
        overwrite=options.overwrite,
        on_error=options.on_error,
    )
    if options.wait:
        messages().print(f"job {job.id}")
        try:
            job.wait(options.timeout, progress=True)
        except (KeyboardInterrupt, SystemExit):
            messages().print(f"job {job.id} continues on the workers; stop it with: lepton cancel {job.id}")
            raise
    return job


def _run_here(outputs: Mapping[str, Node], options: _Options) -> Job:
    refused = {
        "--resume": options.resume,
        "--on-error": options.on_error != "fail",
        "--no-wait": not options.wait,
        "--timeout": options.timeout is not None,
        "--tenant": bool(options.tenant),
    }
    if wrong := [name for name, is_given in refused.items() if is_given]:
        raise InputError(f"{', '.join(wrong)}: only for jobs on workers; start some with `lepton up`")
    threads = options.threads or os.cpu_count() or 1
    plan_options = PlanOptions(options.block_shape, threads, cost=model_of_folder().on_threads())
    job_options = JobOptions(
        lane=priority_of(options.priority).lane,
        owner=check_owner(options.owner),
        title=options.title,
        overwrite=options.overwrite,
    )
    prepared = prepare(outputs, plan_options, job_options, configured())
    if not options.here:
        messages().print(f"no broker is configured: running here on {threads} threads (`lepton up` starts workers)")
    with show_progress(prepared.manifest.plan) as draw:
        return run_prepared(prepared, threads=threads, on_change=draw)


def _report(job: Job) -> None:
    """Print the times of a finished job, its filled blocks, and the visibility of block borders in inexact outputs."""
    console = messages()
    console.print(shown_lines(job.report()))
    for filled in job.filled_blocks():
        console.print(f"block {filled.block} {filled.region} is filled: {shown(filled.reason)}")
    if seams := job.seams():
        console.print(shown_lines(describe(seams)))
