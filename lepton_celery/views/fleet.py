"""The fleet: lanes with their outstanding work, workers with their slots, and what autoscalers decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lepton_celery.config import Settings
from lepton_celery.fleet.observe import observe, of_another_release, process_of
from lepton_celery.fleet.targets import lanes_of, targets_of
from lepton_celery.grid import StageOrdinal
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.lanes import ServingWorker, WorkerProcesses
from lepton_celery.ledger.loads import LaneJobs
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
class CurrentWork:
    """What a slot of a worker does now."""

    job: str
    stage: StageOrdinal
    blocks: int
    """Number of blocks; 0 for the merge."""
    for_s: float | None
    """Seconds for which it has worked on them; None if that is not known."""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker."""

    worker: str
    lanes: tuple[str, ...]
    slots: int
    """Batches that it does at a time."""
    busy_slots: int | None
    """Slots that work for a job; None if that is not known, as it noted no processes and its machine has several workers."""
    release: str
    """The release of this package that it runs; empty if that is not known."""
    memory_bytes: int | None
    """Memory of all its processes in RAM; what several of them share counts for each. None if that is not known."""
    current: tuple[CurrentWork, ...]
    """What its slots do now, the longest first; of up to 400 jobs of a lane."""


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


def fleet_view(ledger: Ledger, settings: Settings, *, decisions: int = 50, shows_jobs: bool = True) -> FleetView:
    """The fleet as it stands.

    Args:
        ledger, settings: the ledger and the settings.
        decisions: largest number of decisions.
        shows_jobs: whether it names the jobs on which workers work.

    Raises:
        BrokerUnreachable: the ledger does not answer.
    """
    now = ledger.clock()
    said = {name: one for name, one in ledger.decisions.said().items() if moment(one.get("until")) > now}
    targets, workers = targets_of(settings.target_wait) | _targets_of(said.values()), ledger.workers()
    loads = ledger.loads.read(lanes_of(targets))
    seen = observe(ledger, targets, workers, loads)
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
        workers=_workers(workers, ledger.processes(workers), _work(loads.values(), seen.at), shows_jobs=shows_jobs),
        other_releases=tuple(of_another_release(workers, names)),
        autoscalers=tuple(_autoscaler(name, one) for name, one in sorted(said.items())),
        decisions=tuple(_decision(each) for each in ledger.decisions.last(min(decisions, MOST_DECISIONS))),
    )


Process = tuple[str, int]
"""Name of its machine, and process id."""


def _work(lanes: Iterable[LaneJobs], at: float) -> dict[Process, CurrentWork]:
    """What each process does now."""
    return {
        process: CurrentWork(
            job.job_id,
            StageOrdinal(job.stage + 1),
            holder.blocks,
            None if holder.since is None else max(0.0, at - holder.since),
        )
        for lane in lanes
        for job in lane.jobs
        for holder in job.holders
        if (process := process_of(holder.owner)) is not None
    }


def _workers(
    workers: Mapping[str, ServingWorker],
    processes: Mapping[str, WorkerProcesses],
    work: Mapping[Process, CurrentWork],
    *,
    shows_jobs: bool,
) -> tuple[WorkerView, ...]:
    """The workers by name."""
    machines = Counter(map(_machine, workers))
    return tuple(
        _worker(name, worker, processes.get(name), work, is_alone=machines[_machine(name)] == 1, shows_jobs=shows_jobs)
        for name, worker in sorted(workers.items())
    )


def _worker(
    name: str,
    worker: ServingWorker,
    noted: WorkerProcesses | None,
    work: Mapping[Process, CurrentWork],
    *,
    is_alone: bool,
    shows_jobs: bool,
) -> WorkerView:
    """A worker. If it noted no processes, those of its machine are its own if the machine has no other worker."""
    if noted is not None:
        current = [work[noted.host, pid] for pid in noted.pids if (noted.host, pid) in work]
    else:
        current = [one for (host, _), one in work.items() if host == _machine(name)] if is_alone else []
    is_known = noted is not None or is_alone
    return WorkerView(
        name,
        worker.lanes,
        worker.slots,
        min(len(current), worker.slots) if is_known else None,
        worker.release,
        (noted.memory_bytes or None) if noted else None,
        tuple(sorted(current, key=lambda one: -(one.for_s or 0.0))) if shows_jobs else (),
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
