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
    def turns_per_hour(self) -> float:
        """How often in an hour the desired number of slots rose after it fell, or fell after it rose."""
        desired = [moment.desired for moment in self.moments]
        rises = [after > before for before, after in pairwise(desired) if after != before]
        return sum(one != other for one, other in pairwise(rises)) * 3600 / self.seconds

    @property
    def peak(self) -> int:
        """The largest number of slots that was desired."""
        return max(moment.desired for moment in self.moments)


def simulate_trace(trace: Trace, rule: Rule, *, seed: int = 1) -> Result:
    """Simulate a trace under a rule."""
    environment = new_environment()
    world = World(window_batches=max(48, 3 * trace.maximum), wave_batches=max(16, trace.maximum))
    cluster = Cluster(
        environment,
        list(trace.targets.items()),
        trace.times,
        world,
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
            queued = math.ceil(sum(lane.queued_batches for lane in cluster.lanes) - 1e-6)
            desired = rule.size(observation, max(0, queued))
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
