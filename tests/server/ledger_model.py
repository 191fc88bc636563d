"""A minimal model of the ledger's contract, with which `test_ledger_stateful` compares it."""

from __future__ import annotations

from dataclasses import dataclass, field

from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger import FollowingStage, JobState

MAX_ATTEMPTS = 2


@dataclass
class Lease:
    owner: str
    live: bool = True


@dataclass
class Model:
    """A minimal model of the ledger's contract: one job, whose leases are live or expired."""

    total: int
    state: JobState = JobState.RUNNING
    number: StageNumber = StageNumber(0)  # noqa: RUF009  # an int
    cursor: int = 0
    received: set[Place] = field(default_factory=set)
    once_received: set[Place] = field(default_factory=set)
    leases: dict[Place, Lease] = field(default_factory=dict)
    lost: dict[Place, int] = field(default_factory=dict)
    merge: Lease | None = None
    fence: int = 0
    fence_held: int | None = None
    duplicated: set[Place] = field(default_factory=set)
    killers: set[Place] = field(default_factory=set)
    batches: dict[StageNumber, float] = field(default_factory=dict)
    merges: list[StageNumber] = field(default_factory=list)
    filled: set[tuple[StageNumber, Place]] = field(default_factory=set)
    publishing: bool = False
    has_begun_merge: bool = False
    """Whether a merge of the stage was ever begun."""

    def is_open(self, number: StageNumber) -> bool:
        """Whether the stage takes receipts; blocks that were at work when the job was paused may end."""
        return self.state.is_open and number == self.number

    def is_current(self, number: StageNumber) -> bool:
        return self.state is JobState.RUNNING and number == self.number

    @property
    def merging(self) -> bool:
        return len(self.received) == self.total

    @property
    def places(self) -> list[Place]:
        return list(map(Place, range(self.total)))

    def claim(self, place: Place, owner: str) -> str:
        lease = self.leases.get(place)
        if place in self.received:
            return "done"
        if lease and lease.live and lease.owner != owner:
            return "leased"
        if lease:
            self.lost[place] = self.lost.get(place, 0) + 1
        if self.lost.get(place, 0) >= MAX_ATTEMPTS:
            self.leases.pop(place, None)
            return "exhausted"
        self.leases[place] = Lease(owner)
        return "granted"

    def receive(self, number: StageNumber, places: list[Place]) -> int:
        """Record receipts; the number of new ones."""
        fresh = set(places) - self.received
        self.batches[number] = self.batches.get(number, 0) + bool(fresh - self.once_received)
        self.received |= fresh
        self.forget_attempts(set(places))
        self.killers -= set(places)
        return len(fresh)

    def forget_attempts(self, places: set[Place]) -> None:
        self.leases = {place: lease for place, lease in self.leases.items() if place not in places}
        self.lost = {place: lost for place, lost in self.lost.items() if place not in places}

    def holds(self, number: StageNumber, fence: int) -> bool:
        return self.is_open(number) and self.fence_held == fence

    def open(self, following: FollowingStage) -> None:
        self.number, self.total = following
        self.cursor = 0
        self.received, self.once_received, self.leases, self.lost = set(), set(), {}, {}
        self.duplicated, self.killers = set(), set()
        self.merge = self.fence_held = None
        self.has_begun_merge = False
