"""`lepton autoscale` without a further word: starts and stops workers on this machine; and `lepton autoscale status`."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from lepton_celery.cli.console import json_option, messages, output, print_json, say, table
from lepton_celery.cli.watching import redrawn
from lepton_celery.cli.where import need_settings
from lepton_celery.config import Settings, state_directory
from lepton_celery.engines.celery.sending.queues import is_rabbitmq
from lepton_celery.errors import InputError
from lepton_celery.fleet.observe import observe, of_another_release
from lepton_celery.fleet.policy import Limits
from lepton_celery.fleet.targets import named_lanes, seconds_of, targets_of, written_time
from lepton_celery.fleet.telling import seen_document
from lepton_celery.jobs.report import ago
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.limits import MAX_MOMENT
from lepton_celery.local.fleet import FleetOptions, LocalFleet, Step
from lepton_celery.local.worker_command import CELERY_OVERRIDES, WorkerOptions, app_module, worker_command
from lepton_celery.local.workers import FleetWorkers
from lepton_celery.planning.explain import counted, duration
from lepton_celery.priority import LANES


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
    teller = _Teller()
    if given["dry_run"]:
        while True:
            teller.tell(scaler.look())
            time.sleep(options.limits.period_s)
    with scaler:
        say(f"autoscaler of {directory}, process {os.getpid()}; Ctrl-C has its workers finish what they run, and stop")
        for event in scaler.adopt():
            say(event)
        try:
            scaler.run(teller.tell)
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


class _Teller:
    """Prints what has changed."""

    def __init__(self) -> None:
        self._decided: object = None
        self._events: list[str] = []

    def tell(self, step: Step) -> None:
        """Print the decision if it differs from the last one, and the events, unless the last step had the same."""
        decided, now = (step.decision.desired, step.decision.findings), f"{datetime.now().astimezone():%H:%M:%S}"
        if decided != self._decided:
            say(f"{now} {step.decision.reason}")
        for event in step.events:
            if event not in self._events:
                say(f"{now} {event}")
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
    if watch:
        redrawn(lambda: _read(ledger, settings, limit), show=_shown, document=dict if as_json else None)
    elif as_json:
        print_json(_read(ledger, settings, limit))
    else:
        output().print(_shown(_read(ledger, settings, limit)))


def _read(ledger: Ledger, settings: Settings, limit: int) -> dict[str, Any]:
    now = ledger.clock()
    said = {name: each for name, each in ledger.decisions.said().items() if _number(each.get("until")) > now}
    seen = observe(ledger, targets_of(settings.target_wait) | _targets_of(said))
    return {
        "at": round(seen.at),
        "autoscalers": said,
        "slots": {"ready": seen.ready, "busy": seen.busy},
        "lanes": seen_document(seen)["lanes"],
        "other_releases": of_another_release(ledger.workers(), [load.lane for load in seen.lanes]),
        "decisions": ledger.decisions.last(limit),
    }


def _targets_of(said: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The target waits that autoscalers have, which may be others than those of the settings here."""
    found = {}
    for each in said.values():
        seen = each.get("seen")
        for load in _items(seen.get("lanes")) if isinstance(seen, dict) else []:
            target = _number(load.get("target_wait_s")) if isinstance(load, dict) else 0.0
            if target and load.get("lane") in LANES:
                found[str(load["lane"])] = target
    return found


def _shown(document: dict[str, Any]) -> Group:
    width = output().width
    slots = document["slots"]
    lanes = [
        (
            load["lane"],
            str(load["blocks"]),
            duration(load["work_s"]) if load["work_s"] else "-",
            str(load["busy_slots"]),
            duration(load["oldest_s"]) if load["oldest_s"] else "-",
            written_time(load["target_wait_s"]),
        )
        for load in document["lanes"]
    ]
    takes = "takes" if slots["ready"] == 1 else "take"
    parts: list[Any] = [f"{counted(slots['ready'], 'slot')} (worker processes) {takes} work; busy: {slots['busy']}"]
    parts += map(Text, document["other_releases"])
    parts.append(table(("lane", "blocks", "work", "busy", "oldest waits", "target"), lanes, width))
    if not document["autoscalers"]:
        parts += ["", "no autoscaler runs; start one with lepton autoscale"]
    for name, each in document["autoscalers"].items():
        workers = [worker for worker in _items(each.get("workers")) if isinstance(worker, dict)]
        said, limits = ago(document["at"] - _number(each.get("at"))), f"{each.get('minimum')} to {each.get('maximum')}"
        desired = each.get("desired")
        slots = counted(desired, "slot") if isinstance(desired, int) else f"{desired} slots"
        told = f"{name} (process {each.get('pid')}) wanted {slots}, of {limits} allowed, {said}"
        parts += ["", Text(told, "bold")]
        parts.append(Text(str(each.get("reason", ""))))
        parts += [Text(f"  {w.get('name')}  process {w.get('pid')}  {w.get('state')}") for w in workers]
    if document["decisions"]:
        parts += ["", _history(document, width)]
    return Group(*parts)


def _history(document: dict[str, Any], width: int) -> Table:
    today, rows = _moment(document["at"]).date(), []
    many = len({str(each.get("by")) for each in document["decisions"]}) > 1
    for each in document["decisions"]:
        at, seen = _moment(_number(each.get("at"))), each.get("seen")
        seen = seen if isinstance(seen, dict) else {}
        by = f"{each.get('by')}: " if many else ""
        events = map(str, _items(each.get("events")))
        why = "; ".join(filter(None, (f"{by}{each.get('reason', '')}", *events)))
        when = f"{at:%H:%M:%S}" if at.date() == today else f"{at:%d %b %H:%M:%S}"
        slots = f"{seen.get('busy', '?')} of {seen.get('ready', '?')}"
        rows.append((when, slots, str(each.get("desired")), why))
    return table(("decided", "busy", "desired", "why"), rows, width, wraps=True)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone()


def _number(value: Any) -> float:
    """A number of seconds in a document that anybody may have written; 0 if it is none that a calendar has."""
    return float(value) if isinstance(value, int | float) and 0 <= value <= MAX_MOMENT else 0.0


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
