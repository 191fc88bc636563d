"""`lepton jobs`, `lepton status`, and what stops jobs and lets them go on."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table as RichTable

from lepton_celery.cli.where import need_settings
from lepton_celery.engines.celery.app import create_app
from lepton_celery.errors import JobFailed
from lepton_celery.grid import BlockIndex, StageIndex
from lepton_celery.jobs.find import get_job, list_jobs
from lepton_celery.jobs.report import compare, summarize
from lepton_celery.jobs.resume import resume as resume_job
from lepton_celery.ledger.info import JobInfo, JobState


@click.command(help="List the newest jobs.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
def jobs(limit: int) -> None:
    found = list_jobs(limit=limit, settings=need_settings())
    if not found:
        click.echo("no jobs yet; submit one with lepton run")
        return
    table = RichTable(
        "job", "state", "lane", "stage", "blocks", "started", "took", "title", box=None, header_style="bold"
    )
    for info in found:
        table.add_row(
            info.job_id,
            _state(info),
            info.lane,
            info.stage_label,
            f"{info.blocks_done}/{info.blocks_total}",
            datetime.fromtimestamp(info.created_at, UTC).astimezone().strftime("%d %b %H:%M:%S"),
            f"{_seconds(info):.1f} s",
            info.title,
        )
    Console().print(table)


@click.command(help="Say how far JOB is; exit code 0 when it is done or running, 5 when it failed, 6 when cancelled.")
@click.argument("job", metavar="JOB")
def status(job: str) -> None:
    found = get_job(job, settings=need_settings())
    info = found.info()
    click.echo(f"job      {info.job_id}  {info.title}")
    click.echo(f"state    {info.state}, {found.progress():.0%}")
    click.echo(f"stage    {info.stage_label}, {info.blocks_done} of {info.blocks_total} blocks")
    click.echo(f"lane     {info.lane}")
    manifest = found.manifest()
    for path in manifest.output_paths():
        click.echo(f"output   {path}")
    for filled in found.filled_blocks():
        click.echo(f"filled   block {filled.block} {filled.region} after {filled.attempts} attempts: {filled.reason}")
    if info.state is JobState.DONE:
        click.echo(summarize(info, manifest.plan))
        click.echo(compare(info, manifest.plan))
    if (failure := found.failure()) is not None:
        if failure.block >= 0:
            click.echo(f"block    {failure.block} {found.region(StageIndex(failure.stage), BlockIndex(failure.block))}")
        raise JobFailed(
            f"job {info.job_id} failed: {info.error}\nits finished blocks are kept: `lepton resume {info.job_id}` when the "
            f"cause is gone, or `lepton forget {info.job_id}` to remove them",
            info.job_id,
        )
    if info.state is JobState.CANCELLED:
        raise click.exceptions.Exit(6)


@click.command(help="Stop JOB and remove what it has written so far.")
@click.argument("job", metavar="JOB")
def cancel(job: str) -> None:
    found = get_job(job, settings=need_settings())
    if found.cancel():
        click.echo(f"job {job} is cancelled")
    else:
        click.echo(f"job {job} had ended already: {found.info().state}")


@click.command(help="Start no more blocks of JOB until `lepton resume JOB`.")
@click.argument("job", metavar="JOB")
def pause(job: str) -> None:
    found = get_job(job, settings=need_settings())
    if found.pause():
        click.echo(f"job {job} is paused; `lepton resume {job}` lets it go on")
    else:
        click.echo(f"job {job} had ended already, or is just being published: {found.info().state}")


@click.command()
@click.argument("job", metavar="JOB")
def resume(job: str) -> None:
    """Let JOB go on that was paused, failed, or whose ledger was lost; only missing blocks are done.

    JOB is its id or, where the ledger does not know it any more, the path of one of its outputs or of the folder
    .lepton-<job> beside them.
    """
    resumed = resume_job(job, app=create_app(need_settings()))
    info = resumed.info()
    if info.state is JobState.DONE:
        click.echo(f"job {resumed.id} is done already")
    else:
        click.echo(
            f"job {resumed.id} goes on at stage {info.stage_label}, {info.blocks_done} of {info.blocks_total} blocks done"
        )


@click.command(help="Remove JOB, which has ended, from the list, and what is left of its files if it failed.")
@click.argument("job", metavar="JOB")
def forget(job: str) -> None:
    get_job(job, settings=need_settings()).forget()
    click.echo(f"job {job} is forgotten")


def _seconds(info: JobInfo) -> float:
    return (info.finished_at or info.updated_at) - info.created_at


def _state(info: JobInfo) -> str:
    colours = {
        JobState.DONE: "green",
        JobState.FAILED: "red",
        JobState.CANCELLED: "yellow",
        JobState.PAUSED: "yellow",
        JobState.RUNNING: "cyan",
    }
    filled = f" with {info.filled} filled blocks" if info.filled else ""
    return f"[{colours[info.state]}]{info.state}[/]{filled}"
