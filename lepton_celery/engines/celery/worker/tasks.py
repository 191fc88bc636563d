"""The Celery tasks, a few lines each over `work`."""

from __future__ import annotations

from celery import Task, shared_task

from lepton_celery.engines.celery.sending.canvas import CLOSE, PROCESS, TIDY
from lepton_celery.engines.celery.worker import inspection as inspection
from lepton_celery.engines.celery.worker import work
from lepton_celery.grid import StageNumber


@shared_task(
    bind=True,
    name=PROCESS,
    acks_late=True,
    reject_on_worker_lost=True,
    ignore_result=True,
    max_retries=None,  # `work` counts them, by the settings of the application in which it runs
)
def process_batch(self: Task[..., None], job_id: str, stage: StageNumber, blocks: str) -> None:
    """Do the blocks of one batch that have no receipt yet."""
    work.process(self, job_id, stage, blocks)


@shared_task(
    bind=True,
    name=CLOSE,
    acks_late=True,
    reject_on_worker_lost=True,
    ignore_result=True,
    max_retries=None,
)
def close_wave(self: Task[..., None], job_id: str, stage: StageNumber) -> None:
    """Send the job's next wave; merge the stage if every block has its receipt."""
    work.close(self, job_id, stage)


@shared_task(bind=True, name=TIDY, acks_late=True, ignore_result=True)
def tidy_job(self: Task[..., None], job_id: str) -> None:
    """Discard the files of a job that ended long ago, and forget the job."""
    work.tidy(self, job_id)
