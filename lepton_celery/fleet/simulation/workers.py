"""Workers that start, stop and are lost, to follow the number of slots that was decided."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from lepton_celery.fleet.load import Observation
from lepton_celery.fleet.simulation.cluster import Cluster, Slot, Steps
from lepton_celery.fleet.simulation.trace import Trace

_STARTS = (0.8, 1.2)
"""The shortest and the longest start of a worker, in multiples of the average."""


@dataclass(eq=False)
class Worker:
    """A worker, from its order to its end."""

    ordered_at: float
    slots: list[Slot] = field(default_factory=list)
    """Empty until it has started."""
    ended: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether none of its slots has a message."""
        return all(slot.wake is not None for slot in self.slots)

    @property
    def is_draining(self) -> bool:
        """Whether it stops when its batches are done."""
        return any(slot.leaving for slot in self.slots)


class Workers:
    """All workers of a simulated fleet."""

    def __init__(self, environment: Any, cluster: Cluster, trace: Trace, *, seed: int = 1) -> None:
        self._environment, self._cluster, self._trace = environment, cluster, trace
        self._chance = random.Random(seed)
        self._starting: list[Worker] = []
        self._ready: list[Worker] = []
        self._draining: list[Worker] = []
        self.slot_seconds = self.starting_seconds = 0.0
        """Seconds of slots from their order to their end, and to the end of their start; without those that are there."""
        self.started = self.lost = 0
        """Slots that were ordered, and those that were lost."""
        for _ in range(-(-trace.minimum // trace.slots_per_worker)):
            self._begin(Worker(0.0))

    def resize(self, desired: int) -> None:
        """Follow a number of slots: order workers, or stop some: those that start first, then idle ones, then busy ones."""
        each = self._trace.slots_per_worker
        excess = len(self._starting) + len(self._ready) - -(-desired // each)
        if excess < 0:
            for _ in range(-excess):
                self._order()
            return
        if excess:
            cancelled = self._starting[-excess:]
            for worker in cancelled:
                self._end(worker, self._starting)
                self.starting_seconds += each * (self._environment.now - worker.ordered_at)
            excess -= len(cancelled)
        if excess:
            for worker in sorted(self._ready, key=lambda worker: not worker.is_idle)[:excess]:
                self._drain(worker)

    def observation(self) -> Observation:
        """What the policy is told."""
        now, each = self._environment.now, self._trace.slots_per_worker
        ages = [now - worker.ordered_at for worker in self._starting]
        return Observation(
            now,
            self._cluster.loads(),
            ready=each * len(self._ready),
            starting=each * len(self._starting),
            starting_s=sum(ages) / len(ages) if ages else 0.0,
            draining=each * len(self._draining),
            startup_s=self._trace.startup_s,
        )

    def total_seconds(self) -> tuple[float, float]:
        """Seconds of all slots so far, and of those the seconds of starts."""
        now, each = self._environment.now, self._trace.slots_per_worker
        present = (*self._starting, *self._ready, *self._draining)
        starting = self.starting_seconds + each * sum(now - worker.ordered_at for worker in self._starting)
        return self.slot_seconds + each * sum(now - worker.ordered_at for worker in present), starting

    def _order(self) -> None:
        worker = Worker(self._environment.now)
        self.started += self._trace.slots_per_worker
        self._starting.append(worker)
        self._environment.process(self._starts(worker))

    def _starts(self, worker: Worker) -> Steps:
        yield self._environment.timeout(self._trace.startup_s * self._chance.uniform(*_STARTS))
        if not worker.ended:
            self._starting.remove(worker)
            self.starting_seconds += self._trace.slots_per_worker * (self._environment.now - worker.ordered_at)
            self._begin(worker)

    def _begin(self, worker: Worker) -> None:
        worker.slots = [self._cluster.add_slot() for _ in range(self._trace.slots_per_worker)]
        self._ready.append(worker)
        if self._trace.losses_per_hour:
            self._environment.process(self._is_lost(worker))

    def _is_lost(self, worker: Worker) -> Steps:
        yield self._environment.timeout(self._chance.expovariate(self._trace.losses_per_hour / 3600))
        if worker.ended or worker.is_draining:
            return
        self.lost += len(worker.slots)
        for slot in worker.slots:
            self._cluster.lose(slot)
        self._end(worker, self._ready)

    def _drain(self, worker: Worker) -> None:
        self._ready.remove(worker)
        self._draining.append(worker)
        for slot in worker.slots:
            self._cluster.release(slot)
        self._environment.process(self._drains(worker))

    def _drains(self, worker: Worker) -> Steps:
        for slot in worker.slots:
            if slot.process.is_alive:
                yield slot.process
        self._end(worker, self._draining)

    def _end(self, worker: Worker, where: list[Worker]) -> None:
        where.remove(worker)
        worker.ended = True
        self.slot_seconds += self._trace.slots_per_worker * (self._environment.now - worker.ordered_at)
