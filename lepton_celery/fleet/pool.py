"""Grows and shrinks the processes of one worker: the `worker_autoscaler` of Celery's `--autoscale=MAX,MIN`.

Celery's own adds a process for each message that the worker holds, knows neither the backlog nor the memory, and may end
a process that was just given a task (https://github.com/celery/celery/issues/7266). This one asks the policy, and ends
only processes of which it is certain that they have nothing to do.

Several workers may serve the same lanes. They share what is missing or idle (`sharing`); each notes at once in the ledger
when its size changes, so that the others count with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from celery.worker import state
from celery.worker.autoscale import Autoscaler

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.queues import CONTROL_QUEUE, served_lanes
from lepton_celery.engines.celery.worker.serving import note_serving
from lepton_celery.errors import LeptonError
from lepton_celery.fleet.machine import Usage
from lepton_celery.fleet.observe import kept_for_the_first, observe, serving
from lepton_celery.fleet.policy import Decision, Limits, Observation, Policy, PolicyState
from lepton_celery.fleet.sharing import part_of
from lepton_celery.fleet.targets import POOL_TARGETS, targets_of
from lepton_celery.fleet.telling import decision_document
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.ledger.lanes import ServingWorker
from lepton_celery.priority import queue_of
from lepton_celery.text import logger

log = logger(__name__)

PERIOD_S = 1.0
"""Seconds between two decisions; a process starts in some hundredths of a second."""
_START_S = 0.5
"""What the policy is told that a process takes until it does its first batch."""
_IDLE_S = 2.0
"""Seconds for which a process must have been idle before it is ended."""
_ROTATION_S = 3.0
"""Seconds for which the same worker takes what cannot be divided among several, by the ledger's clock."""
_BLIND_S = 10.0
"""Seconds until the ledger is asked again that did not answer: meanwhile the worker's loop must do its other work."""
_HOLD_S = float(os.environ.get("AUTOSCALE_KEEPALIVE", 10))
"""Seconds for which processes must have been idle, on average, before there are fewer; Celery's variable gives another
number."""


