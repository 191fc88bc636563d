"""What the ledger knows of a fleet, as the policy is told it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lepton_celery import __version__
from lepton_celery.fleet.load import LaneLoad, Observation
from lepton_celery.fleet.targets import TARGETS, lanes_of
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.lane_window import ALONE, SHARED
from lepton_celery.ledger.lanes import ServingWorker
from lepton_celery.ledger.loads import LaneJobs


def observe(
    ledger: Ledger,
    targets: Mapping[str, float] = TARGETS,
    workers: Mapping[str, ServingWorker] | None = None,
    loads: Mapping[str, LaneJobs] | None = None,
) -> Observation:
    """The outstanding work of lanes and the slots of their workers, at the time of the ledger's clock.

    Whoever starts and stops the workers adds what only they know, with `dataclasses.replace`: slots that start or drain,
    how long a start takes, workers that died, memory and processors.

    Args:
        ledger: the ledger.
        targets: the target wait of each lane that the fleet serves, in seconds.
        workers: the workers, if the caller has read them already.
        loads: the jobs of the lanes, if the caller has read them already.

    Raises:
        BrokerUnreachable: the ledger does not answer.
        InputError: see `lanes_of`.
    """
    lanes = lanes_of(targets)
    found = ledger.loads.read(lanes) if loads is None else loads
    ready = sum(worker.slots for worker in serving(ledger.workers() if workers is None else workers, lanes).values())
    return Observation(ledger.clock(), tuple(_lane_load(lane, targets[lane], found[lane]) for lane in lanes), ready)


def serving(workers: Mapping[str, ServingWorker], lanes: Sequence[str]) -> dict[str, ServingWorker]:
    """The workers that serve some of these lanes and can do their jobs: those of another release may refuse them."""
    return {
        name: worker
        for name, worker in workers.items()
        if set(worker.lanes) & set(lanes) and worker.release in ("", __version__)
    }


def of_another_release(workers: Mapping[str, ServingWorker], lanes: Sequence[str]) -> list[str]:
    """A sentence about each worker of these lanes that runs another release, for the operator."""
    return [
        f"{name} runs release {worker.release} and not {__version__}, so it may refuse jobs, and does not count; "
        "run one release on all machines"
        for name, worker in sorted(workers.items())
        if set(worker.lanes) & set(lanes) and worker.release not in ("", __version__)
    ]


def kept_for_the_first(workers: Mapping[str, ServingWorker], lanes: Sequence[str]) -> int:
    """Slots of workers that serve the most urgent of several lanes and no other: the `reserved` of the policy's limits."""
    if len(lanes) < 2:
        return 0
    found = serving(workers, lanes).values()
    return sum(worker.slots for worker in found if set(worker.lanes) & set(lanes) == {lanes[0]})


def busy_processes(ledger: Ledger, lanes: Sequence[str]) -> set[tuple[str, int]]:
    """Host and process id of the owners of leases in these lanes."""
    holders = (holder for lane in ledger.loads.read(lanes).values() for job in lane.jobs for holder in job.holders)
    return {process for holder in holders if (process := process_of(holder.owner)) is not None}


def process_of(owner: str) -> tuple[str, int] | None:
    """Host and process id of an owner of leases; see `worker.lease_renewer.owner_of`. None if it names none."""
    _, _, rest = owner.partition(" ")
    host, _, pid = rest.rpartition(" ")
    return (host, int(pid)) if pid.isdecimal() else None


def _lane_load(lane: str, target_wait_s: float, found: LaneJobs) -> LaneLoad:
    jobs = [job for job in found.jobs if job.blocks or job.slots or job.merge_waits]
    waiting = [job for job in jobs if job.waits]
    oldest = max(waiting, key=lambda job: job.since_s, default=None)
    batch_s = (SHARED if len(jobs) > 1 else ALONE).batch_s
    batches = 0
    for job in jobs:
        a_batch = max(1, math.floor(batch_s / job.block_s))
        batches += job.slots + math.ceil((job.blocks - job.in_hand) / a_batch) + job.merge_waits
    oldest_work_s = None
    if oldest is not None:
        oldest_work_s = found.scale * sum(min(job.work_s, oldest.work_s) for job in jobs)
    return LaneLoad(
        lane,
        target_wait_s,
        blocks=round(found.scale * sum(job.blocks for job in jobs)),
        batches=math.ceil(found.scale * batches),
        work_s=found.scale * sum(job.work_s for job in jobs),
        busy_slots=round(found.scale * sum(job.slots for job in jobs)),
        oldest_s=oldest.since_s if oldest is not None else 0.0,
        oldest_work_s=oldest_work_s,
    )
