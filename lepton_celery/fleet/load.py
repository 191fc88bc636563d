"""What the policy is told: the outstanding work of each lane, the slots, and what is left of memory and processors.

A slot is a worker process that does one batch at a time; a worker has one slot or several, which start and stop together.
Times are in seconds; `work_s` is the time that one slot would take for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from lepton_celery.errors import InputError


@dataclass(frozen=True, slots=True)
class LaneLoad:
    """The outstanding work of one lane."""

    lane: str
    target_wait_s: float
    """Seconds after which no work of the lane should still be waiting for a slot."""
    blocks: int = 0
    """Blocks without a receipt, of the stages that are open."""
    batches: int = 0
    """Batches that these blocks make, running ones included: more slots than that find nothing to do."""
    work_s: float = 0.0
    """Predicted seconds of work of these blocks, of running ones the rest."""
    busy_slots: int = 0
    """Slots that work for the lane, each on one batch, merge or small job."""
    oldest_s: float = 0.0
    """Seconds for which the oldest of the waiting work has waited; 0 if none waits."""
    oldest_work_s: float | None = None
    """Of `work_s`, what is done before the oldest work is, if jobs share the lane: of each job at most as much as the
    oldest has. None if that is not known: all of it."""

    def __post_init__(self) -> None:
        _check_amounts(self)
        if self.target_wait_s <= 0:
            raise InputError(f"the target wait of lane {self.lane} is {self.target_wait_s} s; give more than 0")


@dataclass(frozen=True, slots=True)
class Resource:
    """Memory in bytes, or processors: what there is for the workers, such as the limit of their cgroup."""

    limit: float
    used: float
    per_slot: float
    """What one busy slot uses."""

    def __post_init__(self) -> None:
        _check_amounts(self)

    def room(self, not_busy: int) -> int | None:
        """How many more slots there is room for, once all present ones are busy; negative if these are too many.

        None if a slot uses nothing.
        """
        if not self.per_slot:
            return None
        return math.floor((self.limit - self.used) / self.per_slot - not_busy)


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known of a fleet at a moment: of the workers that serve the same lanes."""

    at: float
    """When it was observed, in seconds by the clock of `Policy.decide`."""
    lanes: tuple[LaneLoad, ...]
    """The lanes that the fleet serves, the most urgent first."""
    ready: int
    """Slots that take work: busy ones and idle ones, without those that drain."""
    starting: int = 0
    """Slots that were ordered and do not take work yet."""
    starting_s: float = 0.0
    """Seconds for which these have been starting, on average; 0 if that is not known."""
    draining: int = 0
    """Slots that finish their batch and then stop."""
    startup_s: float = 30.0
    """Seconds from the order of a worker until it takes work, as measured."""
    failures: int = 0
    """Workers that died within the last minutes although nobody told them to: those of the operator's window of failures."""
    memory: Resource | None = field(default=None)
    """Memory, if it is known."""
    processors: Resource | None = field(default=None)
    """Processors, if they are known."""

    def __post_init__(self) -> None:
        _check_amounts(self)

    @property
    def busy(self) -> int:
        """Slots that work for any lane, as far as they are not draining."""
        return min(self.ready, sum(load.busy_slots for load in self.lanes))

    @property
    def present(self) -> int:
        """Slots that take work, or will when they have started."""
        return self.ready + self.starting


def _check_amounts(item: LaneLoad | Resource | Observation) -> None:
    """Refuse negative and infinite numbers, and what is none: a decision on them would be wrong without a word."""
    for each in fields(item):
        value = getattr(item, each.name)
        if isinstance(value, int | float) and not 0 <= value < math.inf:
            raise InputError(f"{type(item).__name__}.{each.name} is {value}; give a finite number from 0")
