"""The fleet: lanes with their outstanding work, workers with their slots, and what autoscalers decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lepton_celery.config import Settings
from lepton_celery.fleet.observe import busy_processes, observe, of_another_release
from lepton_celery.fleet.targets import targets_of
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.lanes import ServingWorker
from lepton_celery.priority import LANES
from lepton_celery.views.outside import count, dictionaries, dictionary, moment

MOST_DECISIONS = 500


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane."""

    lane: str
    jobs: int
    """Jobs that take part in the turns of the lane."""
    blocks: int
    """Blocks of the open stages that are not done."""
    work_s: float
    """Seconds that one slot would take for them, as measured or predicted."""
    slots: int
    """Slots of the workers that serve the lane."""
    busy_slots: int
    """Slots that work for it."""
    oldest_s: float
    """Seconds for which the oldest waiting work has waited; 0 if none waits."""
    target_wait_s: float
    """Seconds after which no work should still wait."""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker."""

    worker: str
    lanes: tuple[str, ...]
    slots: int
    """Batches that it does at a time."""
    busy_slots: int | None
    """Slots that work for a job; None if that is not known, as its machine has several workers."""
    release: str
    """The release of this package that it runs; empty if that is not known."""


@dataclass(frozen=True, slots=True)
class ScaledWorker:
    """A worker that an autoscaler started."""

    name: str
    pid: int | None
    state: str


@dataclass(frozen=True, slots=True)
class AutoscalerView:
    """An autoscaler that runs."""

    name: str
    pid: int | None
    at: float
    """When it decided last, in seconds since the epoch."""
    desired: int | None
    """Slots that it wants."""
    minimum: int | None
    """The fewest slots that it may have."""
    maximum: int | None
    reason: str
    workers: tuple[ScaledWorker, ...]


@dataclass(frozen=True, slots=True)
class DecisionView:
    """What an autoscaler decided."""

    at: float
    """Seconds since the epoch."""
    by: str
    """The autoscaler."""
    desired: int | None
    """Slots that it wanted."""
    ready: int | None
    """Slots that there were."""
    busy: int | None
    reason: str
    events: tuple[str, ...]
    """What it did."""


@dataclass(frozen=True, slots=True)
class FleetView:
    """The fleet at a moment."""

    at: float
    """Seconds since the epoch by the ledger's clock."""
    slots: int
    """Slots of all workers."""
    busy_slots: int
    lanes: tuple[LaneView, ...]
    """The most urgent lane first."""
    workers: tuple[WorkerView, ...]
    other_releases: tuple[str, ...]
    """A sentence about each worker that runs another release, and so does not count."""
    autoscalers: tuple[AutoscalerView, ...]
    decisions: tuple[DecisionView, ...]
    """The latest one first."""


def fleet_view(ledger: Ledger, settings: Settings, *, decisions: int = 50) -> FleetView:
    """The fleet as it stands.

    Raises:
        BrokerUnreachable: the ledger does not answer.
    """
    now = ledger.clock()
    said = {name: one for name, one in ledger.decisions.said().items() if moment(one.get("until")) > now}
    seen, workers = observe(ledger, targets_of(settings.target_wait) | _targets_of(said.values())), ledger.workers()
    lanes = tuple(
        LaneView(
            load.lane,
            len(ledger.turns.jobs(load.lane)),
            load.blocks,
            load.work_s,
            sum(worker.slots for worker in workers.values() if load.lane in worker.lanes),
            load.busy_slots,
            load.oldest_s,
            load.target_wait_s,
        )
        for load in seen.lanes
    )
    names = [lane.lane for lane in lanes]
    return FleetView(
        at=seen.at,
        slots=seen.ready,
        busy_slots=seen.busy,
        lanes=lanes,
        workers=_workers(workers, busy_processes(ledger, names)),
        other_releases=tuple(of_another_release(workers, names)),
        autoscalers=tuple(_autoscaler(name, one) for name, one in sorted(said.items())),
        decisions=tuple(_decision(each) for each in ledger.decisions.last(min(decisions, MOST_DECISIONS))),
    )


def _workers(workers: Mapping[str, ServingWorker], busy: Collection[tuple[str, int]]) -> tuple[WorkerView, ...]:
    """The workers by name. Leases name machines and processes, so they are a worker's if its machine has no other."""
    of_machine, working = Counter(map(_machine, workers)), Counter(machine for machine, _ in busy)
    return tuple(
        WorkerView(
            name,
            worker.lanes,
            worker.slots,
            min(working[_machine(name)], worker.slots) if of_machine[_machine(name)] == 1 else None,
            worker.release,
        )
        for name, worker in sorted(workers.items())
    )


def _machine(worker: str) -> str:
    return worker.partition("@")[2]


def _targets_of(said: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The target waits that autoscalers have, which may be others than those of the settings here."""
    return {
        str(load["lane"]): target
        for one in said
        for load in dictionaries(dictionary(one.get("seen")).get("lanes"))
        if load.get("lane") in LANES and (target := moment(load.get("target_wait_s")))
    }


def _autoscaler(name: str, document: Mapping[str, Any]) -> AutoscalerView:
    """An autoscaler from its document, which anybody may have written."""
    return AutoscalerView(
        name=name,
        pid=count(document.get("pid")),
        at=moment(document.get("at")),
        desired=count(document.get("desired")),
        minimum=count(document.get("minimum")),
        maximum=count(document.get("maximum")),
        reason=str(document.get("reason", "")),
        workers=tuple(
            ScaledWorker(str(one.get("name", "")), count(one.get("pid")), str(one.get("state", "")))
            for one in dictionaries(document.get("workers"))
        ),
    )


def _decision(document: Mapping[str, Any]) -> DecisionView:
    """A decision from its document, which anybody may have written."""
    seen, events = dictionary(document.get("seen")), document.get("events")
    return DecisionView(
        moment(document.get("at")),
        str(document.get("by", "")),
        count(document.get("desired")),
        count(seen.get("ready")),
        count(seen.get("busy")),
        str(document.get("reason", "")),
        tuple(map(str, events)) if isinstance(events, list) else (),
    )
