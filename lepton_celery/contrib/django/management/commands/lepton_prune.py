"""`manage.py lepton_prune`: removes old uploads, results and rows."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from lepton_celery.contrib.django import mirror


class Command(BaseCommand):
    """Run it daily, such as by celery beat or cron."""

    help = "Remove uploads and results that have not changed for KEEP_S seconds; --rows-days removes rows of ended jobs too."

    def add_arguments(self, parser: CommandParser) -> None:
        """The arguments."""
        parser.add_argument(
            "--rows-days", type=float, metavar="DAYS", help="remove rows of jobs that ended so long ago"
        )

    def handle(self, *args: Any, rows_days: float | None = None, **options: Any) -> None:
        """Remove what is old."""
        files, rows = mirror.prune(rows_days)
        self.stdout.write(f"{files:,} uploads and folders of results removed")
        if rows_days is not None:
            self.stdout.write(f"{rows:,} rows removed")
