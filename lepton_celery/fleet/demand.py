"""How many slots the outstanding work needs, so that each lane's work starts within the lane's target wait.

A slot works from when it is there until the deadline D, when the oldest waiting work has waited for as long as the
target says:

    slots that are ready       work D seconds
    slots that are starting    work D minus what is left of their start
    slots not ordered yet      work D - r, with r = a worker's start + one decision period

The need is the smallest number of slots whose seconds add up to the predicted work of the lane and of all more urgent
lanes. Work of more urgent lanes that is still to come counts too: as many slots as were busy with it lately.

D is never less than r + u, where u is a worker's start: a slot is ordered only for work that keeps it busy for at least
as long as it takes to start. So a deadline that is near, or over, asks for many slots, but not for such as would come
too late to be of use.

Lanes whose target is shorter than r cannot be helped by new slots, so slots must be there before the work is: as many
as were busy with these lanes lately, λ, and √λ more (square-root staffing: S. Halfin and W. Whitt, "Heavy-traffic
limits for queues with many exponential servers", Operations Research 29, 1981).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lepton_celery.fleet.load import LaneLoad, Observation


@dataclass(frozen=True, slots=True)
class Need:
    """How many slots are needed, and for which lane."""

    slots: int
    lane: str = ""
    """The lane that needs so many; empty if no work is outstanding."""
    work_s: float = 0.0
    """Seconds of work that are to be done."""
    within_s: float = 0.0
    """Seconds within which it is to be done; 0 where slots are kept for work to come."""


def need_of(observation: Observation, busy: Mapping[str, float], *, period_s: float, reserved: int) -> Need:
    """The need of all lanes together.

    Args:
        observation: the work and the slots.
        busy: slots that were busy with each lane lately, on average.
        period_s: seconds between two decisions.
        reserved: slots that only the most urgent lane may use.
    """
    needs = [_staff(observation, busy, period_s, reserved)]
    work_s = steady = 0.0
    batches = 0
    for rank, load in enumerate(observation.lanes):
        if load.work_s > 0:
            kept = reserved if rank else 0
            work_s += load.work_s
            batches += load.batches
            within_s = deadline_s(load, observation.startup_s, period_s)
            slots = _slots_for(work_s + steady * within_s, within_s, observation, kept, period_s)
            useful = math.ceil(batches + steady) if batches else slots
            needs.append(Need(min(slots, max(1, useful)) + kept, load.lane, work_s, within_s))
        steady += busy.get(load.lane, 0.0)
    return max(needs, key=lambda need: need.slots)


def need_of_lane(load: LaneLoad, observation: Observation, *, period_s: float) -> int:
    """How many slots the work of a lane needs if it has them to itself: those that work for it, and new ones."""
    if not load.work_s:
        return 0
    within_s, startup_s = deadline_s(load, observation.startup_s, period_s), observation.startup_s
    alone = Observation(observation.at, (load,), ready=load.busy_slots, startup_s=startup_s)
    slots = _slots_for(load.work_s, within_s, alone, 0, period_s)
    return min(slots, load.batches) if load.batches else slots


def deadline_s(load: LaneLoad, startup_s: float, period_s: float) -> float:
    """Seconds within which the waiting work of a lane is to be done."""
    return max(load.target_wait_s - load.oldest_s, reaction_s(startup_s, period_s) + _worth_s(startup_s, period_s))


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
