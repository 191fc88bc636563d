"""Starts and stops worker processes on this machine, as many as the policy says.

No worker is ended while it works: one that is not needed is told to finish and stop, and is waited for. If this process
dies, its workers go on, and the next one takes them over. Only one can run on a folder, since it holds a lock.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from lepton_celery.errors import BrokerUnreachable
from lepton_celery.fleet.machine import Usage
from lepton_celery.fleet.observe import busy_processes, kept_for_the_first, observe
from lepton_celery.fleet.policy import Decision, Finding, Limits, Observation, Policy, PolicyState
from lepton_celery.fleet.targets import lanes_of
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.lanes import ServingWorker
from lepton_celery.local.process import StackError
from lepton_celery.local.running import take_lock
from lepton_celery.local.workers import FleetWorker, FleetWorkers

_LONGEST_BACKOFF_S = 60.0
_HUNG_S = 60.0
"""Seconds after which a worker that was told to stop is ended, if it holds no lease all the while."""


@dataclass(frozen=True)
class FleetOptions:
    """What the operator wants of a fleet."""

    limits: Limits
    """In slots; a worker has `limits.slots_per_worker` processes."""
    targets: dict[str, float]
    """The target wait of each lane that the workers serve, in seconds."""
    window_s: float = 120.0
    """Seconds in which deaths of workers count as a crash loop if they are as many as the limits say."""


@dataclass(frozen=True)
class Step:
    """What was seen and done in a period."""

    decision: Decision
    observation: Observation | None
    events: list[str] = field(default_factory=list)
    """What was done, in sentences."""


class LocalFleet:
    """The workers of a state folder, sized by the policy.

        with LocalFleet(ledger, workers, options, directory) as fleet:
            fleet.run(print)

    The end of the block has the workers finish and stop. A fault of this process does not: they go on, for the next one.
    """

    def __init__(self, ledger: Ledger, workers: FleetWorkers, options: FleetOptions, directory: Path) -> None:
        self._ledger, self._workers, self._options, self._directory = ledger, workers, options, directory
        self._lanes = lanes_of(options.targets)
        self._state, self._usage = PolicyState(), Usage()
        self._lock: int | None = None
        self._name = f"{socket.gethostname()}:{directory}"
        self._told: tuple[object, ...] = ()
        self._hung: dict[int, float] = {}
        """When each draining worker was last seen to hold a lease, or to drain first."""

    def __enter__(self) -> Self:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._directory / "autoscale.lock"
        self._lock = take_lock(file)
        if self._lock is None:
            raise StackError(
                f"an autoscaler runs on {self._directory} already, process {file.read_text() or 'unknown'}; stop that one "
                "first, or set LEPTON_STATE to another folder"
            )
        os.truncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None or issubclass(kind, (KeyboardInterrupt, SystemExit)):
                self.stop()
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def adopt(self) -> list[str]:
        """Take over the workers of an autoscaler that died. Those of another release are told to finish and stop."""
        events = [f"{worker.name} died meanwhile" for worker in self._workers.reap()]
        for worker in self._workers.record.workers:
            if worker.release != self._workers.release and worker.draining_since is None:
                self._workers.drain(worker)
                events.append(f"{worker.name} runs release {worker.release}, so it finishes and stops")
            else:
                events.append(f"{worker.name} is taken over, process {worker.pid}")
        return events

    def run(self, tell: Callable[[Step], None], *, until: Callable[[], bool] = lambda: False) -> None:
        """Decide and act, once in each period, until `until` says so or an exception ends it."""
        while not until():
            tell(self.step())
            time.sleep(self._options.limits.period_s)

    def step(self) -> Step:
        """Look, decide and act once."""
        events = [
            f"{worker.name} died unexpectedly; the last lines of {worker.log}:\n{worker.log_tail()}"
            for worker in self._workers.reap()
        ]
        observation, elsewhere, reserved = None, 0, 0
        try:
            notes = self._ledger.workers()
            observation = self._seen(notes)
            elsewhere = self._elsewhere(notes)
            reserved = kept_for_the_first(notes, self._lanes)
        except BrokerUnreachable as error:
            events.append(str(error))
        policy = Policy(replace(self._options.limits, reserved=reserved))
        decision = policy.decide(
            observation, self._state, now=observation.at if observation is not None else time.time()
        )
        self._state = decision.state
        if observation is not None:
            if Finding.CRASH_LOOP not in decision.findings:
                events += self._resize(max(0, decision.desired - elsewhere))
            self._end_hung()
        step = Step(decision, observation, events)
        self._note(step)
        return step

    def look(self) -> Step:
        """Look and decide once, and do nothing."""
        observation = self._seen(self._ledger.workers())
        decision = Policy(self._options.limits).decide(observation, self._state, now=observation.at)
        self._state = decision.state
        return Step(decision, observation)

    def stop(self) -> None:
        """Have all workers finish what they run and stop, and wait for them."""
        for worker in self._workers.record.workers:
            self._workers.drain(worker)
        while self._workers.record.workers:
            self._workers.reap()
            time.sleep(0.05)
        try:
            self._ledger.decisions.say(self._name, None)
        except BrokerUnreachable:
            return

    def _seen(self, notes: dict[str, ServingWorker]) -> Observation:
        own, slots = self._workers.record, self._options.limits.slots_per_worker
        for worker in own.workers:
            if not worker.ready and worker.name in notes:
                worker.ready = True
                own.startup_s = round(0.7 * own.startup_s + 0.3 * max(0.1, time.time() - worker.at), 3)
                self._workers.save()
        serving = [worker for worker in own.workers if worker.draining_since is None]
        starting = [worker for worker in serving if not worker.ready]
        observation = observe(self._ledger, self._options.targets)
        pids = set().union(*(worker.processes() for worker in own.workers))
        memory, cores = self._usage.measure(pids, sum(load.busy_slots for load in observation.lanes))
        now = time.time()
        return replace(
            observation,
            ready=slots * (len(serving) - len(starting)) + self._elsewhere(notes),
            starting=slots * len(starting),
            starting_s=sum(now - worker.at for worker in starting) / len(starting) if starting else 0.0,
            draining=slots * (len(own.workers) - len(serving)),
            startup_s=own.startup_s,
            failures=sum(at > now - self._options.window_s for at in own.deaths),
            memory=memory,
            processors=cores,
        )

    def _elsewhere(self, notes: dict[str, ServingWorker]) -> int:
        """Slots of workers that somebody else runs for these lanes."""
        own = {worker.name for worker in self._workers.record.workers}
        others = (worker for name, worker in notes.items() if name not in own)
        return sum(worker.slots for worker in others if set(worker.lanes) & set(self._lanes))

    def _resize(self, slots: int) -> list[str]:
        """Start or drain workers until there are as many slots as were decided."""
        serving = [worker for worker in self._workers.record.workers if worker.draining_since is None]
        missing = -(-slots // self._options.limits.slots_per_worker) - len(serving)
        if missing > 0:
            if (left_s := self._backoff_s()) > 0:
                return [f"the next start waits {left_s:.0f} s, since a worker died"]
            return [f"started {worker.name}, process {worker.pid}" for worker in self._start(missing)]
        if missing < 0:
            ended = self._least_busy(serving)[:-missing]
            for worker in ended:
                self._workers.drain(worker)
            return [f"{worker.name} finishes and stops" for worker in ended]
        return []

    def _start(self, count: int) -> list[FleetWorker]:
        return [self._workers.start() for _ in range(count)]

    def _backoff_s(self) -> float:
        """Seconds until workers may be started again after one died: twice as long after each death of the window."""
        now = time.time()
        deaths = [at for at in self._workers.record.deaths if at > now - self._options.window_s]
        if not deaths:
            return 0.0
        return min(_LONGEST_BACKOFF_S, 2.0 ** (len(deaths) - 1)) - (now - deaths[-1])

    def _least_busy(self, workers: list[FleetWorker]) -> list[FleetWorker]:
        """The workers in the order in which they may stop: starting ones, idle ones, then busy ones; the newest first."""
        busy = {pid for host, pid in busy_processes(self._ledger, self._lanes) if host == socket.gethostname()}
        return sorted(workers, key=lambda worker: (worker.ready, bool(worker.processes() & busy), -worker.at))

    def _end_hung(self) -> None:
        """End the workers that do not stop although they hold no lease: they neither work nor react."""
        draining = [worker for worker in self._workers.record.workers if worker.draining_since is not None]
        if not draining:
            self._hung.clear()
            return
        busy = {pid for host, pid in busy_processes(self._ledger, self._lanes) if host == socket.gethostname()}
        now = time.monotonic()
        for worker in draining:
            if worker.processes() & busy or worker.pid not in self._hung:
                self._hung[worker.pid] = now
            elif now - self._hung[worker.pid] > _HUNG_S:
                self._workers.kill(worker)

    def _note(self, step: Step) -> None:
        """Keep in the ledger what was decided, if it differs from before, and what this autoscaler is doing."""
        decision = step.decision
        said = {"by": self._name, "desired": decision.desired, "reason": decision.reason, **_seen_of(step)}
        said["events"] = [event.partition("\n")[0] for event in step.events]
        told = (decision.desired, decision.findings)
        try:
            at = step.observation.at if step.observation is not None else self._ledger.clock()
            if told != self._told or step.events:
                self._ledger.decisions.note({"at": at, **said})
            self._told = told
            valid_s = 3 * self._options.limits.period_s + 20
            limits, workers = self._options.limits, self._workers.record.workers
            self._ledger.decisions.say(
                self._name,
                {
                    "at": at,
                    "until": at + valid_s,
                    "pid": os.getpid(),
                    "minimum": limits.minimum,
                    "maximum": limits.maximum,
                    "workers": [{"name": w.name, "pid": w.pid, "state": _state_of(w)} for w in workers],
                    **said,
                },
            )
        except BrokerUnreachable:
            return  # the step has said so


def _seen_of(step: Step) -> dict[str, Any]:
    seen = step.observation
    findings = [str(finding) for finding in step.decision.findings]
    if seen is None:
        return {"findings": findings, "seen": None}
    lanes = [
        {
            "lane": load.lane,
            "target_wait_s": load.target_wait_s,
            "blocks": load.blocks,
            "work_s": round(load.work_s, 2),
            "busy_slots": load.busy_slots,
            "oldest_s": round(load.oldest_s, 2),
        }
        for load in seen.lanes
    ]
    slots = {"ready": seen.ready, "busy": seen.busy, "starting": seen.starting, "draining": seen.draining}
    return {"findings": findings, "seen": {**slots, "startup_s": seen.startup_s, "lanes": lanes}}


def _state_of(worker: FleetWorker) -> str:
    if worker.draining_since is not None:
        return "finishing"
    return "ready" if worker.ready else "starting"
