"""The `lepton` group of commands."""

from __future__ import annotations

from difflib import get_close_matches
from pkgutil import resolve_name
from typing import Any

import click

from lepton_celery.cli.exits import EXIT_CODES, errors_as_messages

COMMANDS = {
    "run": "run",
    "explain": "explain",
    "operations": "operations",
    "prove": "prove",
    "jobs": "jobs",
    "top": "top",
    **dict.fromkeys(["status", "pause", "resume", "retry", "cancel", "forget", "reprioritize"], "job"),
    "report": "report",
    "calibrate": "calibrate",
    "doctor": "doctor",
    "autoscale": "autoscale",
    "up": "up",
    "worker": "worker",
    "flower": "start_flower",
    "demo": "shipped",
}
"""The module of each command, imported when the command runs or is listed."""

_SYNONYMS = {
    "list": "jobs",
    "ps": "jobs",
    "htop": "top",
    "dashboard": "flower",
    "monitor": "top",
    "wait": "status",
    "watch": "status",
    "stop": "cancel",
    "kill": "cancel",
} | {
    "rm": "forget",
    "delete": "forget",
    "start": "up",
    "renice": "reprioritize",
    "priority": "reprioritize",
    "redo": "retry",
    "check": "doctor",
    "plan": "explain",
    "submit": "run",
    "catalogue": "operations",
    "functions": "operations",
}
"""Words that people try, and the command that does it."""


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = resolve_name(f"lepton_celery.cli.{COMMANDS[cmd_name]}:{cmd_name}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in COMMANDS or name.startswith("-"):
            return super().resolve_command(ctx, args)
        close = [_SYNONYMS[name]] if name in _SYNONYMS else get_close_matches(name, COMMANDS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(COMMANDS)}."
        raise click.UsageError(f"No such command {name!r}; {hint}", ctx)

    def invoke(self, ctx: click.Context) -> Any:
        with errors_as_messages(show_traceback=ctx.params.get("traceback", False)):
            return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


@click.group(cls=_Group, context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lepton-celery")
@click.option("--traceback", is_flag=True, help="Show the Python traceback of an error, for a report.")
def lepton(traceback: bool) -> None:
    """Split, process and merge large images on Celery workers.

    `lepton COMMAND --help` describes a command. Begin with `lepton demo`, or with:

    \b
      lepton run slide.tif labels.zarr gaussian:sigma=2 threshold:otsu label
    """
