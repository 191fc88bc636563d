"""The ledger's answers: a job's state and progress, its filled blocks, and the answer to a claim."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple, TypeVar

from lepton_celery.grid import Place, StageIndex, StageNumber
from lepton_celery.limits import BlockCount, Count, Moment, Owner, Positive
from lepton_celery.priority import Rank

T = TypeVar("T")

NO_STAGE = StageNumber(-1)
"""Stands for no stage."""
NO_PLACE = Place(-1)
"""Stands for no block."""


class JobState(StrEnum):
    """The state of a job. All states but `RUNNING` and `PAUSED` are final, but a failed job can be resumed."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DAMAGED = "damaged"
    """Never recorded: the job's entry in the ledger cannot be understood."""

    @property
    def is_open(self) -> bool:
        """Whether the job has not ended."""
        return self in (JobState.RUNNING, JobState.PAUSED)


class Description(NamedTuple):
    """What only people read of a job: it decides nothing."""

    title: str
    owner: str = ""
    retry_of: str = ""
    """The job that this one does again; empty for none."""


NO_DESCRIPTION = Description("")


class Attributes(NamedTuple):
    """What a new job has beside its plan, its lane and its description."""

    rank: int = 0
    """Its rank among the jobs of its tenant in the lane."""
    tenant: str = ""
    notifies: bool = False
    """Whether each of its ends is noted as one that is to be told."""
    trace: str = ""
    """What its trace continues; see `JobInfo.trace`."""
    is_paused: bool = False
    """Whether it is paused until `resume`."""


NO_ATTRIBUTES = Attributes()


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Times of a stage, in seconds since the epoch; None for an event that has not happened."""

    began: float | None = None
    """When the stage first was open while the job was running."""
    received: float | None = None
    """When the last receipt was committed."""
    ended: float | None = None
    """When the merge was committed."""


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A snapshot of a job."""

    job_id: str
    state: JobState
    lane: str
    """The lane of the job's messages."""
    title: str
    """The job's name, for display."""
    stage: StageNumber
    """Number of the current stage, or of the last stage that was open if the job has ended."""
    stages: Positive
    """Number of stages of the plan."""
    blocks_done: BlockCount
    """Number of blocks of the current stage that have a receipt."""
    blocks_total: BlockCount
    """Number of blocks of the current stage."""
    dispatched: BlockCount
    """Number of blocks of the current stage that were sent to the broker: the dispatch cursor."""
    created_at: Moment
    """Seconds since the epoch."""
    updated_at: Moment
    """Seconds since the epoch at the last dispatch, claim, commit, or change of the job or its merge."""
    finished_at: Moment | None = None
    """Seconds since the epoch; None while the job runs."""
    error: str = ""
    """Why the job failed; empty if it did not."""
    error_stage: StageNumber = NO_STAGE
    """The stage that failed; `NO_STAGE` if none did."""
    error_place: Place = NO_PLACE
    """Place of the block that failed; `NO_PLACE` if none did."""
    merge_attempts: Count = 0
    """Number of times that the merge of the current stage was begun."""
    filled: BlockCount = 0
    """Number of blocks that were given up and filled."""
    lost_attempts: Count = 0
    """Number of attempts at blocks that were lost so far, of all stages and however often the job was resumed."""
    recovered_attempts: Count = 0
    """Number of these that were lost because a process or worker died or fell silent; in the others, a function failed."""
    expired_blocks: Count = 0
    """Number of blocks that sweepers took back from workers that fell silent, and sent again."""
    doubled_blocks: Count = 0
    """Number of blocks that sweepers gave to a second worker too, because the first one took long."""
    resent_blocks: Count = 0
    """Number of blocks whose messages were lost, and that were sent again."""
    waits_for: str = ""
    """Why workers could not take up blocks since the last receipt; empty if none said so."""
    rank: Rank = 0
    """The job's rank among the jobs of its tenant in the lane: those of a higher rank go first."""
    tenant: str = ""
    """The tenant whose share of the lane the job takes; empty for none."""
    owner: Owner = ""
    """Who asked for the job; empty if nobody said so."""
    trace: str = ""
    """The span in which the job was submitted, as W3C's traceparent, with the tracestate after a blank; empty for none."""
    resumed: Count = 0
    """Number of times that the job was resumed after a failure."""
    resumed_at: Moment | None = None
    """Seconds since the epoch when it was last resumed after a failure; None if it never was."""
    retry_of: str = ""
    """The job that this one does again; empty if it does none."""
    retried_as: str = ""
    """The job that does this one again; empty if none does."""
    predicted_s: tuple[float, ...] = ()
    """Predicted seconds of each stage, from its first message to its end; empty if nobody noted them."""
    stage_stats: dict[StageNumber, dict[str, float]] = field(default_factory=dict)
    """Sums of each stage's statistics, by name, over the first receipts of its blocks. Stages without any are missing."""
    stage_times: dict[StageNumber, StageTimes] = field(default_factory=dict)
    """Times of each stage."""

    @property
    def priority(self) -> str:
        """The job's lane, and its rank if that is not 0: `batch:5`."""
        return f"{self.lane}:{self.rank}" if self.rank else self.lane

    @property
    def outstanding(self) -> int:
        """Number of blocks of the current stage that were sent and have no receipt."""
        return max(0, self.dispatched - self.blocks_done)

    @property
    def merging(self) -> bool:
        """Whether the job is running and every block of its stage has a receipt, so that only the merge remains."""
        return self.state is JobState.RUNNING and self.blocks_done == self.blocks_total

    @property
    def stats(self) -> dict[str, float]:
        """The sums of `stage_stats` over all stages."""
        totals: dict[str, float] = {}
        for sums in self.stage_stats.values():
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + value
        return totals

    @property
    def stage_index(self) -> StageIndex:
        """Index of the current stage in the plan."""
        return StageIndex(self.stage % self.stages)

    @property
    def stage_label(self) -> str:
        """See the function `stage_label`."""
        return stage_label(self.stage, self.stages)

    @property
    def place(self) -> str:
        """The former name of `stage_label`."""
        return _renamed("place", "stage_label", self.stage_label)

    @property
    def holes(self) -> int:
        """The former name of `filled`."""
        return _renamed("holes", "filled", self.filled)

    @property
    def error_block(self) -> Place:
        """The former name of `error_place`."""
        return _renamed("error_block", "error_place", self.error_place)


