"""`flask lepton`: the commands of `lepton` for the site's application, and `prune`."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import click
from flask import current_app
from flask.cli import ScriptInfo, with_appcontext

from lepton_celery.priority import LANES, queue_of

WORKER = "lepton_celery.contrib.flask.worker"
"""The module whose application workers run."""


class _Group(click.Group):
    """The commands of `lepton`, and those that were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_lepton().list_commands(ctx), *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or _lepton().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        from lepton_celery.cli.exits import errors_as_messages

        with errors_as_messages(show_traceback=False):
            return super().invoke(ctx)


def _lepton() -> click.Group:
    from lepton_celery.cli.commands import lepton  # here, as every command of the site imports this module

    return lepton


def commands() -> click.Group:
    """A new group of commands, named `lepton`."""
    group = _Group(
        "lepton", callback=_with_application(_adopt), help="Image jobs: list, watch, check, and run workers."
    )
    group.add_command(prune)
    return group


def _with_application(function: Callable[..., None]) -> Callable[..., Any]:
    return click.pass_context(with_appcontext(function))


def _adopt(ctx: click.Context) -> None:
    """Have the commands use the site's Celery application, and workers import the site as this command did."""
    celery = current_app.extensions["celery"]
    ctx.obj, info = SimpleNamespace(app=celery), ctx.find_object(ScriptInfo)  # as `celery -A` does
    if ctx.invoked_subcommand != "worker":
        return
    ctx.default_map = {"worker": {"app": WORKER}}
    if info is not None and info.app_import_path:
        os.environ["FLASK_APP"] = info.app_import_path
    queues = [*map(queue_of, LANES), celery.conf.task_default_queue]
    os.environ.setdefault("CELERY_WORKER_QUEUES", ",".join(queues))  # the variable of `celery worker -Q`


@click.command()
@with_appcontext
def prune() -> None:
    """Remove uploads and results that are older than they are kept."""
    removed = current_app.extensions["lepton"].site.prune()
    click.echo(f"removed {removed} uploads and folders of results")
