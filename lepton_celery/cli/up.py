"""`lepton up`: a broker, workers and Flower on this machine, until Ctrl-C."""

from __future__ import annotations

from contextlib import suppress

import click

from lepton_celery.calibration import calibrate as calibration
from lepton_celery.cli.console import messages, say
from lepton_celery.config import load_settings, state_directory
from lepton_celery.engines.celery.app import create_app
from lepton_celery.engines.celery.sending.queues import with_broker
from lepton_celery.engines.celery.worker.inspection import broker_latency
from lepton_celery.errors import LeptonError
from lepton_celery.local.signals import held_signals
from lepton_celery.local.stack import LocalStack


@click.command()
@click.option("--workers", type=click.IntRange(1), default=2, help="Number of worker processes.")
@click.option(
    "--autoscale",
    metavar="MIN,MAX",
    help="Run one worker of MIN to MAX processes, as its work needs them, such as 1,4.",
)
@click.option(
    "--interactive/--no-interactive",
    default=True,
    help="Beside two processes or more, run one that serves only interactive jobs.",
)
@click.option("--flower/--no-flower", default=True, help="Run the Flower dashboard.")
@click.option(
    "--broker-url", envvar="LEPTON_BROKER_URL", metavar="URL", help="Use this broker instead of starting one."
)
def up(workers: int, autoscale: str | None, interactive: bool, flower: bool, broker_url: str | None) -> None:
    """Run a broker, workers and Flower on this machine.

    They run until Ctrl-C. Other `lepton` commands in the same folder use them.
    """
    scale: tuple[int, int] | None = None
    if autoscale is not None:
        limits = autoscale.split(",")
        if len(limits) != 2 or not all(limit.strip().isdigit() for limit in limits):
            raise click.BadParameter(
                f"{autoscale!r} is not MIN,MAX; give two numbers such as 1,4", param_hint="--autoscale"
            )
        scale = (int(limits[0]), int(limits[1]))
    stack = LocalStack(
        state_directory(),
        workers=1 if scale else workers,
        autoscale=scale,
        interactive=interactive and (max(scale) if scale else workers) > 1,
        flower=flower,
        broker_url=broker_url,
    )
    if broker_url:
        broker_latency(create_app(with_broker(load_settings(), broker_url)))  # refuses a broker that does not answer
    stack.stop_on_signals()
    try:  # a signal that comes when the stack has just started must not leave it to the guard
        with messages().status("starting …"):
            stack.start()
        _run(stack)
    finally:
        stack.stop()


def _run(stack: LocalStack) -> None:
    """Describe a stack, and stop it after Ctrl-C."""
    try:
        say(stack.describe())
        click.echo("Ctrl-C stops everything")
        with suppress(LeptonError):  # predictions are less accurate without it
            calibration.estimate()
        if (ended := stack.wait()) is not None:
            raise LeptonError(f"{ended.name} ended unexpectedly; the last lines of its log:\n{ended.log_tail(15)}")
    except KeyboardInterrupt:
        with held_signals():  # whoever reads this may send the next one before `stop` has begun
            messages().print("stopping: workers finish their current batches … (Ctrl-C again kills them)")
            stack.stop()
