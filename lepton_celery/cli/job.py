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
from lepton_celery.jobs.report import ago
from lepton_celery.jobs.resume import resume as resume_job
from lepton_celery.jobs.retry import Again
from lepton_celery.jobs.retry import retry as retry_job
from lepton_celery.ledger.info import JobState
from lepton_celery.limits import MAX_BLOCKS
from lepton_celery.planning.explain import counted, duration
from lepton_celery.text import shown, shown_lines
from lepton_celery.views.job import JobView, view_of
from lepton_celery.views.listing import lasting

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

    def read() -> JobView:
        return view_of(job, most_troubled=MAX_BLOCKS)

    if watch:
        redrawn(
            read,
            show=lambda view: _described(job, view),
            document=job_document if as_json else None,
            until=lambda view: not view.summary.is_open,
            key=lambda view: lasting(view.summary),
        )
    else:
        if wait:
            _wait(job, timeout)
        if as_json:
            print_json(job_document(read()))
        else:
            output().print(_described(job, read()))
    _raise_failure(job)


def _wait(job: Job, timeout_s: float | None) -> None:
    with suppress(JobFailed, JobCancelled):  # the status says it, and then the exit code
        job.wait(timeout_s, progress=True)


def _described(job: Job, view: JobView) -> str:
    """The status of a job, as lines of text."""
    row = view.summary
    started = datetime.fromtimestamp(row.created_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    took = "running for" if row.is_open else "took"
    left = f", about {duration(row.remaining_s)} left" if row.remaining_s is not None else ""
    lines = [
        f"job      {shown(row.job)}  {shown(row.title)}",
        f"state    {row.state}, {row.progress:.0%}{left}",
        f"stage    {row.stage_label}, {row.blocks_done} of {row.blocks} blocks",
        f"lane     {shown(row.priority)}" + (f", tenant {shown(row.tenant)}" if row.tenant else ""),
        f"started  {started} ({ago(time.time() - row.created_at)}), {took} {duration(row.took_s)}",
    ]
    lines += [f"owner    {shown(row.owner)}"] if row.owner else []
    lines += [f"repeats  job {shown(row.retry_of)}"] if row.retry_of else []
    lines += [f"again    job {shown(row.retried_as)} does it again"] if row.retried_as else []
    lines += [f"waits    {shown(row.waits_for)}"] if row.is_open and row.waits_for else []
    lines += [f"output   {shown(path, LONG)}" for path in view.outputs]
    lines += [
        f"filled   block {filled.block} {filled.region} after {filled.attempts} attempts: {shown(filled.reason)}"
        for filled in view.filled
    ]
    lines += [f"warning  {shown(text)}" for text in view.warnings]
    if row.state == JobState.DONE:
        lines.append(shown_lines(job.report()))
    if view.failure is not None:
        lines.append(f"block    {view.failure.block} {view.failure.region}")
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
def retry(job_id: str) -> None:
    """Try again what was given up of a job.

    JOB is the job's id, or the beginning of it. Of a job that has not ended, the blocks of its current stage that were given
    up and filled are done after all. A failed job is resumed. One that is done with filled blocks, or was cancelled, is
    submitted again as a new job, which replaces its outputs when it is done.
    """
    settings = need_settings()
    done = retry_job(find_by_prefix(job_id, settings=settings).id, app=app_with(settings))
    match done.what:
        case Again.BLOCKS:
            click.echo(f"job {done.job.id} tries {counted(done.blocks, 'block')} again that had been given up")
        case Again.RESUMED:
            click.echo(f"job {done.job.id} continues, with {counted(done.blocks, 'block')} of its stage to do")
        case Again.WHOLE_JOB:
            click.echo(f"job {done.job.id} does all of it again")


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
