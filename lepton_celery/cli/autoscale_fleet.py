"""`lepton autoscale` without a further word: starts and stops workers on this machine; and `lepton autoscale status`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from lepton_celery.cli.console import json_option, messages, output, print_json, table
from lepton_celery.cli.documents import fleet_document
from lepton_celery.cli.long_running import teller
from lepton_celery.cli.watching import redrawn
from lepton_celery.cli.where import need_settings
from lepton_celery.config import Settings, state_directory
from lepton_celery.engines.celery.sending.queues import is_rabbitmq
from lepton_celery.errors import InputError
from lepton_celery.fleet.policy import Limits
from lepton_celery.fleet.targets import named_lanes, seconds_of, targets_of, written_time
from lepton_celery.jobs.report import ago
from lepton_celery.ledger import open_ledger
from lepton_celery.local.fleet import FleetOptions, LocalFleet, Step
from lepton_celery.local.worker_command import CELERY_OVERRIDES, WorkerOptions, app_module, worker_command
from lepton_celery.local.workers import FleetWorkers
from lepton_celery.planning.explain import counted, duration
from lepton_celery.priority import LANES
from lepton_celery.views.fleet import FleetView, fleet_view


@click.command()
@click.option("--min", "minimum", type=click.IntRange(0), default=1, help="The fewest processes.")
@click.option("--max", "maximum", type=click.IntRange(1), default=8, help="The most processes.")
@click.option("--concurrency", type=click.IntRange(1), default=1, help="Number of processes of each worker.")
@click.option("--lanes", default=",".join(LANES), help="The lanes that the workers serve.")
@click.option(
    "--target-wait",
    metavar="LANE=TIME,…",
    help="How long work of a lane may wait: interactive=2s,batch=60s.  [default: LEPTON_TARGET_WAIT, else 2s, 1m, 15m]",
)
@click.option("--period", default="5s", metavar="TIME", help="Time between two decisions.")
@click.option(
    "--hold", default="10s", metavar="TIME", help="Shortest time for which processes are idle before they stop."
)
@click.option("--app", help="Module of the Celery application.  [default: workers.app if there is one]")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def fleet(**given: Any) -> None:
    """Start and stop workers on this machine, as many as the outstanding work needs, until Ctrl-C.

    A worker that is not needed finishes what it runs before it stops. If this command dies, its workers go on, and the next
    one takes them over.
    """
    settings = need_settings()
    options = _options(settings, given)
    ledger = open_ledger(settings.ledger)
    ledger.ping()
    lanes = tuple(options.targets)
    directory = state_directory().absolute()
    workers = _workers(settings, directory, lanes, given["app"] or app_module(), given["concurrency"])
    scaler = LocalFleet(ledger, workers, options, directory)
    tell = teller(settings)
    changes = _Changes(tell)
    if given["dry_run"]:
        while True:
            changes.tell(scaler.look())
            time.sleep(options.limits.period_s)
    with scaler:
        tell(f"autoscaler of {directory}, process {os.getpid()}; Ctrl-C has its workers finish what they run, and stop")
        for event in scaler.adopt():
            tell(event)
        try:
            scaler.run(changes.tell)
        except (KeyboardInterrupt, SystemExit):
            messages().print("workers finish what they run, and stop … (Ctrl-C again leaves them to themselves)")
            raise


def _options(settings: Settings, given: dict[str, Any]) -> FleetOptions:
    minimum, maximum = given["minimum"], given["maximum"]
    if minimum > maximum:
        raise InputError(f"--min {minimum} is more than --max {maximum}; give a --min that is not")
    if given["concurrency"] > maximum:
        raise InputError(f"a worker of {given['concurrency']} processes is more than --max {maximum}")
    lanes = named_lanes(given["lanes"])
    entries = given["target_wait"].split(",") if given["target_wait"] is not None else ()
    targets = targets_of(entries, lanes, default=targets_of(settings.target_wait))
    limits = Limits(
        minimum=minimum,
        maximum=maximum,
        slots_per_worker=given["concurrency"],
        reserved=0,
        period_s=seconds_of(given["period"]),
        hold_s=seconds_of(given["hold"]),
    )
    return FleetOptions(limits, targets)


def _workers(settings: Settings, directory: Path, lanes: tuple[str, ...], app: str, concurrency: int) -> FleetWorkers:
    options = WorkerOptions(app, lanes, "{name}", concurrency, holds_more=is_rabbitmq(settings.broker_url))
    arguments, variables = worker_command(options)
    inherited = {name: value for name, value in os.environ.items() if name not in CELERY_OVERRIDES}
    # with plain SIGTERM a worker finishes what it runs, however long that takes
    environment = {**variables, **inherited, "LEPTON_BROKER_URL": settings.broker_url, "REMAP_SIGTERM": ""}
    command = [sys.executable, "-m", "celery", *arguments]
    return FleetWorkers(directory, command, environment, Path.cwd(), version("lepton-celery"))


class _Changes:
    """Tells what has changed."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._decided: object = None
        self._events: list[str] = []

    def tell(self, step: Step) -> None:
        """Tell the decision if it differs from the last one, and the events, unless the last step had the same."""
        decided = (step.decision.desired, step.decision.findings)
        if decided != self._decided:
            self._tell(step.decision.reason)
        for event in step.events:
            if event not in self._events:
                self._tell(event)
        self._decided, self._events = decided, step.events


