"""The `celery` command for the application of the project."""

from __future__ import annotations

import sys

from celery.app.utils import find_app
from django.conf import settings
from django.core.management.base import CommandError

from lepton_celery.contrib.django.connecting import conf, site


def celery_command(*arguments: str) -> list[str]:
    """The command line of `celery -A PROJECT` with arguments.

    Raises:
        CommandError: nothing names the application.
    """
    name = conf().app.app or str(settings.SETTINGS_MODULE).partition(".")[0]
    try:
        found = find_app(name)
    except (ImportError, AttributeError) as error:
        raise CommandError(f"{name} has no Celery application ({error}); name it in LEPTON['APP']") from error
    if found is not site().app:
        raise CommandError(f"{name} has another Celery application than this site; name the right one in LEPTON['APP']")
    return [sys.executable, "-m", "celery", "-A", name, *arguments]
