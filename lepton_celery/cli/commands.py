"""The `lepton` group of commands, which turns errors into messages and exit codes."""

from __future__ import annotations

import sys
from pkgutil import resolve_name
from typing import Any

import click

from lepton_celery.errors import LeptonError

_COMMANDS = {
    "run": "run",
    "explain": "run",
    "operations": "operations",
    "prove": "prove",
    **dict.fromkeys(["jobs", "status", "pause", "resume", "cancel", "forget"], "jobs"),
    "calibrate": "calibrate",
    "doctor": "doctor",
    "up": "up",
    "demo": "shipped",
}
"""The module of each command, imported when the command runs or is listed."""


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = resolve_name(f"lepton_celery.cli.{_COMMANDS[cmd_name]}:{cmd_name}")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LeptonError as error:
            failure = click.ClickException(str(error))
            failure.exit_code = error.exit_code  # type: ignore[misc] # click's stub has one exit code for all of a class
            raise failure from error


@click.group(cls=_Group, context_settings={"show_default": True})
@click.version_option(package_name="lepton-celery")
def lepton() -> None:
    """Split, process and merge large images on Celery workers."""


def main() -> None:
    """Entry point of the `lepton` command."""
    sys.exit(lepton(prog_name="lepton"))
