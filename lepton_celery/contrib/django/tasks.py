"""The task that is sent once when a job has ended."""

from __future__ import annotations

from celery import shared_task

from lepton_celery.contrib.django import mirror


@shared_task(
    name="lepton_celery.contrib.django.job_ended",
    ignore_result=True,
    acks_late=True,
    reject_on_worker_lost=True,
    autoretry_for=(Exception,),
    retry_backoff=True,
    max_retries=12,
)
def job_ended(job_id: str, state: str) -> None:
    """Bring the row of a job up to date, and send its signal; a message that comes twice does nothing more."""
    mirror.refresh_ended(job_id)
