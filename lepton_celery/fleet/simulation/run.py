"""Puts a trace through a fleet that a rule sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lepton_celery.fleet.simulation.cluster import Cluster, Steps
from lepton_celery.fleet.simulation.events import new_environment
from lepton_celery.fleet.simulation.measured import World
from lepton_celery.fleet.simulation.rules import PERIOD_S, Rule
from lepton_celery.fleet.simulation.spending import Spending, Waits
from lepton_celery.fleet.simulation.trace import Trace
from lepton_celery.fleet.simulation.workers import Workers

_EVENTS = 300_000
"""Number of messages that a simulation should have at most; longer stretches of batches are one message."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The fleet when a decision was made."""

    at: float
    desired: int
    ready: int
    busy: int
    backlog_s: tuple[float, ...]
    """Seconds of outstanding work of each lane."""


@dataclass(frozen=True)
class Result:
    """What became of a trace."""

    rule: str
    trace: Trace
    seconds: float
    """The time until the trace was over and all jobs had ended."""
    slot_seconds: float
    """Seconds of slots, from their order to their end."""
    starting_seconds: float
    """Of these, the seconds of starts."""
    started: int
    """Slots that were ordered, without those that were there."""
    lost: int
    """Slots that were lost."""
    spending: Spending
    waits: Waits
    moments: Sequence[Moment]

    def wait_s(self, lane: str, share: float) -> float:
        """The wait that a share of a lane's batches does not exceed."""
        return self.waits.percentile(lane, share)

    @property
    def missed(self) -> list[str]:
        """The lanes whose 95th percentile of waits is over the target."""
        return [lane for lane, target in self.trace.targets.items() if self.wait_s(lane, 0.95) > target]

    @property
    def regretted(self) -> int:
        """Slots that flapped, as far as the rule decided it.

        That is a slot that was stopped and ordered again, or ordered and stopped again, within a start and two decisions:
        it would have cost no more to keep it, or not to order it. The slot that was stopped last counts as the one that is
        ordered first.
        """
        within_s, found = self.trace.startup_s + 2 * PERIOD_S, 0
        ordered: dict[int, float] = {}
        stopped: dict[int, float] = {}
        for before, after in pairwise(self.moments):
            changes, others = (ordered, stopped) if after.desired > before.desired else (stopped, ordered)
            for slot in range(*sorted((before.desired, after.desired))):
                found += after.at - others.get(slot, -math.inf) < within_s
                changes[slot] = after.at
        return found

    @property
    def flapping(self) -> float:
        """Share of the slots ordered that were regretted."""
        return self.regretted / self.started if self.started else 0.0

    @property
    def peak(self) -> int:
        """The largest number of slots that was desired."""
        return max(moment.desired for moment in self.moments)


def simulate_trace(trace: Trace, rule: Rule, *, seed: int = 1) -> Result:
    """Simulate a trace under a rule."""
    environment = new_environment()
    cluster = Cluster(
        environment,
        list(trace.targets.items()),
        trace.times,
        World(),
        seed=seed,
        reserved=trace.reserved,
        stretch_s=stretch_s(trace),
    )
    workers = Workers(environment, cluster, trace, seed=seed)
    moments: list[Moment] = []

    def submits() -> Steps:
        for arrival in trace.arrivals:
            yield environment.timeout(arrival.at - environment.now)
            cluster.submit(arrival)

    def decides() -> Steps:
        while True:
            observation = workers.observation()
            queued = sum(max(0, math.ceil(lane.batches - 1e-6) - lane.busy) for lane in cluster.lanes)
            desired = rule.size(observation, queued)
            backlog = tuple(load.work_s for load in observation.lanes)
            moments.append(Moment(environment.now, desired, observation.ready, observation.busy, backlog))
            workers.resize(desired)
            yield environment.timeout(PERIOD_S)

    submitting = environment.process(submits())
    environment.process(decides())
    environment.run(until=trace.until_s)
    while cluster.unfinished or submitting.is_alive:
        environment.step()
    cluster.count_idle()
    slot_seconds, starting_seconds = workers.total_seconds()
    return Result(
        rule.name,
        trace,
        environment.now,
        slot_seconds,
        starting_seconds,
        workers.started,
        workers.lost,
        cluster.spending,
        cluster.waits,
        moments,
    )


def stretch_s(trace: Trace) -> float:
    """Seconds of a stretch: 0 if each batch can be simulated on its own."""
    batches = sum(
        stage.blocks / min(stage.batch_blocks, stage.blocks) for each in trace.arrivals for stage in each.stages
    )
    if batches <= _EVENTS:
        return 0.0
    return 2 * trace.work_s / _EVENTS
