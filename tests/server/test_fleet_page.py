"""The commands of docs/fleet.md: each exists and has these options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from lepton_celery.cli import lepton as lepton_command

PAGE = Path(__file__).parents[2] / "docs" / "fleet.md"


def lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def parsed(command: click.Command, name: str, arguments: list[str]) -> str:
    """The full name of the command that the arguments call; nothing runs."""
    context = command.make_context(name, arguments)
    if not isinstance(command, click.Group):
        return name
    rest = [*context._protected_args, *context.args]
    word, following, rest = command.resolve_command(context, rest)
    assert following is not None
    return parsed(following, f"{name} {word}", rest)


def test_the_page_shows_commands() -> None:
    assert len(lines()) >= 7


@pytest.mark.parametrize("line", lines())
def test_the_command_exists_with_these_options(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert parsed(lepton_command, program, arguments) in (
        "lepton worker",
        "lepton autoscale fleet",
        "lepton autoscale status",
    )
