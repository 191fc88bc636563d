"""`lepton run`, `lepton explain` and `lepton operations`."""

from __future__ import annotations

import os
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table as RichTable

from lepton_celery import graph
from lepton_celery.calibration import calibrate as tuning
from lepton_celery.catalogue import catalogue, public_names
from lepton_celery.catalogue.entries import Refused
from lepton_celery.cli.pipeline import build_steps, load_pipeline
from lepton_celery.cli.where import find_settings
from lepton_celery.config import LANES
from lepton_celery.engines.celery.app import create_app
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
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.planning.explain import explain_outputs
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import Plan

_STEPS_HELP = """
    INPUT is an image (.npy, .zarr, .tif, .png, .jpg). Each STEP is NAME or NAME:ARGUMENTS and works on the result of the
    one before; `lepton operations` lists the names. `threshold:otsu` and `threshold:0.5` give the pixels above a level.
"""


class _Lengths(click.ParamType[tuple[int, ...]]):
    name = "LENGTHS"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            return tuple(int(part) for part in str(value).replace("x", ",").split(","))
        except ValueError:
            self.fail(f"{value!r} is not a shape; give pixels per axis, such as 1024x1024", param, ctx)


_block_option = click.option("--block-shape", type=_Lengths(), help="Pixels per axis, such as 1024x1024.")
_pipeline_option = click.option(
    "--pipeline", type=click.Path(path_type=Path), help="A graph in a JSON file, instead of steps."
)


def _outputs(source: str, output: str, steps: tuple[str, ...], pipeline: Path | None) -> dict[str, Node]:
    if pipeline is not None and steps:
        raise InputError(f"both --pipeline {pipeline} and steps {' '.join(steps)} were given; give one of them")
    if pipeline is not None:
        return load_pipeline(pipeline, source, output)
    if not steps:
        raise InputError("no steps were given; name at least one, such as gaussian:sigma=2, or give --pipeline FILE")
    return {output: build_steps(graph.open(source), steps)}


@click.command(help="Process INPUT into OUTPUT." + _STEPS_HELP)
@click.argument("input", metavar="INPUT")
@click.argument("output", metavar="OUTPUT")
@click.argument("steps", metavar="STEP", nargs=-1)
@_pipeline_option
@_block_option
@click.option("--priority", type=click.Choice(LANES), default="default", show_default=True, help="The job's lane.")
@click.option("--here", is_flag=True, help="In this process, on threads, even where a broker is configured.")
@click.option("--threads", type=click.IntRange(1), help="Threads with --here; one per processor by default.")
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists, when the job is done.")
@click.option(
    "--on-error",
    type=click.Choice(["fail", "fill"]),
    default="fail",
    show_default=True,
    help="When a block cannot be done: end the job, or fill the block and go on.",
)
@click.option("--resume", is_flag=True, help="Go on with a job that was to write the same OUTPUT and did not get done.")
@click.option("--no-wait", is_flag=True, help="Submit, print the job's id and return.")
def run(
    input: str,
    output: str,
    steps: tuple[str, ...],
    pipeline: Path | None,
    block_shape: tuple[int, ...] | None,
    priority: Lane,
    here: bool,
    threads: int | None,
    overwrite: bool,
    on_error: OnError,
    resume: bool,
    no_wait: bool,
) -> None:
    outputs = _outputs(input, output, steps, pipeline)
    settings = None if here else find_settings()
    quiet = Console(stderr=True)
    if settings is None:
        if resume or on_error != "fail":
            raise InputError("--resume and --on-error are for jobs on workers; start some with `lepton up`")
        threads = threads or os.cpu_count() or 1
        prepared = prepare(
            outputs, PlanOptions(block_shape, threads, cost=model_of_folder()), JobOptions(overwrite=overwrite)
        )
        if not here:
            quiet.print(f"no broker is configured: running here on {threads} threads (`lepton up` starts workers)")
        with show_progress(prepared.plan, console=quiet) as draw:
            done = run_prepared(prepared, threads=threads, on_change=draw)
        _report(done, prepared.plan, quiet)
    else:
        app = create_app(settings)
        job = submit(
            outputs,
            priority=priority,
            app=app,
            block_shape=block_shape,
            overwrite=overwrite,
            on_error=on_error,
            resume=resume,
        )
        if no_wait:
            click.echo(job.id)
            return
        _wait(job, quiet)
    for path in outputs:
        click.echo(f"wrote {path}")


def _wait(job: Job, quiet: Console) -> None:
    quiet.print(f"job {job.id}", highlight=False)
    try:
        job.wait(progress=True)
    except KeyboardInterrupt:
        quiet.print(f"job {job.id} goes on; stop it with: lepton cancel {job.id}", highlight=False)
        raise
    _report(job, job.manifest().plan, quiet)


def _report(job: Job, plan: Plan, quiet: Console) -> None:
    """What a finished job took, and how visible its block borders are where that is a question."""
    info = job.info()
    quiet.print(summarize(info, plan), highlight=False, soft_wrap=True)
    quiet.print(compare(info, plan), highlight=False, soft_wrap=True)
    for filled in job.filled_blocks():
        words = f"block {filled.block} {filled.region} is filled: {filled.reason}"
        quiet.print(words, highlight=False, markup=False)
    if seams := job.seams():
        quiet.print(describe(seams), highlight=False, soft_wrap=True)


@click.command(help="Say what processing INPUT would do: stages, blocks, memory, time. Nothing is run." + _STEPS_HELP)
@click.argument("input", metavar="INPUT")
@click.argument("steps", metavar="STEP", nargs=-1)
@_pipeline_option
@_block_option
@click.option("--workers", type=click.IntRange(1), help="Worker processes; one per processor here by default.")
def explain(
    input: str,
    steps: tuple[str, ...],
    pipeline: Path | None,
    block_shape: tuple[int, ...] | None,
    workers: int | None,
) -> None:
    workers = workers or os.cpu_count() or 1
    if pipeline is not None:
        outputs = load_pipeline(pipeline, input, str(Path.cwd()))
    else:
        outputs = _outputs(input, "output", steps, None)
    options = PlanOptions(block_shape=block_shape, workers=workers, cost=_cost())
    click.echo(explain_outputs(outputs, options))


def _cost() -> CostModel:
    """What jobs would be planned by; a broker that does not answer is no reason not to explain."""
    try:
        return tuning.current(find_settings())
    except BrokerUnreachable:
        return model_of_folder()


@click.command(help="List the operations that steps and graphs may name.")
@click.option("--markdown", is_flag=True, help="All that is known of each, as docs/catalogue.md has it.")
def operations(markdown: bool) -> None:
    if markdown:
        from lepton_celery.proving.catalogue_page import markdown as written

        click.echo(written(), nl=False)
        return
    table = RichTable("operation", "parameters", "exactness", box=None, header_style="bold")
    for name in public_names():
        entry = catalogue()[name]
        if isinstance(entry, Refused):
            continue
        promise = "depends" if callable(entry.promise) else str(entry.promise)
        hidden = (*entry.images[:1], "args", "kwargs")
        parameters = [str(p) for p in entry.signature.parameters.values() if p.name not in hidden]
        table.add_row(name, ", ".join(p.replace("<no value>", "…") for p in parameters), promise)
    Console().print(table)
