"""`lepton status`, and the commands that stop one job and continue it."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from lepton_celery.cli.console import LONG, json_option, output, print_json
from lepton_celery.cli.documents import job_document
from lepton_celery.cli.watching import redrawn
from lepton_celery.cli.where import app_with, need_settings
from lepton_celery.errors import InputError, JobCancelled, JobError, JobFailed
from lepton_celery.jobs.find import find_by_prefix
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.report import ago, progress_of, took_s
from lepton_celery.jobs.resume import resume as resume_job
from lepton_celery.ledger.info import JobInfo, JobState
from lepton_celery.planning.explain import duration
from lepton_celery.text import shown, shown_lines

_job_argument = click.argument("job_id", metavar="JOB")


@click.command()
@_job_argument
@click.option("--wait", is_flag=True, help="Wait until the job has ended.")
@click.option("--watch", is_flag=True, help="Show the status whenever it changes, until the job has ended.")
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Longest time to wait.  [default: none]")
@json_option
def status(job_id: str, wait: bool, watch: bool, timeout: float | None, as_json: bool) -> None:
    """Show the progress of a job.

    JOB is the job's id, or the beginning of it. The exit code is 5 if the job failed, 6 if it was cancelled, 7 after
    --timeout, and 0 otherwise. With --json and --watch, each change is a line of JSON.
    """
    if watch and wait:
        raise InputError("both --wait and --watch were given; --watch waits too")
    if timeout is not None and not wait:
        raise InputError("--timeout is for --wait; give both")
    job = find_by_prefix(job_id, settings=need_settings())
    if watch:
        redrawn(
            job.info,
            show=lambda info: _described(job, info),
            document=(lambda info: job_document(job)) if as_json else None,
            until=lambda info: not info.state.is_open,
        )
    else:
        if wait:
            _wait(job, timeout)
        if as_json:
            print_json(job_document(job))
        else:
            output().print(_described(job, job.info()))
    _raise_failure(job)


def _wait(job: Job, timeout_s: float | None) -> None:
    with suppress(JobFailed, JobCancelled):  # the status says it, and then the exit code
        job.wait(timeout_s, progress=True)


def _described(job: Job, info: JobInfo) -> str:
    """The status of a job, as lines of text."""
    manifest = job.manifest()
    started = datetime.fromtimestamp(info.created_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    took = "took" if not info.state.is_open else "running for"
    lines = [
        f"job      {shown(info.job_id)}  {shown(info.title)}",
        f"state    {info.state}, {progress_of(info, manifest.plan):.0%}",
        f"stage    {info.stage_label}, {info.blocks_done} of {info.blocks_total} blocks",
        f"lane     {shown(info.priority)}" + (f", tenant {shown(info.tenant)}" if info.tenant else ""),
        f"started  {started} ({ago(time.time() - info.created_at)}), {took} {duration(took_s(info))}",
    ]
    lines += [f"output   {shown(path, LONG)}" for path in manifest.output_paths()]
    lines += [
        f"filled   block {filled.block} {filled.region} after {filled.attempts} attempts: {shown(filled.reason)}"
        for filled in job.filled_blocks()
    ]
    lines += [f"warning  {shown(text)}" for text in job.warnings()]
    if info.state is JobState.DONE:
        lines.append(shown_lines(job.report()))
    failure = job.failure()
    if failure is not None and failure.block >= 0:
        lines.append(f"block    {failure.block} {job.region(failure.stage, failure.block)}")
    return "\n".join(lines)


def _raise_failure(job: Job) -> None:
    """Raise the error of a job that failed or was cancelled."""
    info = job.info()
    if info.state is JobState.FAILED:
        raise JobFailed(
            f"job {info.job_id} failed: {shown(info.error, LONG)}\nits finished blocks are kept: remove the cause and run "
            f"`lepton resume {info.job_id}`, or remove the blocks with `lepton forget {info.job_id}`",
            info.job_id,
        )
    if info.state is JobState.CANCELLED:
        raise JobCancelled(f"job {info.job_id} was cancelled", info.job_id)


@click.command()
@_job_argument
def cancel(job_id: str) -> None:
    """Stop a job and remove the files that it has written so far.

    JOB is the job's id, or the beginning of it.
    """
    job = find_by_prefix(job_id, settings=need_settings())
    if not job.cancel():
        raise JobError(f"job {job.id} cannot be cancelled: {_ended(job)}", job.id)
    click.echo(f"job {job.id} is cancelled")


@click.command()
@_job_argument
def pause(job_id: str) -> None:
    """Pause a job: start no more of its blocks until `lepton resume`.

    JOB is the job's id, or the beginning of it.
    """
    job = find_by_prefix(job_id, settings=need_settings())
    if not job.pause():
        raise JobError(f"job {job.id} cannot be paused: {_ended(job)}", job.id)
    click.echo(f"job {job.id} is paused; `lepton resume {job.id}` continues it")


@click.command()
@_job_argument
@click.argument("priority", metavar="LANE[:RANK]")
def reprioritize(job_id: str, priority: str) -> None:
    """Change the lane of a job that has not ended, and its rank there.

    JOB is the job's id, or the beginning of it. The lanes are interactive, default and batch; of a tenant's jobs in a lane
    those of the highest rank, from 0 to 9, go first. Blocks that were sent stay in their lane, a few seconds of work.
    """
    job = find_by_prefix(job_id, settings=need_settings())
    if not job.reprioritize(priority):
        raise JobError(f"the priority of job {job.id} cannot be changed: {_ended(job)}", job.id)
    click.echo(f"job {job.id} has the priority {job.info().priority}")


def _ended(job: Job) -> str:
    state = job.info().state
    return "its outputs are being published" if state.is_open else f"it is {state} already"


@click.command()
@_job_argument
def resume(job_id: str) -> None:
    """Continue a job that was paused, that failed, or whose ledger was lost.

    Only missing blocks are computed. JOB is the job's id, or the beginning of it; if the ledger no longer knows the job,
    the path of one of its outputs or of the folder .lepton-JOB beside them.
    """
    settings = need_settings()
    is_lost = Path(f".lepton-{job_id}").exists()  # its manifest is here, whether the ledger knows the job or not
    known = find_by_prefix(job_id, settings=settings).id if job_id.isalnum() and not is_lost else job_id
    job = resume_job(known, app=app_with(settings))
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

    JOB is the job's id, or the beginning of it. The unfinished files of a failed job are removed too, so it can no longer be
    resumed.
    """
    job = find_by_prefix(job_id, settings=need_settings())
    job.forget()
    click.echo(f"job {job.id} is forgotten")
