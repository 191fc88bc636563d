"""The policy of the autoscaler: from what is observed to the number of slots that there should be, with the reason.

It is one pure function, `Policy.decide`, which every user of it calls with what it has observed and with the state that
the last decision returned:

    decision = policy.decide(observation, state, now=observation.at)
    start or drain workers until there are decision.desired slots
    state = decision.state

- It grows at once to the slots that the outstanding work needs (`demand`).
- It shrinks by the slots that were idle, on average, for as long as starting them again would take. That is the rule of
  the ski rental: whoever does not know when the next work comes pays at most twice what one pays who knows it (A. R.
  Karlin, M. S. Manasse, L. Rudolph and D. D. Sleator, "Competitive snoopy caching", Algorithmica 3, 1988; for servers:
  M. Lin, A. Wierman, L. L. H. Andrew and E. Thereska, "Dynamic right-sizing for power-proportional data centers",
  INFOCOM 2011). What it needed within that time stays.
- For as long, and two decisions more, it does not order slots again for work that can wait.
- It never shrinks below the slots that are busy, nor by fewer than half the square root of all: that many are idle by
  chance, as a number of busy slots fluctuates by its square root.
- It does not grow beyond what memory and processors have room for.
- If workers die one after the other, or observations are missing or old, it holds what it has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum

from lepton_celery.errors import InputError
from lepton_celery.fleet.ceilings import memory_ceiling, processor_ceiling
from lepton_celery.fleet.demand import Need, Past, need_of, need_of_lane, reaction_s
from lepton_celery.fleet.load import LaneLoad, Observation, Resource
from lepton_celery.fleet.recent import Recent
from lepton_celery.planning.explain import counted

__all__ = [
    "Decision",
    "Finding",
    "LaneLoad",
    "LaneNeed",
    "Limits",
    "Observation",
    "Policy",
    "PolicyState",
    "Resource",
]


class Finding(StrEnum):
    """What kept a decision from the slots that the work needs, or a target from being met."""

    MISSING = "missing"
    """There is no observation."""
    STALE = "stale"
    """The observation is too old."""
    CRASH_LOOP = "crash-loop"
    """Workers die one after the other."""
    MEMORY = "memory"
    """Another slot does not fit into memory."""
    PROCESSORS = "processors"
    """Another slot would find no processor."""
    OVER_MAXIMUM = "over-maximum"
    """The work needs more slots than the maximum: no size that is allowed meets the target."""
    UNREACHABLE = "unreachable"
    """A lane is late whose target is shorter than a worker's start: no slot that is ordered now meets it."""
    LATE = "late"
    """Work has waited for longer than the target."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator allows."""

    minimum: int = 1
    """The smallest number of slots."""
    maximum: int = 8
    """The largest number of slots."""
    slots_per_worker: int = 1
    """Slots that start and stop together."""
    reserved: int = 1
    """Slots that only the most urgent lane may use, where there are at least two; 0 if the fleet serves one lane."""
    period_s: float = 5.0
    """Seconds between two decisions."""
    stale_after_s: float = 30.0
    """Age at which an observation is too old to decide on."""
    max_failures: int = 3
    """Number of recent deaths of workers from which they count as a crash loop."""
    hold_s: float = 10.0
    """Shortest time for which slots must have been idle before they are stopped; it is longer if a start takes longer."""

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum:
            raise InputError(
                f"at least {self.minimum} and at most {self.maximum} slots; give a minimum from 0, and no smaller maximum"
            )
        if self.maximum < 1 or self.slots_per_worker < 1:
            raise InputError(
                f"at most {self.maximum} slots, {self.slots_per_worker} for each worker; give at least 1 of both"
            )
        if self.reserved < 0 or self.max_failures < 1:
            raise InputError(
                f"{self.reserved} reserved slots, {self.max_failures} failures; give 0 or more, and 1 or more"
            )
        for name in ("period_s", "stale_after_s", "hold_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}; give a finite number of seconds above 0")


