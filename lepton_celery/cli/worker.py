"""`lepton worker`: starts a Celery worker as it should be."""

from __future__ import annotations

import os
import shlex
import sys

import click

from lepton_celery.cli.console import messages
from lepton_celery.config import load_settings
from lepton_celery.engines.celery.sending.queues import is_rabbitmq
from lepton_celery.errors import InputError
from lepton_celery.fleet.targets import named_lanes
from lepton_celery.jobs.find import find_settings
from lepton_celery.local.worker_command import WorkerOptions, app_module, worker_command
from lepton_celery.priority import LANES


def limits_of(text: str) -> tuple[int, int]:
    """The fewest and the most of a text such as `1,4`.

    Raises:
        InputError: it has another form, or no such limits exist.
    """
    fewest, comma, most = (part.strip() for part in text.partition(","))
    if not (comma and fewest.isdecimal() and most.isdecimal()):
        raise InputError(f"--autoscale {text!r} is not MIN,MAX; give two numbers such as 1,4")
    if int(fewest) > int(most) or int(most) < 1:
        raise InputError(
            f"--autoscale {text!r}: the first number is the fewest processes, the second the most, from 1 on"
        )
    return int(fewest), int(most)


@click.command()
@click.option("--lanes", default=",".join(LANES), help="The lanes to serve, separated by commas.")
@click.option("--concurrency", type=click.IntRange(1), help="Number of processes.  [default: 1 for each processor]")
@click.option("--autoscale", metavar="MIN,MAX", help="Run MIN to MAX processes, as the outstanding work needs them.")
@click.option("--hostname", help="Name of the worker; %h is that of the machine.  [default: worker@%h]")
@click.option("--app", help="Module of the Celery application.  [default: workers.app if there is one]")
@click.option("--loglevel", default="INFO", help="What the log tells: DEBUG, INFO, WARNING or ERROR.")
def worker(
    lanes: str, concurrency: int | None, autoscale: str | None, hostname: str | None, app: str | None, loglevel: str
) -> None:
    """Start a worker in the foreground.

    It prints the `celery` command that it runs, and becomes that process. After SIGTERM it works on for
    `worker_soft_shutdown_timeout` seconds, then it hands back what is unfinished. With REMAP_SIGTERM set to the empty text,
    it finishes what it runs, however long that takes.
    """
    if concurrency is not None and autoscale is not None:
        raise InputError("give either --concurrency or --autoscale, not both")
    options = WorkerOptions(
        app=app or app_module(),
        lanes=named_lanes(lanes),
        hostname=hostname or "worker@%h",
        concurrency=concurrency,
        autoscale=limits_of(autoscale) if autoscale is not None else None,
        loglevel=loglevel.upper(),
        holds_more=is_rabbitmq((find_settings() or load_settings()).broker_url),
    )
    command, variables = worker_command(options)
    environment = {**variables, **os.environ}
    changed = [f"{name}={value}" for name, value in variables.items() if environment[name] == value]
    messages().print(shlex.join([*changed, "celery", *command]))
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", "celery", *command], environment)
