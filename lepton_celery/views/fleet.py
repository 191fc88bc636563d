"""The fleet: lanes with their outstanding work, workers with their slots, and what autoscalers decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lepton_celery.config import Settings
from lepton_celery.fleet.observe import observe
from lepton_celery.fleet.targets import targets_of
from lepton_celery.ledger import Ledger
from lepton_celery.limits import MAX_MOMENT

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
    """Blocks that it does at a time."""


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
    decisions: tuple[DecisionView, ...]
    """The latest one first."""


def fleet_view(ledger: Ledger, settings: Settings, *, decisions: int = 50) -> FleetView:
    """The fleet as it stands.

    Raises:
        BrokerUnreachable: the ledger does not answer.
    """
    seen, workers = observe(ledger, targets_of(settings.target_wait)), ledger.workers()
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
    return FleetView(
        seen.at,
        seen.ready,
        seen.busy,
        lanes,
        tuple(WorkerView(name, worker.lanes, worker.slots) for name, worker in sorted(workers.items())),
        tuple(_decision(each) for each in ledger.decisions.last(min(decisions, MOST_DECISIONS))),
    )


def _decision(document: Mapping[str, Any]) -> DecisionView:
    """A decision from its document, which anybody may have written."""
    at, seen, events = document.get("at"), document.get("seen"), document.get("events")
    seen = seen if isinstance(seen, dict) else {}
    return DecisionView(
        float(at) if isinstance(at, int | float) and 0 <= at <= MAX_MOMENT else 0.0,
        str(document.get("by", "")),
        _count(document.get("desired")),
        _count(seen.get("ready")),
        _count(seen.get("busy")),
        str(document.get("reason", "")),
        tuple(map(str, events)) if isinstance(events, list) else (),
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
