"""How many slots the outstanding work needs, so that each lane's work starts within the lane's target wait.

A slot works from when it is there until the deadline D, when the oldest waiting work has waited for as long as the
target says:

    slots that are ready       work D seconds
    slots that are starting    work D minus what is left of their start
    slots not ordered yet      work D - r, with r = a worker's start + one decision period

The slots needed are the smallest number whose seconds add up to the predicted work of the lane and of all more urgent
lanes, and to what will arrive in those until D. That is computed for the oldest work of a lane, and for all of it with
the whole target as D. The policy aims at a share of the target, since predictions err and starts vary.

D is never less than r + u, where u is a worker's start: a slot is ordered only for work that keeps it busy for at least
as long as it takes to start. So a deadline that is near, or over, asks for many slots, but not for such as would come
too late to be of use.

A lane is impatient if its target is less than four times r. It also has as many slots as what arrives in it keeps busy,
since new slots would come late (they are ordered when it has work, and stay while it has none), and part of what will
arrive until D counts as due, since jobs share the lane. In a patient lane, what arrives waits until its deadline asks for
slots.

For some time after slots were stopped, none is ordered for what can wait: patient lanes get none, and others only those
that their deadlines need. So a slot is not stopped and ordered again where keeping it would have cost less.

Lanes whose target is shorter than r cannot be helped by new slots, so slots must be there before the work is: as many
as were busy with these lanes lately, λ, and √λ more (square-root staffing: S. Halfin and W. Whitt, "Heavy-traffic
limits for queues with many exponential servers", Operations Research 29, 1981).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lepton_celery.fleet.load import LaneLoad, Observation

_AIM = 0.7
"""Share of the target that is aimed at, since predictions err, starts take longer at times, and workers are lost."""
_NO_END = 1 << 53
"""More slots than there are."""
_ARRIVES = 0.4
"""Share of what arrives in an impatient lane until its deadline that is done until then: its jobs share the lane."""
_PATIENT = 4.0
"""A lane is patient if its target is at least this many times the time until a new slot works."""
_SOONEST = 0.25
"""Share of the aim that the oldest work is given at least: little of all work is older, and much would be started for it."""


@dataclass(frozen=True, slots=True)
class Need:
    """How many slots are needed, and for which lane."""

    slots: int
    lane: str = ""
    """The lane that needs the most slots; empty if no work is outstanding."""
    work_s: float = 0.0
    """Seconds of work that are to be done."""
    within_s: float = 0.0
    """Seconds within which it is to be done; 0 where slots are kept for work to come."""


@dataclass(frozen=True, slots=True)
class Past:
    """What was observed before."""

    busy: Mapping[str, float]
    """Slots that were busy with each lane, on average over the time for which idle slots are kept."""
    offered: Mapping[str, float]
    """Slots that what arrives in each lane keeps busy."""
    stopped_lately: bool = False
    """Whether slots were stopped so lately that to keep them would have cost less than to start others now."""


def need_of(observation: Observation, past: Past, *, period_s: float, reserved: int) -> Need:
    """The need of all lanes together.

    Args:
        observation: the work and the slots.
        past: what was observed before.
        period_s: seconds between two decisions.
        reserved: slots that only the most urgent lane may use.
    """
    needs = [_staff(observation, past.busy, period_s, reserved)]
    work_s = flow = 0.0
    batches = 0
    for rank, load in enumerate(observation.lanes):
        kept = reserved if rank else 0
        arrives = past.offered.get(load.lane, 0.0)
        is_patient = load.target_wait_s >= _PATIENT * reaction_s(observation.startup_s, period_s)
        batches += load.batches
        useful = max(1, math.ceil(batches + flow)) if batches else _NO_END
        present = max(0, observation.present - kept)
        held = present if past.stopped_lately else _NO_END
        if load.work_s > 0:
            own_flow = 0.0 if is_patient or past.stopped_lately else _ARRIVES * arrives
            for due_s, within_s in _due(load, observation.startup_s, period_s):
                due_s += work_s + own_flow * within_s
                slots = _slots_for(due_s + flow * within_s, within_s, observation, kept, period_s)
                most = min(useful, held) if is_patient else useful
                needs.append(Need(min(slots, most) + kept, load.lane, due_s, within_s))
        if not is_patient:
            most = min(useful, held) if load.work_s > 0 else present
            needs.append(Need(min(math.floor(flow + arrives), most) + kept, load.lane, math.inf))
        work_s += load.work_s
        flow += arrives
    return max(needs, key=lambda need: need.slots)


def need_of_lane(load: LaneLoad, observation: Observation, *, period_s: float) -> int:
    """How many slots the work of a lane needs if it has them to itself: those that work for it, and new ones."""
    if not load.work_s:
        return 0
    startup_s = observation.startup_s
    alone = Observation(observation.at, (load,), ready=load.busy_slots, startup_s=startup_s)
    due = _due(load, startup_s, period_s)
    slots = max(_slots_for(due_s, within_s, alone, 0, period_s) for due_s, within_s in due)
    return min(slots, load.batches) if load.batches else slots


def _due(load: LaneLoad, startup_s: float, period_s: float) -> list[tuple[float, float]]:
    """Of a lane the work that is to be done, and the seconds within which it is: for its oldest work, and for all of it."""
    aim_s = _AIM * load.target_wait_s
    soonest_s = max(reaction_s(startup_s, period_s) + _worth_s(startup_s, period_s), _SOONEST * aim_s)
    oldest_work_s = load.work_s if load.oldest_work_s is None else min(load.work_s, load.oldest_work_s)
    return [(oldest_work_s, max(aim_s - load.oldest_s, soonest_s)), (load.work_s, max(aim_s, soonest_s))]


def reaction_s(startup_s: float, period_s: float) -> float:
    """Seconds from a change of the load until a slot that is ordered for it takes work."""
    return startup_s + period_s


def _worth_s(startup_s: float, period_s: float) -> float:
    """Seconds of work that make a new slot worth its start."""
    return max(startup_s, period_s)


def _staff(observation: Observation, busy: Mapping[str, float], period_s: float, reserved: int) -> Need:
    """The slots to keep for lanes whose target is shorter than a worker's start."""
    startup_s = observation.startup_s
    urgent = [load for load in observation.lanes if load.target_wait_s < reaction_s(startup_s, period_s)]
    steady = sum(busy.get(load.lane, 0.0) for load in urgent)
    if not steady:
        return Need(0)
    return Need(math.ceil(steady + max(reserved, math.sqrt(steady))), urgent[-1].lane)


def _slots_for(work_s: float, within_s: float, observation: Observation, kept: int, period_s: float) -> int:
    """The smallest number of slots that do `work_s` within `within_s`; `kept` of the ready ones take no part."""
    startup_s = observation.startup_s
    ready = max(0, observation.ready - kept)
    starting_takes_s = within_s - max(0.0, startup_s - observation.starting_s)
    left_s = work_s - ready * within_s
    if left_s <= 0:
        return math.ceil(work_s / within_s)
    if left_s <= observation.starting * starting_takes_s:
        return ready + math.ceil(left_s / starting_takes_s)
    left_s -= observation.starting * starting_takes_s
    return ready + observation.starting + math.ceil(left_s / (within_s - reaction_s(startup_s, period_s)))
