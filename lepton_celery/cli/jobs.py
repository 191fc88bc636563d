"""`lepton jobs`, `lepton status`, and the commands that stop jobs and continue them."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from lepton_celery.cli.where import app_with, need_settings
from lepton_celery.errors import JobFailed
from lepton_celery.jobs.find import get_job, list_jobs
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.report import compare, summarize
from lepton_celery.jobs.resume import resume as resume_job
from lepton_celery.ledger.info import JobState

_COLOURS = {
    JobState.DONE: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
    JobState.PAUSED: "yellow",
    JobState.RUNNING: "cyan",
}

_job_argument = click.argument("job_id", metavar="JOB")


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, help="Largest number of jobs to list.")
def jobs(limit: int) -> None:
    """List the newest jobs."""
    infos = list_jobs(limit=limit, settings=need_settings())
    if not infos:
        click.echo("no jobs yet; submit one with lepton run")
        return
    table = Table("job", "state", "lane", "stage", "blocks", "started", "took", "title", box=None, header_style="bold")
    for info in infos:
        took_s = (info.finished_at or info.updated_at) - info.created_at
        filled = f" with {info.filled} filled blocks" if info.filled else ""
        table.add_row(
            info.job_id,
            f"[{_COLOURS[info.state]}]{info.state}[/]{filled}",
            info.lane,
            info.stage_label,
            f"{info.blocks_done}/{info.blocks_total}",
            datetime.fromtimestamp(info.created_at, UTC).astimezone().strftime("%d %b %H:%M:%S"),
            f"{took_s:.1f} s",
            info.title,
        )
    Console().print(table)


@click.command()
@_job_argument
def status(job_id: str) -> None:
    """Show the progress of a job.

    The exit code is 5 if the job failed, 6 if it was cancelled, and 0 otherwise.
    """
    job = get_job(job_id, settings=need_settings())
    info, manifest = job.info(), job.manifest()
    click.echo(f"job      {info.job_id}  {info.title}")
    click.echo(f"state    {info.state}, {job.progress():.0%}")
    click.echo(f"stage    {info.stage_label}, {info.blocks_done} of {info.blocks_total} blocks")
    click.echo(f"lane     {info.lane}")
    for path in manifest.output_paths():
        click.echo(f"output   {path}")
    for filled in job.filled_blocks():
        click.echo(f"filled   block {filled.block} {filled.region} after {filled.attempts} attempts: {filled.reason}")
    if info.state is JobState.DONE:
        click.echo(summarize(info, manifest.plan))
        click.echo(compare(info, manifest.plan))
    if (failure := job.failure()) is not None:
        if failure.block >= 0:
            click.echo(f"block    {failure.block} {job.region(failure.stage, failure.block)}")
        raise JobFailed(
            f"job {info.job_id} failed: {info.error}\nits finished blocks are kept: remove the cause and run `lepton "
            f"resume {info.job_id}`, or remove the blocks with `lepton forget {info.job_id}`",
            info.job_id,
        )
    if info.state is JobState.CANCELLED:
        raise click.exceptions.Exit(6)


@click.command()
@_job_argument
def cancel(job_id: str) -> None:
    """Stop a job and remove the files that it has written so far."""
    job = get_job(job_id, settings=need_settings())
    click.echo(f"job {job_id} " + ("is cancelled" if job.cancel() else f"cannot be cancelled: {_ended(job)}"))


@click.command()
@_job_argument
def pause(job_id: str) -> None:
    """Pause a job: start no more of its blocks until `lepton resume`."""
    job = get_job(job_id, settings=need_settings())
    if job.pause():
        click.echo(f"job {job_id} is paused; `lepton resume {job_id}` continues it")
    else:
        click.echo(f"job {job_id} cannot be paused: {_ended(job)}")


def _ended(job: Job) -> str:
    state = job.info().state
    return "its outputs are being published" if state.is_open else f"it is {state} already"


@click.command()
@_job_argument
def resume(job_id: str) -> None:
    """Continue a job that was paused, that failed, or whose ledger was lost.

    Only missing blocks are computed. JOB is the job's id or, if the ledger no longer knows the job, the path of one of its
    outputs or of the folder .lepton-<job> beside them.
    """
    job = resume_job(job_id, app=app_with(need_settings()))
    info = job.info()
    if info.state is JobState.DONE:
        click.echo(f"job {job.id} is done already")
    else:
        blocks = f"{info.blocks_done} of {info.blocks_total} blocks done"
        click.echo(f"job {job.id} continues at stage {info.stage_label}, {blocks}")


@click.command()
@_job_argument
def forget(job_id: str) -> None:
    """Remove an ended job from the list.

    The unfinished files of a failed job are removed too, so it can no longer be resumed.
    """
    get_job(job_id, settings=need_settings()).forget()
    click.echo(f"job {job_id} is forgotten")
