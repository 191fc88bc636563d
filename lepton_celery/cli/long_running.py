"""What a command says that runs for long: lines with the time, or JSON lines of a log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from lepton_celery.cli.console import say
from lepton_celery.config import Settings
from lepton_celery.json_lines import is_json, log_to_stderr
from lepton_celery.text import logger

log = logger(__name__)


def teller(settings: Settings) -> Callable[[str], None]:
    """The function to say something with; with JSON, all of the process is logged to standard error."""
    if not is_json(settings):
        return _say_at
    log_to_stderr()
    return _log


def _say_at(text: str) -> None:
    say(f"{datetime.now().astimezone():%H:%M:%S} {text}")


def _log(text: str) -> None:
    log.info("%s", text)