@click.command()
@click.option("--watch", is_flag=True, help="Show it again whenever it changes, until Ctrl-C.")
@click.option("--limit", type=click.IntRange(1, 500), default=10, help="Number of decisions to show.")
@json_option
def status(watch: bool, limit: int, as_json: bool) -> None:
    """Show what the autoscalers see, what they decided, and why.

    Without an autoscaler it shows the outstanding work and the slots. With --json and --watch, each change is a line of
    JSON.
    """
    settings = need_settings()
    ledger = open_ledger(settings.ledger)

    def read() -> FleetView:
        return fleet_view(ledger, settings, decisions=limit)

    if watch:
        redrawn(read, show=_shown, document=fleet_document if as_json else None, key=fleet_document)
    elif as_json:
        print_json(fleet_document(read()))
    else:
        output().print(_shown(read()))


def _shown(fleet: FleetView) -> Group:
    width = output().width
    takes = "takes" if fleet.slots == 1 else "take"
    parts: list[Any] = [f"{counted(fleet.slots, 'slot')} (worker processes) {takes} work; busy: {fleet.busy_slots}"]
    parts += map(Text, fleet.other_releases)
    parts.append(lane_table(fleet, width))
    if not fleet.autoscalers:
        parts += ["", "no autoscaler runs; start one with lepton autoscale"]
    for one in fleet.autoscalers:
        desired = counted(one.desired, "slot") if one.desired is not None else "None slots"
        limits = f"{one.minimum} to {one.maximum}"
        told = f"{one.name} (process {one.pid}) wanted {desired}, of {limits} allowed, {ago(fleet.at - one.at)}"
        parts += ["", Text(told, "bold")]
        parts.append(Text(one.reason))
        parts += [Text(f"  {worker.name}  process {worker.pid}  {worker.state}") for worker in one.workers]
    if fleet.decisions:
        parts += ["", _history(fleet, width)]
    return Group(*parts)


def lane_table(fleet: FleetView, width: int) -> Table:
    """The lanes, a line each."""
    rows = [
        (
            lane.lane,
            str(lane.jobs),
            str(lane.blocks),
            duration(lane.work_s) if lane.work_s else "-",
            f"{lane.busy_slots} of {lane.slots}",
            duration(lane.oldest_s) if lane.oldest_s else "-",
            written_time(lane.target_wait_s),
        )
        for lane in fleet.lanes
    ]
    return table(("lane", "jobs", "blocks", "work", "busy slots", "oldest waits", "target"), rows, width)


def _history(fleet: FleetView, width: int) -> Table:
    today, rows = _moment(fleet.at).date(), []
    many = len({each.by for each in fleet.decisions}) > 1
    for each in fleet.decisions:
        at = _moment(each.at)
        why = "; ".join(filter(None, (f"{each.by}: {each.reason}" if many else each.reason, *each.events)))
        when = f"{at:%H:%M:%S}" if at.date() == today else f"{at:%d %b %H:%M:%S}"
        busy, ready = ("?" if count is None else count for count in (each.busy, each.ready))
        rows.append((when, f"{busy} of {ready}", str(each.desired), why))
    return table(("decided", "busy", "desired", "why"), rows, width, wraps=True)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone()
