"""The group of commands; it turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from lepton_celery.errors import LeptonError

_COMMANDS = {
    "run": "run",
    "explain": "run",
    "operations": "operations",
    "prove": "prove",
    "jobs": "jobs",
    "status": "jobs",
    "pause": "jobs",
    "resume": "jobs",
    "cancel": "jobs",
    "forget": "jobs",
    "calibrate": "calibrate",
    "doctor": "doctor",
    "up": "up",
    "demo": "demo",
}
"""The module of each command. Modules are imported when they are used, so that a command starts quickly."""


class _Failure(click.ClickException):
    """An error of this package as click shows it: its message, and its exit code."""

    def __init__(self, error: LeptonError) -> None:
        super().__init__(str(error))
        # click's stub has one exit code for all of a class
        self.exit_code = error.exit_code  # type: ignore[misc]


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"lepton_celery.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LeptonError as error:
            raise _Failure(error) from error


@click.group(cls=_Group)
@click.version_option(package_name="lepton-celery")
def lepton() -> None:
    """Split, process and merge large images on Celery workers."""


def main() -> None:
    """Entry point of the `lepton` command."""
    sys.exit(lepton(prog_name="lepton"))
