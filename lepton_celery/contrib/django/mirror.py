"""Keeps the rows of jobs as the ledger has the jobs: a row is written when its job begins and when it ends, and no block
writes one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from django.apps import apps
from django.db import transaction
from django.utils import timezone

from lepton_celery.contrib.django.connecting import site
from lepton_celery.contrib.django.signals import job_failed, job_finished
from lepton_celery.errors import JobNotFound, LeptonError
from lepton_celery.jobs.eager import find_job
from lepton_celery.jobs.report import progress_of
from lepton_celery.ledger import JobInfo, JobState, open_ledger
from lepton_celery.text import shown

if TYPE_CHECKING:
    from lepton_celery.contrib.django.models import Job, JobManager

UNKNOWN_AFTER = timedelta(minutes=10)
"""How long a job may be in a transaction, or on its way to the ledger."""
GONE = (
    "the ledger does not know this job: it was never sent, as the process ended before, or the ledger was lost; submit it "
    "again"
)

OPEN = (str(JobState.RUNNING), str(JobState.PAUSED))
"""States of jobs that have not ended."""

_PROGRESS = 0.01
"""Least change of the progress that is written."""
_TOGETHER = 500
"""Number of rows that are read and written at a time."""


def refresh(rows: Iterable[Job]) -> int:
    """Bring rows up to date, with one reading of the ledger for all of them; return the number of those that have changed.

    Raises:
        BrokerUnreachable: the ledger does not answer.
    """
    known = {row.pk: row for row in rows}
    infos = _infos(known)
    changed, moved = 0, []
    for job_id, row in known.items():
        info = infos.get(job_id)
        if info is None:
            if row.is_open and timezone.now() - row.created_at > UNKNOWN_AFTER:
                changed += record_end(row, state=JobState.FAILED, error=GONE, finished_at=timezone.now())
        elif info.state.is_open:
            progress = round(progress_of(info), 4)
            if row.state != info.state or abs(row.progress - progress) >= _PROGRESS:
                row.state, row.progress, row.error, row.finished_at = str(info.state), progress, "", None
                moved.append(row)
        else:
            changed += record_end(row, **_end(info))
    _jobs().bulk_update(moved, ["state", "progress", "error", "finished_at"], batch_size=_TOGETHER)
    return changed + len(moved)


def refresh_open() -> int:
    """Bring the rows of all jobs up to date that have not ended; return the number of those that have changed."""
    ids = list(_jobs().filter(state__in=OPEN).values_list("pk", flat=True))
    groups = (ids[first : first + _TOGETHER] for first in range(0, len(ids), _TOGETHER))
    return sum(refresh(_jobs().filter(pk__in=group)) for group in groups)


def record_end(row: Job, **end: Any) -> bool:
    """Write the end of a job to its row and send the signal; False if the row has this end already.

    The row is compared and written at once, so that of several processes one sends the signal.
    """
    with transaction.atomic():
        same = {"state": end["state"], "finished_at": end["finished_at"]}
        if all(getattr(row, name) == value for name, value in same.items()):
            return False
        rows = _jobs().filter(pk=row.pk).exclude(**same)
        if end["error"] == GONE:
            rows = rows.filter(state__in=OPEN)  # an end that the ledger knew of stays
        if not rows.update(**end):
            return False
        for name, value in end.items():
            setattr(row, name, value)
        signal = {JobState.DONE: job_finished, JobState.FAILED: job_failed}.get(end["state"])
        if signal is not None:
            signal.send(type(row), job=row)
    return True


def refresh_ended(job_id: str) -> None:
    """Bring the row of a job up to date that has ended."""
    refresh(_jobs().filter(pk=job_id))


def prune(rows_days: float | None) -> tuple[int, int]:
    """Remove old uploads and results, and rows of jobs that ended more than `rows_days` days ago; return both numbers."""
    files, rows = site().prune(), 0
    if rows_days is not None:
        before = timezone.now() - timedelta(days=rows_days)
        rows, _ = _jobs().exclude(state__in=OPEN).filter(finished_at__lt=before).delete()
    return files, rows


def _jobs() -> JobManager:
    """The manager of the model, which imports this module."""
    return cast("JobManager", apps.get_model("lepton", "Job").objects)


def _infos(job_ids: Iterable[str]) -> dict[str, JobInfo]:
    here, others = {}, {}
    for job_id in job_ids:
        job = find_job(job_id)  # with task_always_eager jobs run in this process
        if job is None:
            others[job_id] = 0.0
        else:
            here[job_id] = job.info()
    ledger = open_ledger(site().app.conf["lepton"].ledger)
    return here | (ledger.infos(others) if others else {})


def _end(info: JobInfo) -> dict[str, Any]:
    finished = info.finished_at or info.updated_at
    return {
        "state": str(info.state),
        "progress": 1.0 if info.state is JobState.DONE else round(progress_of(info), 4),
        "error": shown(site().without_folder(info.error.encode(), info.owner).decode(), 2000),
        "finished_at": datetime.fromtimestamp(finished, UTC),
        "outputs": _outputs(info),
    }


def _outputs(info: JobInfo) -> list[dict[str, Any]]:
    try:
        job = find_job(info.job_id) or site().job(info.owner, info.job_id)
        return [{"name": result.name, "bytes": result.bytes} for result in site().results(job)]
    except (JobNotFound, LeptonError, OSError):
        return []