def stage_label(number: StageNumber, stages: int) -> str:
    """A stage of a plan of `stages` stages as text: `2/5`, and its round if it is repeated."""
    rounds, index = divmod(number, stages)
    return f"{index + 1}/{stages}" + (f" round {rounds + 1}" if rounds else "")


def _renamed(old: str, new: str, value: T) -> T:
    warnings.warn(
        f"JobInfo.{old} is called JobInfo.{new} now; release 0.2 removes the old name", DeprecationWarning, stacklevel=3
    )
    return value


class FollowingStage(NamedTuple):
    """The stage that a merge opens."""

    number: StageNumber
    blocks: int
    """Number of its blocks."""


class FilledBlock(NamedTuple):
    """A block that was given up and filled."""

    stage: StageNumber
    place: Place
    attempts: int
    """Number of attempts that were lost."""
    reason: str


class Filling(IntEnum):
    """What became of a block that a worker has filled."""

    KNOWN = 0
    """Nothing: it was filled before, or the stage is over."""
    FILLED = 1
    """It counts as received."""
    SPOILT = 2
    """Somebody had done it, and other pixels were stored over those of the block: its receipt was taken back."""
    TOO_LATE = 3
    """The same, but a merge of the stage was begun."""


class Losses(NamedTuple):
    """What a process or a worker lost that died, and what the stage has lost so far."""

    lost: list[Place]
    """Blocks that were worked on."""
    killers: int
    """Number of blocks without a receipt whose process died while it worked on nothing else, or whose worker did twice."""
    done: int
    """Number of blocks of the stage that have a receipt."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The reply to a claim. Each requested block is in one of the lists, in the order of the request."""

    granted: list[Place]
    """Blocks that are now leased to the caller."""
    leased: list[Place]
    """Blocks that are leased to another owner."""
    done: list[Place]
    """Blocks that have a receipt."""
    exhausted: list[Place]
    """Blocks that lost `max_attempts` attempts; the caller must give them up."""
    active: bool
    """False if the stage accepts no work: the job is not running in it, or is merging it. All lists are empty then."""
    lost: dict[Place, int] = field(default_factory=dict)
    """Number of lost attempts of each granted block that has lost any."""
