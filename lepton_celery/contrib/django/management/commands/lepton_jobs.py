"""`manage.py lepton_jobs`: lists jobs with their users."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from lepton_celery.contrib.django import mirror
from lepton_celery.contrib.django.models import Job
from lepton_celery.errors import LeptonError
from lepton_celery.ledger import JobState


class Command(BaseCommand):
    """`celery -A PROJECT lepton jobs` lists those of the ledger, also of other sites."""

    help = "List the newest jobs of this site."

    def add_arguments(self, parser: CommandParser) -> None:
        """The arguments."""
        parser.add_argument("--user", metavar="NAME", help="only the jobs of this user")
        parser.add_argument("--state", choices=[str(state) for state in JobState], help="only jobs in this state")
        parser.add_argument("--limit", type=int, default=20, help="largest number of jobs")
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, *args: Any, user: str | None, state: str | None, limit: int, **options: Any) -> None:
        """List jobs."""
        try:
            mirror.refresh_open()
        except LeptonError as error:
            self.stderr.write(f"the list may be old: {error}")
        jobs = Job.objects.select_related("owner")
        if user is not None:
            model = get_user_model()
            if not model.objects.filter(**{str(model.USERNAME_FIELD): user}).exists():
                raise CommandError(f"there is no user {user!r}")
            jobs = jobs.filter(**{f"owner__{model.USERNAME_FIELD}": user})
        if state is not None:
            jobs = jobs.filter(state=state)
        for job in jobs[:limit]:
            self.stdout.write(_as_json(job) if options["json"] else _line(job))


def _line(job: Job) -> str:
    created = job.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
    return f"{job.pk:<14}{job.state:<11}{job.progress:>4.0%}  {created}  {job.owner.get_username():<16}{job.title}"


def _as_json(job: Job) -> str:
    document = {name: getattr(job, name) for name in ("title", "state", "progress", "error", "outputs")}
    ended = job.finished_at and job.finished_at.isoformat()
    times = {"created_at": job.created_at.isoformat(), "finished_at": ended}
    return json.dumps({"job": job.pk, "user": job.owner.get_username(), **document, **times})
