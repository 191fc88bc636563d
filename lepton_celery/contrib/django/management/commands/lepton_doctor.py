"""`manage.py lepton_doctor`: checks everything that jobs depend on."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from lepton_celery.contrib.django.connecting import site
from lepton_celery.contrib.django.management.celery_command import celery_command


class Command(BaseCommand):
    """The system checks of this app, then `lepton doctor` with the project's Celery application."""

    help = "Check the settings, the server, the workers and the files that jobs depend on; the exit code is 1 for a problem."

    def handle(self, *args: Any, **options: Any) -> None:
        """Check, and end with the exit code."""
        call_command("check", tags=["lepton"], deploy=True)
        folder = site().options.folder
        folder.mkdir(parents=True, exist_ok=True)
        self.stdout.flush()
        sys.exit(subprocess.call(celery_command("lepton", "doctor", "--path", str(folder))))
