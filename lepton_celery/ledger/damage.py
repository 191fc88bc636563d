"""Jobs whose entries in the ledger cannot be understood: somebody else wrote them, or a part of them is lost."""

from __future__ import annotations

from lepton_celery.errors import JobError
from lepton_celery.grid import StageNumber
from lepton_celery.ledger.info import JobInfo, JobState
from lepton_celery.limits import MAX_MOMENT
from lepton_celery.text import quoted, shown


def damaged(job_id: str, problem: str) -> JobError:
    """The error for a job whose keys cannot be understood."""
    return JobError(
        f"the ledger's entry of job {quoted(job_id)} is damaged ({shown(problem)}); `lepton forget` removes it, and "
        "the job can be resumed from the manifest beside its outputs",
        job_id,
    )


def info_of_damaged(error: JobError, created_at: float) -> JobInfo:
    """What can be said of such a job: the reason, and when it was listed."""
    created_at = min(max(created_at, 0.0), MAX_MOMENT)
    return JobInfo(
        job_id=error.job_id,
        state=JobState.DAMAGED,
        lane="",
        title="",
        stage=StageNumber(0),
        stages=1,
        blocks_done=0,
        blocks_total=0,
        dispatched=0,
        created_at=created_at,
        updated_at=created_at,
        finished_at=created_at,
        error=str(error),
    )
