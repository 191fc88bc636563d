"""Starts and stops worker processes on this machine, as many as the policy says.

No worker is ended while it works: one that is not needed is told to finish and stop, and is waited for. If this process
dies, its workers go on, and the next one takes them over. Only one can run on a folder, since it holds a lock.

Two kinds of workers are killed, since they do no work: those that do not get ready, and those that were told to stop and
neither work nor stop. What they held is done by others, as that of any lost worker.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from lepton_celery.errors import BrokerUnreachable
from lepton_celery.fleet.machine import Usage
from lepton_celery.fleet.observe import busy_processes, kept_for_the_first, observe, of_another_release, serving
from lepton_celery.fleet.policy import Decision, Finding, Limits, Observation, Policy, PolicyState
from lepton_celery.fleet.targets import lanes_of
from lepton_celery.fleet.telling import Telling
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.lanes import ServingWorker
from lepton_celery.local.process import StackError
from lepton_celery.local.running import take_lock
from lepton_celery.local.workers import FleetWorker, FleetWorkers
from lepton_celery.planning.explain import counted
from lepton_celery.text import logger

log = logger(__name__)

_LONGEST_BACKOFF_S = 60.0
_HUNG_S = 60.0
"""Seconds after which a worker that was told to stop is killed, if it holds no lease all the while."""
_LOOK_S = 0.5
"""Seconds between two looks whether workers that start are ready."""


@dataclass(frozen=True)
class FleetOptions:
    """What the operator wants of a fleet."""

    limits: Limits
    """In slots; a worker has `limits.slots_per_worker` processes."""
    targets: dict[str, float]
    """The target wait of each lane that the workers serve, in seconds."""
    window_s: float = 120.0
    """Seconds in which deaths of workers count as a crash loop if they are as many as the limits say."""
    start_s: float = 120.0
    """Seconds within which a worker must take work; it is killed otherwise, and counts as one that died."""


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
        self._telling = Telling(ledger, f"{socket.gethostname()}:{directory}", options.limits.period_s)
        self._hung: dict[int, float] = {}
        """When each draining worker was last seen to hold a lease, or to drain first."""
        self._sighted_at: float | None = None
        """Since when the ledger has answered, in seconds since the epoch; None if it did not the last time."""

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
        self._workers.read()
        self._workers.find_started()
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
            end = time.monotonic() + self._options.limits.period_s
            while (left_s := end - time.monotonic()) > 0:
                time.sleep(min(left_s, _LOOK_S))
                if any(not worker.ready for worker in self._workers.wanted):
                    with suppress(BrokerUnreachable):
                        self._note_ready(self._ledger.workers())

    def step(self) -> Step:
        """Look, decide and act once."""
        events = [_death_of(worker) for worker in self._workers.reap()]
        try:
            notes = self._ledger.workers()
            self._note_ready(notes)
            observation = self._seen(notes)
        except BrokerUnreachable as error:
            self._sighted_at = None
            step = Step(self._decide(None, {}), None, [*events, str(error)])
            self._tell(step)
            return step
        self._sighted_at = self._sighted_at or time.time()
        decision = self._decide(observation, notes)
        events += of_another_release(notes, self._lanes)
        if Finding.CRASH_LOOP not in decision.findings:
            events += self._resize(self._missing(decision, notes))
        self._kill_unready()
        self._kill_hung()
        step = Step(decision, observation, events)
        self._tell(step)
        return step

    def look(self) -> Step:
        """Look and decide once, say what would be done, and do nothing."""
        self._workers.read()
        notes = self._ledger.workers()
        observation = self._seen(notes)
        decision = self._decide(observation, notes)
        missing, events = self._missing(decision, notes), of_another_release(notes, self._lanes)
        if missing:
            done = "start" if missing > 0 else "have"
            events.append(f"would {done} {counted(abs(missing), 'worker')}{' finish and stop' * (missing < 0)}")
        return Step(decision, observation, events)

    def stop(self) -> None:
        """Have all workers finish what they run and stop, and wait for them; kill those that hang."""
        for worker in self._workers.record.workers:
            self._workers.drain(worker)
        looked = 0.0
        while self._workers.record.workers:
            for worker in self._workers.reap():
                log.warning("%s", _death_of(worker))
            if time.monotonic() - looked > _LOOK_S:
                self._kill_hung()
                looked = time.monotonic()
            time.sleep(0.05)
        with suppress(BrokerUnreachable):
            self._telling.end()

    def _decide(self, observation: Observation | None, notes: Mapping[str, ServingWorker]) -> Decision:
        policy = Policy(replace(self._options.limits, reserved=kept_for_the_first(notes, self._lanes)))
        now = observation.at if observation is not None else time.time()
        decision = policy.decide(observation, self._state, now=now)
        self._state = decision.state
        return decision

    def _note_ready(self, notes: Mapping[str, ServingWorker]) -> None:
        """Note which workers have begun to take work, and how long that took."""
        own = self._workers.record
        for worker in own.workers:
            if not worker.ready and worker.name in notes:
                worker.ready = True
                own.startup_s = round(0.7 * own.startup_s + 0.3 * max(0.1, time.time() - worker.at), 3)
                self._workers.save()

    def _seen(self, notes: Mapping[str, ServingWorker]) -> Observation:
        own, slots = self._workers.record, self._options.limits.slots_per_worker
        wanted = self._workers.wanted
        starting = [worker for worker in wanted if not worker.ready]
        observation = observe(self._ledger, self._options.targets, notes)
        pids = set().union(*(worker.processes() for worker in own.workers))
        busy = self._busy()
        memory, cores = self._usage.measure(pids, len(busy & pids), others=len(busy - pids))
        now = time.time()
        return replace(
            observation,
            ready=slots * (len(wanted) - len(starting)) + self._elsewhere(notes),
            starting=slots * len(starting),
            starting_s=sum(now - worker.at for worker in starting) / len(starting) if starting else 0.0,
            draining=slots * (len(own.workers) - len(wanted)),
            startup_s=own.startup_s,
            failures=sum(at > now - self._options.window_s for at in own.deaths),
            memory=memory,
            processors=cores,
        )

    def _busy(self) -> set[int]:
        """Processes of this machine that work for these lanes."""
        return {pid for host, pid in busy_processes(self._ledger, self._lanes) if host == socket.gethostname()}

    def _elsewhere(self, notes: Mapping[str, ServingWorker]) -> int:
        """Slots of workers that somebody else runs for these lanes. Own ones that have died may still have a note."""
        others = serving(notes, self._lanes).items()
        return sum(worker.slots for name, worker in others if not self._workers.own.fullmatch(name))

    def _missing(self, decision: Decision, notes: Mapping[str, ServingWorker]) -> int:
        """How many workers are missing to the slots that were decided; negative if there are too many."""
        slots = max(0, decision.desired - self._elsewhere(notes))
        return -(-slots // self._options.limits.slots_per_worker) - len(self._workers.wanted)

    def _resize(self, missing: int) -> list[str]:
        """Start as many workers as are missing, or have as many finish and stop as there are too many."""
        if missing > 0:
            if (left_s := self._backoff_s()) > 0:
                until = time.strftime("%H:%M:%S", time.localtime(time.time() + left_s))
                return [f"the next start waits until {until}, since a worker died"]
            started = [self._workers.start() for _ in range(missing)]
            return [f"started {worker.name}, process {worker.pid}" for worker in started]
        ended = self._least_busy(self._workers.wanted)[: max(0, -missing)]
        for worker in ended:
            self._workers.drain(worker)
        return [f"{worker.name} finishes and stops" for worker in ended]

    def _backoff_s(self) -> float:
        """Seconds until workers may be started again after one died: twice as long after each death of the window."""
        now = time.time()
        deaths = [at for at in self._workers.record.deaths if at > now - self._options.window_s]
        if not deaths:
            return 0.0
        return min(_LONGEST_BACKOFF_S, 2.0 ** (len(deaths) - 1)) - (now - deaths[-1])

    def _least_busy(self, workers: list[FleetWorker]) -> list[FleetWorker]:
        """The workers in the order in which they may stop: starting ones, idle ones, then busy ones; the newest first."""
        busy = self._busy()
        return sorted(workers, key=lambda worker: (worker.ready, bool(worker.processes() & busy), -worker.at))

    def _kill_unready(self) -> None:
        """Kill the workers that do not get ready, although the ledger answers, in which they would note it."""
        latest = time.time() - self._options.start_s
        for worker in self._workers.wanted:
            if not worker.ready and max(worker.at, self._sighted_at or worker.at) < latest:
                self._workers.kill(worker, f"did not take work within {self._options.start_s:.0f} s, and was killed")

    def _kill_hung(self) -> None:
        """Kill the workers that do not stop although they hold no lease: they neither work nor react.

        Without the ledger none holds a lease.
        """
        draining = [worker for worker in self._workers.record.workers if worker.draining_since is not None]
        if not draining:
            self._hung.clear()
            return
        busy = set()
        with suppress(BrokerUnreachable):
            busy = self._busy()
        now = time.monotonic()
        for worker in draining:
            if worker.processes() & busy or worker.pid not in self._hung:
                self._hung[worker.pid] = now
            elif now - self._hung[worker.pid] > _HUNG_S and not worker.fault:
                self._workers.kill(worker, f"did not stop within {_HUNG_S:.0f} s without any work, and was killed")

    def _tell(self, step: Step) -> None:
        """Tell in the ledger what was decided, and what this autoscaler is doing."""
        limits, workers = self._options.limits, self._workers.record.workers
        about: dict[str, Any] = {
            "pid": os.getpid(),
            "minimum": limits.minimum,
            "maximum": limits.maximum,
            "workers": [{"name": w.name, "pid": w.pid, "state": _state_of(w)} for w in workers],
        }
        with suppress(BrokerUnreachable):  # the step has said so
            self._telling.tell(step.decision, step.observation, about, step.events)


def _death_of(worker: FleetWorker) -> str:
    """What is told of a worker that nobody had told to stop."""
    return f"{worker.name} {worker.fault or 'died unexpectedly'}; its log {worker.log}\n{worker.log_tail()}"


def _state_of(worker: FleetWorker) -> str:
    if worker.fault:
        return "killed"
    if worker.draining_since is not None:
        return "finishing"
    return "ready" if worker.ready else "starting"
