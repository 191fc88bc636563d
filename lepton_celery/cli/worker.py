"""`lepton worker`: starts a Celery worker as it should be."""

from __future__ import annotations

import os
import shlex
import sys

import click

from lepton_celery.cli.console import messages
from lepton_celery.cli.where import find_settings, need_settings
from lepton_celery.config import load_settings
from lepton_celery.engines.celery.sending.queues import is_rabbitmq
from lepton_celery.errors import InputError
from lepton_celery.fleet.targets import named_lanes, targets_of
from lepton_celery.local.worker_command import OWN_APP, STANDALONE_APP, WorkerOptions, app_module, worker_command
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
@click.option(
    "--target-wait",
    metavar="LANE=TIME,…",
    help="With --autoscale: how long work of a lane may wait, as interactive=2s,batch=60s.  "
    "[default: LEPTON_TARGET_WAIT, else 2s]",
)
@click.option("--hostname", help="Name of the worker; %h is that of the machine.  [default: worker@%h]")
@click.option("--app", help="Module of the Celery application.  [default: workers.app if there is one]")
@click.option(
    "--loglevel",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    help="What the log tells.",
)
@click.argument("settings", metavar="[-- SETTING=VALUE…]", nargs=-1)
def worker(
    lanes: str,
    concurrency: int | None,
    autoscale: str | None,
    target_wait: str | None,
    hostname: str | None,
    app: str | None,
    loglevel: str,
    settings: tuple[str, ...],
) -> None:
    """Start a worker in the foreground.

    It prints the `celery` command that it runs, and becomes that process. After SIGTERM it works on for 5 s, then it hands
    back what is unfinished; `-- worker_soft_shutdown_timeout=3` gives it another time. With REMAP_SIGTERM set to the empty
    text, it finishes what it runs, however long that takes.
    """
    if concurrency is not None and autoscale is not None:
        raise InputError("give either --concurrency or --autoscale, not both")
    if target_wait is not None and autoscale is None:
        raise InputError("--target-wait says when to add processes; give --autoscale MIN,MAX too")
    module, served = app or app_module(), named_lanes(lanes)
    # the application of a project may know its broker itself
    found = need_settings() if module in (OWN_APP, STANDALONE_APP) else find_settings() or load_settings()
    options = WorkerOptions(
        app=module,
        lanes=served,
        hostname=hostname or "worker@%h",
        concurrency=concurrency,
        autoscale=limits_of(autoscale) if autoscale is not None else None,
        loglevel=loglevel,
        holds_more=is_rabbitmq(found.broker_url),
        settings=settings,
    )
    command, variables = worker_command(options)
    given = {}
    if target_wait is not None:
        targets_of(target_wait.split(","), served)
        given["LEPTON_TARGET_WAIT"] = target_wait
    environment = {**variables, **os.environ, **given}
    variables |= given
    changed = [f"{name}={value}" for name, value in variables.items() if environment[name] == value]
    messages().print(shlex.join([*changed, "celery", *command]))
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", "celery", *command], environment)
