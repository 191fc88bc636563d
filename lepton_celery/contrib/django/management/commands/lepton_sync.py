"""`manage.py lepton_sync`: brings the rows of open jobs up to date with the ledger."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lepton_celery.contrib.django import mirror
from lepton_celery.errors import LeptonError


class Command(BaseCommand):
    """Workers tell of each end, so this is needed only after faults, and for the progress in your own queries."""

    help = "Bring the rows of jobs that have not ended up to date with the ledger, and send the signals of those that have."

    def handle(self, *args: Any, **options: Any) -> None:
        """Bring rows up to date."""
        try:
            count = mirror.refresh_open()
        except LeptonError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{count:,} rows changed")
