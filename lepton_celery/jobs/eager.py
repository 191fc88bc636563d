"""Jobs of an application with `task_always_eager`, which run where they are submitted, as Celery's tasks do then.

This process remembers its last jobs, so that code which looks a job up by its id can be tested too.
"""

from __future__ import annotations

from collections import OrderedDict

from celery import Celery

from lepton_celery.engines.celery.sending.notices import call_at_once
from lepton_celery.execution.manifest import Manifest
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.prepare import Prepared
from lepton_celery.jobs.run import new_record, run_prepared
from lepton_celery.ledger.info import JobInfo, JobState
from lepton_celery.ledger.record import RunRecord

_MAX_REMEMBERED = 100

_records: OrderedDict[str, RunRecord] = OrderedDict()
"""The records of this process's last jobs, by id, the newest last."""


def is_eager(app: Celery) -> bool:
    """Whether an application runs tasks where they are sent."""
    return bool(app.conf.task_always_eager)


def run_at_once(app: Celery, prepared: Prepared) -> Job:
    """Run a job in the calling thread.

    Raises:
        Exception: the job failed, and the application has `task_eager_propagates`. Otherwise the job is returned as failed,
            and `Job.wait` raises.
    """
    record = _records[prepared.manifest.job_id] = new_record(prepared)
    while len(_records) > _MAX_REMEMBERED:
        _records.popitem(last=False)
    try:
        job = run_prepared(prepared, threads=1, record=record)
    except Exception as error:  # whatever it is, the job keeps it, and `Job.wait` raises it
        if record.info(prepared.manifest.job_id).state.is_open:  # it failed before its first block
            record.fail(str(error))
        _call_on_done(app, prepared.manifest, JobState.FAILED)
        if app.conf.task_eager_propagates:
            raise
        return Job(prepared.manifest.job_id, record, roots=prepared.roots)
    _call_on_done(app, prepared.manifest, JobState.DONE)
    return job


def _call_on_done(app: Celery, manifest: Manifest, state: JobState) -> None:
    """Do what the job's `on_done` asks for, here, as tasks are done then."""
    if manifest.options.on_done is not None:
        call_at_once(app, manifest.options.on_done, manifest.job_id, state)


def find_job(job_id: str) -> Job | None:
    """A job that ran in this process."""
    record = _records.get(job_id)
    return None if record is None else Job(job_id, record)


def newest_jobs(limit: int) -> list[JobInfo]:
    """The last jobs that ran in this process, newest first."""
    return [record.info(job_id) for job_id, record in reversed(_records.items())][:limit]