@dataclass(frozen=True, slots=True)
class PolicyState:
    """What the next decision must know of those before it: plain data, with a JSON form (`stores.documents`)."""

    at: float | None = None
    """Time of the last observation that was decided on; None before the first."""
    desired: int | None = None
    """The slots that were desired last; None before the first decision."""
    recent: Recent = field(default_factory=Recent)


@dataclass(frozen=True, slots=True)
class LaneNeed:
    """How a lane stands."""

    lane: str
    slots: int
    """Slots that the lane's work needs if it has them to itself."""
    late: bool
    """Whether its oldest waiting work has waited for longer than the target."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How many slots there should be, and why."""

    desired: int
    """Slots in all: no fewer than the minimum, no more than the maximum."""
    reason: str
    """Why, in a sentence or several."""
    state: PolicyState
    """To be given to the next decision."""
    findings: tuple[Finding, ...] = ()
    lanes: tuple[LaneNeed, ...] = ()
    """The lanes of the observation, in its order."""

    def workers(self, limits: Limits) -> int:
        """Workers for the desired slots."""
        return -(-self.desired // limits.slots_per_worker)


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy under given limits.

    A fleet is the workers that serve the same lanes. Where lanes have workers of their own, each of these fleets has its
    own policy, observations and state.
    """

    limits: Limits = field(default_factory=Limits)

    def decide(self, observation: Observation | None, state: PolicyState, *, now: float) -> Decision:
        """The decision at `now`; `observation` is None if nothing could be observed."""
        limits = self.limits
        if observation is None:
            return self._held(state, None, Finding.MISSING, "nothing could be observed")
        age_s = now - observation.at
        if age_s > limits.stale_after_s:
            return self._held(state, observation, Finding.STALE, f"the observation is {age_s:.0f} s old")
        if state.at is not None and observation.at < state.at:
            if state.at - observation.at <= limits.stale_after_s:
                return self._held(state, observation, Finding.STALE, "a later observation was decided on already")
            state = PolicyState(None, state.desired)  # the clock was set back, and times by the old one mean nothing
        if observation.failures >= limits.max_failures:
            words = f"{observation.failures} workers died lately; look at their logs"
            held = self._held(state, observation, Finding.CRASH_LOOP, words)
            return replace(held, state=replace(held.state, at=observation.at))
        return self._decided(observation, state)

    def _held(self, state: PolicyState, observation: Observation | None, finding: Finding, words: str) -> Decision:
        """What was desired last, within the limits."""
        present = observation.present if observation else self.limits.minimum
        desired = self._within_limits(present if state.desired is None else state.desired)
        return Decision(
            desired, f"held at {counted(desired, 'slot')}: {words}", replace(state, desired=desired), (finding,)
        )

    def _decided(self, observation: Observation, state: PolicyState) -> Decision:
        limits, at = self.limits, observation.at
        busy_now = {load.lane: load.busy_slots for load in observation.lanes}
        hold_s = max(limits.hold_s, observation.startup_s)
        for_s = 0.0 if state.at is None else min(at - state.at, hold_s)
        before = self._within_limits(observation.present if state.desired is None else state.desired)
        idle = max(0, min(observation.ready, before) - observation.busy)  # those that are stopped already do not count
        recent = (state.recent if state.at is not None else Recent(at)).arrived(observation.lanes, for_s)
        seen = recent.noted(at, needed=0, idle=idle, busy=busy_now, for_s=for_s, hold_s=hold_s)
        past = Past(seen.busy(busy_now), seen.offered, seen.stopped_within(hold_s + 2 * limits.period_s, at))
        need = need_of(observation, past, period_s=limits.period_s, reserved=self._reserved(observation))
        recent = recent.noted(at, needed=need.slots, idle=idle, busy=busy_now, for_s=for_s, hold_s=hold_s)

        wanted, why = self._wanted(observation, before, need, recent, hold_s)
        desired, findings, capped = self._capped(observation, wanted)
        late, words = self._lateness(observation)
        if desired != before:
            recent = recent.changed(at, desired - before, observation.startup_s)
        lanes = tuple(
            LaneNeed(load.lane, need_of_lane(load, observation, period_s=limits.period_s), load.lane in late)
            for load in observation.lanes
        )
        slots = counted(desired, "slot")
        change = f"{before:,} → {slots}" if desired != before else slots
        reason = f"{change}: {'; '.join((why, *capped, *words.values()))}"
        return Decision(desired, reason, PolicyState(at, desired, recent), (*findings, *late.values()), lanes)

    def _wanted(
        self, observation: Observation, before: int, need: Need, recent: Recent, hold_s: float
    ) -> tuple[int, str]:
        """The slots that are wanted if nothing limits them, and why."""
        if need.slots > before:
            return need.slots, _words(need, observation)
        idle = math.floor(recent.idle(hold_s, observation.at) - self._reserved(observation))
        least = max(self.limits.slots_per_worker, math.ceil(math.sqrt(before) / 2))
        lower = max(before - idle, recent.needed, observation.busy, self.limits.minimum)
        if idle >= least and lower < before:
            return lower, f"{counted(idle, 'slot')} had nothing to do for {hold_s:.0f} s"
        if not any(load.work_s or load.busy_slots for load in observation.lanes):
            return before, "no work"
        return before, f"enough, as {_words(need, observation)}" if need.lane else "enough"

    def _capped(self, observation: Observation, wanted: int) -> tuple[int, list[Finding], list[str]]:
        """The slots that are possible, and what keeps them from being more."""
        limits = self.limits
        findings, words = [], []
        memory = memory_ceiling(observation, limits.slots_per_worker)
        processors = processor_ceiling(observation, limits.slots_per_worker)
        desired = min(wanted, limits.maximum)
        if memory is not None and memory < desired:
            findings.append(Finding.MEMORY)
            words.append(f"memory has room for {memory}")
            desired = max(memory, observation.busy)
        if processors is not None and processors < desired:
            findings.append(Finding.PROCESSORS)
            words.append(f"{processors} keep the processors busy")
            desired = processors
        if wanted > limits.maximum:
            findings.append(Finding.OVER_MAXIMUM)
            words.append(f"at most {limits.maximum} are allowed")
        return self._within_limits(desired), findings, words

    def _lateness(self, observation: Observation) -> tuple[dict[str, Finding], dict[str, str]]:
        """The lanes that are late, with the finding and the words of each."""
        late, words = {}, {}
        for load in observation.lanes:
            if load.work_s and load.oldest_s > load.target_wait_s:
                takes_s = reaction_s(observation.startup_s, self.limits.period_s)
                too_short = load.target_wait_s < takes_s
                late[load.lane] = Finding.UNREACHABLE if too_short else Finding.LATE
                words[load.lane] = (
                    f"{load.lane} has waited for {load.oldest_s:.0f} s, longer than its target of {load.target_wait_s:g} s"
                )
                if too_short:
                    words[load.lane] += (
                        f", which no new slot can meet, as it takes {takes_s:.0f} s; a larger minimum would"
                    )
        return late, words

    def _reserved(self, observation: Observation) -> int:
        """Slots that only the most urgent lane may use now: none if there are not two slots, or not two lanes."""
        enough = len(observation.lanes) > 1 and observation.ready > self.limits.reserved
        return self.limits.reserved if enough else 0

    def _within_limits(self, slots: int) -> int:
        """Whole workers for the slots, within the limits."""
        limits = self.limits
        allowed = min(max(slots, limits.minimum), limits.maximum)
        return min(-(-allowed // limits.slots_per_worker) * limits.slots_per_worker, limits.maximum)


def _words(need: Need, observation: Observation) -> str:
    """The reason for the number of slots, as a clause."""
    is_first = need.lane == observation.lanes[0].lane
    lanes = need.lane if is_first else f"{need.lane} and more urgent lanes"
    if need.work_s == math.inf:
        return f"what arrives in {lanes} keeps {need.slots} busy"
    if not need.within_s:
        return f"{need.slots} are kept for what {need.lane} had lately, and for its fluctuations"
    return f"{need.work_s:,.0f} s of work in {lanes} need {need.slots} to be done within {need.within_s:.0f} s"
