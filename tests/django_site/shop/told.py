"""What is called when jobs have ended: each call is a line of a file."""

from __future__ import annotations

from typing import Any

from django.conf import settings


def note_end(job: Any, **_: Any) -> None:
    """A receiver of signals. It fails once for a job whose title says so."""
    failed = settings.BASE_DIR / f"{job.pk}.failed"
    if job.title == "the receiver fails" and not failed.exists():
        failed.touch()
        raise ZeroDivisionError("the receiver fails once")
    with (settings.BASE_DIR / "signals.txt").open("a") as file:
        file.write(f"{job.pk} {job.state} {job.outputs and job.outputs[0]['name']}\n")
