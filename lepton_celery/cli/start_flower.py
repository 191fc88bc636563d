"""`lepton flower`: starts Flower, with the pages for jobs, as it should be."""

from __future__ import annotations

import os
import shlex
import sys
from importlib.util import find_spec

import click

from lepton_celery.cli.console import messages
from lepton_celery.errors import InputError
from lepton_celery.jobs.find import need_settings
from lepton_celery.local.flower_command import MISSING, flower_command, without_secrets
from lepton_celery.local.worker_command import OWN_APP, STANDALONE_APP, app_module


@click.command()
@click.option(
    "--address",
    metavar="ADDRESS",
    help="Address to listen on.  [default: 127.0.0.1, and all addresses of the machine if there is a password]",
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 for a free one.  [default: 5555]")
@click.option("--app", help="Module of the Celery application.  [default: workers.app if there is one]")
@click.argument("options", metavar="[-- OPTION…]", nargs=-1)
def flower(address: str | None, port: int | None, app: str | None, options: tuple[str, ...]) -> None:
    """Start Flower in the foreground: jobs, lanes, workers and tasks in a browser.

    It prints the `celery` command that it runs, and becomes that process. LEPTON_FLOWER_AUTH is its user:password. Without
    one it listens on this machine only; with another --address it makes a password and tells it. Options after -- go to
    Flower: `-- --url_prefix=flower --read_only=false`.
    """
    if find_spec("flower") is None:
        raise InputError(MISSING)
    module = app or app_module()
    if module in (OWN_APP, STANDALONE_APP):  # the application of a project may know its broker itself
        need_settings()
    command = flower_command(module, address=address or "", port=port, options=options)
    messages().print(shlex.join(["celery", *without_secrets(command)]))
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", "celery", *command], dict(os.environ))
