"""`manage.py lepton_worker`: starts a Celery worker for jobs and for the project's own tasks."""

from __future__ import annotations

import argparse
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from lepton_celery.contrib.django.connecting import site
from lepton_celery.contrib.django.management.celery_command import celery_command
from lepton_celery.local.worker_command import ONE_THREAD, WORKER_OPTIONS
from lepton_celery.priority import LANES, queue_of


class Command(BaseCommand):
    """It prints the `celery` command that it runs, and becomes that process."""

    help = "Start a Celery worker for the lanes of jobs and for the queues of the project."

    def add_arguments(self, parser: CommandParser) -> None:
        """The arguments."""
        parser.add_argument("--concurrency", type=int, help="number of processes; by default one for each processor")
        parser.add_argument(
            "--queues", default="", help="queues to serve; by default the lanes and those of the project"
        )
        parser.add_argument("--loglevel", default="INFO")
        parser.add_argument(
            "more", nargs=argparse.REMAINDER, metavar="-- OPTION…", help="more options of `celery worker`"
        )

    def handle(self, *args: Any, concurrency: int | None, queues: str, loglevel: str, **options: Any) -> None:
        """Become a worker."""
        served = queues or ",".join(dict.fromkeys([*map(queue_of, LANES), *site().app.amqp.queues]))
        arguments = [
            "worker",
            f"--queues={served}",
            f"--loglevel={loglevel}",
            "--prefetch-multiplier=1",
            *WORKER_OPTIONS,
        ]
        if concurrency is not None:
            arguments.append(f"--concurrency={concurrency}")
        command = celery_command(*arguments, *(one for one in options["more"] if one != "--"))
        self.stdout.write(" ".join(command))
        self.stdout.flush()
        os.execvpe(command[0], command, {**ONE_THREAD, "REMAP_SIGTERM": "SIGQUIT", **os.environ})