class PoolScaler(Autoscaler):
    """Sizes the pool of a worker by the policy. Celery calls `maybe_scale` for each message and once a period."""

    def __init__(
        self,
        pool: Any,
        max_concurrency: int,
        min_concurrency: int = 0,
        worker: Any = None,
        keepalive: float = PERIOD_S,
        mutex: Any = None,
    ) -> None:
        super().__init__(pool, max_concurrency, min_concurrency, worker, keepalive, mutex)
        self._settings: Settings = worker.app.conf["lepton"]
        self._lanes = served_lanes(worker.app)
        known = targets_of(self._settings.target_wait, default=POOL_TARGETS)
        self._targets = {lane: known[lane] for lane in self._lanes}
        queues = set(worker.app.amqp.queues.consume_from)
        self._has_others = bool(queues - {CONTROL_QUEUE, *map(queue_of, self._lanes)})
        """Whether the worker serves queues of the project as well, of which the ledger knows nothing."""
        self._state, self._usage = PolicyState(), Usage()
        self._next = 0.0
        self._busy_at: dict[int, float] = {}
        """When each process was last seen to work, or first seen."""
        self._is_blind = False

    def _maybe_scale(self, req: Any = None) -> bool:
        """Ask the policy if a decision is due; whether the number of processes was changed."""
        now = time.monotonic()
        self._note_busy(now)
        if now < self._next and (self._processes or self._is_blind):
            return False
        self._next = now + PERIOD_S
        before = self._processes
        desired = self._desired()
        if desired > before:
            self._grow(desired - before)  # type: ignore[attr-defined]  # not in the stubs
        elif desired < before:
            self._shrink(before - desired)
        self._follow(is_receiving=req is not None)
        if self._processes != before:
            note_serving(self.worker)
        return self._processes != before

    @property
    def limits(self) -> tuple[int, int]:
        """The fewest and the most processes."""
        return self.min_concurrency, self.max_concurrency

    @property
    def _processes(self) -> int:
        return int(self.pool.num_processes)

    def _desired(self) -> int:
        """How many processes there should be."""
        others = min(len(state.reserved_requests), self.max_concurrency) if self._has_others else 0
        own = max(self._decided(), others)
        return min(max(own, self.min_concurrency), self.max_concurrency)

    def _decided(self) -> int:
        """What the policy says of the slots of all workers of these lanes, as far as it is this worker's part."""
        own = self._processes
        try:
            ledger = open_ledger(self._settings.ledger)
            workers = ledger.workers()
            observation = observe(ledger, self._targets, workers)
        except LeptonError as error:
            if not self._is_blind:
                log.warning("the pool keeps its %d processes: %s", own, error)
            self._is_blind = True
            self._next = time.monotonic() + _BLIND_S
            return own
        self._is_blind = False
        found = serving(workers, self._lanes)
        found[self.worker.hostname] = ServingWorker(own, tuple(self._lanes), *self.limits)
        present = sum(worker.slots for worker in found.values())
        busy = len(state.active_requests)
        busy_here = min(self._others_here(found), max(0, sum(load.busy_slots for load in observation.lanes) - busy))
        memory, cores = self._usage.measure(self._pids(), busy, others=busy_here)
        observation = replace(observation, ready=present, startup_s=_START_S, memory=memory, processors=cores)
        limits = Limits(
            minimum=sum(worker.fewest for worker in found.values()),
            maximum=max(1, sum(worker.most for worker in found.values())),
            reserved=kept_for_the_first(workers, self._lanes),
            period_s=PERIOD_S,
            hold_s=_HOLD_S,
        )
        # other workers change their slots too, so that what was desired last means nothing
        before = replace(self._state, desired=None)
        decision = Policy(limits).decide(observation, before, now=observation.at)
        self._state = decision.state
        rotation = int(observation.at / _ROTATION_S)
        part = part_of(decision.desired - present, self.worker.hostname, found, rotation)
        if part:
            self._tell(ledger, decision, observation, own + part)
        return own + part

    def _others_here(self, found: dict[str, ServingWorker]) -> int:
        """Slots of other workers of this machine, as the names tell."""
        own = self.worker.hostname
        machine = own.rpartition("@")[2]
        return sum(worker.slots for name, worker in found.items() if name != own and name.rpartition("@")[2] == machine)

    def _tell(self, ledger: Ledger, decision: Decision, observation: Observation, desired: int) -> None:
        """Tell in the log, and in the history of decisions, that this worker changes its size."""
        name, own = self.worker.hostname, self._processes
        log.info("%d processes wanted, there are %d: %s", desired, own, decision.reason)
        event = f"{name} has {desired} processes, after {own}"
        with suppress(LeptonError):  # the next decision says that the ledger does not answer
            ledger.decisions.note(decision_document(decision, name, observation.at, observation, [event]))

    def _shrink(self, n: int) -> None:
        """End up to `n` processes that have nothing to do.

        A task that was written to a process may not have been accepted yet, and until then nothing tells which process has
        it. So no process is ended while there is such a task. Nothing is written meanwhile, since this thread does that.
        """
        pool = getattr(self.pool, "_pool", None)
        if pool is None or getattr(pool, "outbound_buffer", None):
            return
        if not all(task.accepted() for task in list(pool._cache.values())):  # noqa: SLF001  # Celery has no other way
            return
        now = time.monotonic()
        idle = [child for child in pool._iterinactive() if now - self._busy_at.get(child.pid, now) >= _IDLE_S]  # noqa: SLF001
        if ended := idle[:n]:
            with _only(pool, ended):
                super()._shrink(len(ended))  # type: ignore[misc]  # not in the stubs

    def _note_busy(self, now: float) -> None:
        """Note which processes work now."""
        pool = getattr(self.pool, "_pool", None)
        children = list(getattr(pool, "_pool", ()))
        known = {child.pid: self._busy_at.get(child.pid, now) for child in children}
        for task in list(getattr(pool, "_cache", {}).values()):
            for pid in task.worker_pids():
                known[pid] = now
        self._busy_at = known

    def _follow(self, *, is_receiving: bool = False) -> None:
        """Have the worker hold no more messages than fit its processes: the others wait in the queue for other workers.

        If it serves queues of the project, of whose backlog nothing else tells, it may hold as many as fit the maximum.
        """
        consumer = self.worker.consumer
        if self._has_others or consumer is None or not consumer.initial_prefetch_count:
            return
        count = max(1, self._processes) * self.worker.prefetch_multiplier
        consumer.initial_prefetch_count = count  # after a broken connection
        if consumer.qos is None or consumer.qos.value == count:
            return
        if consumer.qos_global is not False:
            consumer.qos.value = count  # the worker's loop tells the broker
        elif is_receiving:  # the broker must not be asked in the middle of that
            self.worker.hub.call_soon(self._follow)
        else:
            # RabbitMQ keeps what a consumer of a quorum queue may hold, and only a new consumer may hold another number
            consumer.qos.set(count)
            consumer.qos.value = count
            consumer.task_consumer.cancel()
            consumer.task_consumer.consume()

    def _pids(self) -> list[int]:
        return [child.pid for child in getattr(getattr(self.pool, "_pool", None), "_pool", ())]


@contextmanager
def _only(pool: Any, children: list[Any]) -> Iterator[None]:
    """Have billiard's pool choose among these processes when it shrinks."""
    pool._iterinactive = lambda: iter(children)  # noqa: SLF001  # it takes the first that are inactive, and no others
    try:
        yield
    finally:
        del pool._iterinactive  # noqa: SLF001
