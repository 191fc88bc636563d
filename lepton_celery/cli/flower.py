"""`celery -A APP flower`: Flower's own command, with pages for jobs, or one that says how to install Flower.

Celery finds commands by their entry points before it loads the application, so without this it only says that there is no
such command.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import click


def __getattr__(name: str) -> Any:
    if name != "flower":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec("flower") is None:
        return _missing
    from flower.command import flower

    from lepton_celery.flower import guard, tab

    guard.install()
    tab.install()
    return flower


@click.command("flower", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def _missing(options: tuple[str, ...]) -> None:
    """Flower, the dashboard for workers, which is not installed."""
    from lepton_celery.local.flower_command import MISSING

    raise click.ClickException(MISSING)
