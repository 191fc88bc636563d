"""The task that is sent once when a job has ended, and two for celery beat."""

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


@shared_task(name="lepton_celery.contrib.django.sync", ignore_result=True)
def sync() -> None:
    """Bring the rows of open jobs up to date, as `manage.py lepton_sync` does."""
    mirror.refresh_open()


@shared_task(name="lepton_celery.contrib.django.prune", ignore_result=True)
def prune(rows_days: float | None = None) -> None:
    """Remove what is old, as `manage.py lepton_prune` does."""
    mirror.prune(rows_days)
