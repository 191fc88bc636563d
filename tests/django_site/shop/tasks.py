"""A task of the site."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings


@shared_task(name="shop.notify")
def notify(job_id: str, state: str, order: int) -> int:
    """Called when a job has ended."""
    with (settings.BASE_DIR / "notified.txt").open("a") as file:
        file.write(f"{job_id} {state} {order}\n")
    return order


@shared_task(name="shop.after")
def after(order: int) -> None:
    """Called when `notify` has returned."""
    with (settings.BASE_DIR / "notified.txt").open("a") as file:
        file.write(f"after {order}\n")
