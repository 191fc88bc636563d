"""Ways to size a fleet, which a simulation compares: our policy, and what else there is.

All of them are asked every `PERIOD_S` seconds, start workers in the same time, and stop idle workers before busy ones,
which end their batch first.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from lepton_celery.fleet.policy import Finding, Limits, Observation, Policy, PolicyState
from lepton_celery.fleet.simulation.trace import Trace

PERIOD_S = 5.0
"""Seconds between two decisions."""


class Rule(Protocol):
    """A way to size a fleet."""

    name: str
    """For tables."""

    def size(self, observation: Observation, queued: int) -> int:
        """The slots that there should be; `queued` is the number of batches that no slot has."""
        ...


@dataclass
class OwnPolicy:
    """The policy of this package."""

    trace: Trace
    name: str = "lepton"
    state: PolicyState = field(default_factory=PolicyState)
    findings: dict[Finding, int] = field(default_factory=dict)
    """How often each finding was made."""

    def __post_init__(self) -> None:
        trace = self.trace
        self._policy = Policy(Limits(trace.minimum, trace.maximum, trace.slots_per_worker, trace.reserved, PERIOD_S))

    def size(self, observation: Observation, queued: int) -> int:
        """See `Rule`."""
        decision = self._policy.decide(observation, self.state, now=observation.at)
        self.state = decision.state
        for finding in decision.findings:
            self.findings[finding] = self.findings.get(finding, 0) + 1
        return decision.desired


@dataclass
class CeleryAutoscaler:
    """Celery's `--autoscale`, as if the fleet were the pool of one worker (celery/worker/autoscale.py of 5.7).

    It wants a process for each reserved message, of which a worker holds as many as it has processes at most. Nothing is
    stopped until no message was received for `AUTOSCALE_KEEPALIVE`.
    """

    trace: Trace
    name: str = "celery"
    keepalive_s: float = 30.0
    _active_at: float = 0.0

    def size(self, observation: Observation, queued: int) -> int:
        """See `Rule`."""
        now, present = observation.at, observation.present
        reserved = min(queued + observation.busy, self.trace.maximum)
        wanted = max(self.trace.minimum, reserved)
        if reserved:
            self._active_at = now
        if wanted > present or now - self._active_at > self.keepalive_s:
            return wanted
        return present


@dataclass
class KedaQueueLength:
    """KEDA's scaler of a Redis list with the autoscaler of Kubernetes behind it.

    ceil(queue / target) replicas, or 0 if the queue has been empty for `cooldown_s` (keda.sh, "Redis Lists",
    `listLength: 5`). The autoscaler ignores changes of a tenth, at most doubles or adds four in 15 s, and takes the
    largest wish of the last 300 s; here it removes a tenth in a minute at most (kubernetes.io, "Horizontal Pod
    Autoscaling", configurable scaling behavior).
    """

    trace: Trace
    name: str = "keda"
    target: int = 5
    cooldown_s: float = 300.0
    _wishes: deque[tuple[float, int]] = field(default_factory=deque)
    _sizes: deque[tuple[float, int]] = field(default_factory=deque)
    _active_at: float = 0.0

    def size(self, observation: Observation, queued: int) -> int:
        """See `Rule`."""
        now, present, trace = observation.at, observation.present, self.trace
        if queued:
            self._active_at = now
        elif not trace.minimum and now - self._active_at >= self.cooldown_s:
            return 0
        wish = math.ceil(queued / self.target)
        if abs(wish - present) <= 0.1 * present:
            wish = present
        self._wishes.append((now, wish))
        self._sizes.append((now, present))
        while self._wishes[0][0] < now - 300:
            self._wishes.popleft()
        while self._sizes[0][0] < now - 60:
            self._sizes.popleft()
        before_15_s = next((size for at, size in self._sizes if at >= now - 15), present)
        wish = min(wish, max(2 * before_15_s, before_15_s + 4 * trace.slots_per_worker))
        if wish < present:
            slowest = math.floor(0.9 * max(size for _, size in self._sizes))
            wish = min(present, max(*(size for _, size in self._wishes), wish, slowest))
        return min(max(wish, trace.minimum, 1 if queued else 0), trace.maximum)


@dataclass
class FixedFleet:
    """Always the same number of slots."""

    slots: int
    name: str = "fixed"

    def size(self, observation: Observation, queued: int) -> int:
        """See `Rule`."""
        return self.slots
