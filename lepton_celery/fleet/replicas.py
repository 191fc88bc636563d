"""How many workers each lane should have, decided again and again, for an orchestrator that asks.

Each lane has workers of its own here, which the orchestrator starts and stops. The ledger tells which of them there are.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from lepton_celery.errors import BrokerUnreachable, LeptonError
from lepton_celery.fleet.load import LaneLoad, Observation
from lepton_celery.fleet.observe import observe
from lepton_celery.fleet.policy import Decision, Limits, Policy, PolicyState
from lepton_celery.fleet.telling import Telling
from lepton_celery.ledger import Ledger
from lepton_celery.text import logger, quoted

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class LaneFleet:
    """The workers of a lane: what the operator allows, and how long its work may wait."""

    limits: Limits
    """In slots."""
    target_wait_s: float
    startup_s: float = 30.0
    """Seconds from the order of a worker until it takes work."""


@dataclass(frozen=True, slots=True)
class LaneReplicas:
    """What was decided for a lane."""

    decision: Decision
    observation: Observation
    workers: int
    """Desired workers."""

    @property
    def load(self) -> LaneLoad:
        """The outstanding work of the lane."""
        return self.observation.lanes[0]


class Replicas:
    """Decides for each lane, in a thread of its own if `start` is called; others may read at any time."""

    def __init__(
        self, ledger: Ledger, fleets: Mapping[str, LaneFleet], say: Callable[[str], None] = lambda text: None
    ) -> None:
        """`say` is called with each change and each fault, in words for the operator."""
        self._ledger, self._fleets, self._say = ledger, dict(fleets), say
        self._states = dict.fromkeys(self._fleets, PolicyState())
        self._telling = {
            lane: Telling(ledger, f"{socket.gethostname()}: export of lane {lane}", fleet.limits.period_s)
            for lane, fleet in self._fleets.items()
        }
        self._grown_at = dict.fromkeys(self._fleets, 0.0)
        """When more slots were last desired, by the ledger's clock."""
        self._found: dict[str, LaneReplicas] = {}
        self._decided_at = -float("inf")
        """When the decisions were made, by the monotonic clock."""
        self._error = "nothing was decided yet"
        self._lock, self._stopped = threading.Lock(), threading.Event()

    @property
    def lanes(self) -> tuple[str, ...]:
        """The lanes that are decided on."""
        return tuple(self._fleets)

    @property
    def _stale_after_s(self) -> float:
        return min(fleet.limits.stale_after_s for fleet in self._fleets.values())

    def fleet(self, lane: str) -> LaneFleet:
        """The operator's terms for a lane."""
        return self._fleets[lane]

    def last(self) -> dict[str, LaneReplicas]:
        """The last decisions by lane; none if they are stale."""
        with self._lock:
            is_fresh = time.monotonic() - self._decided_at <= self._stale_after_s
            return dict(self._found) if is_fresh else {}

    def current(self) -> dict[str, LaneReplicas]:
        """The decisions of now by lane.

        Raises:
            BrokerUnreachable: the ledger did not answer the last time, or decisions are stale.
        """
        found, error = self.last(), self._error
        if error or not found:
            raise BrokerUnreachable(error or f"nothing was decided for {self._stale_after_s:g} s")
        return found

    def decide(self) -> None:
        """Decide once. If the ledger does not answer, the decisions stay as they are, and `current` says why."""
        try:
            decided = {lane: self._decide(lane, fleet) for lane, fleet in self._fleets.items()}
        except LeptonError as error:
            if str(error) != self._error:
                self._say(f"the desired workers are not known: {error}")
            self._error = str(error)
            return
        if self._error and self._found:
            self._say("the ledger answers again")
        with self._lock:
            self._found, self._decided_at, self._error = decided, time.monotonic(), ""

    def _decide(self, lane: str, fleet: LaneFleet) -> LaneReplicas:
        state = self._states[lane]
        observation = observe(self._ledger, {lane: fleet.target_wait_s})
        starting = max(0, (state.desired or 0) - observation.ready)
        observation = replace(
            observation,
            starting=starting,
            starting_s=max(0.0, observation.at - self._grown_at[lane]) if starting else 0.0,
            startup_s=fleet.startup_s,
        )
        decision = Policy(fleet.limits).decide(observation, state, now=observation.at)
        before = observation.ready if state.desired is None else state.desired
        if decision.desired > before:
            self._grown_at[lane] = observation.at
        if state.desired is None or decision.desired != before:
            self._say(f"lane {lane}: {decision.reason}")
        about = {"pid": os.getpid(), "minimum": fleet.limits.minimum, "maximum": fleet.limits.maximum, "workers": []}
        self._telling[lane].tell(decision, observation, about)
        self._states[lane] = decision.state
        return LaneReplicas(decision, observation, decision.workers(fleet.limits))

    def start(self) -> None:
        """Decide once, then once a period in a thread, until `stop`."""
        self._try_to_decide()
        threading.Thread(target=self._run, name="lepton-replicas", daemon=True).start()

    def stop(self) -> None:
        """Have the thread end."""
        self._stopped.set()
        with suppress(LeptonError):
            for telling in self._telling.values():
                telling.end()

    def _run(self) -> None:
        period_s = min(fleet.limits.period_s for fleet in self._fleets.values())
        while not self._stopped.wait(period_s):
            self._try_to_decide()

    def _try_to_decide(self) -> None:
        try:
            self.decide()
        except Exception as error:  # a damaged entry must not end the thread, and with it all decisions
            log.exception("no decision")
            self._error = f"no decision: {quoted(str(error))}"
