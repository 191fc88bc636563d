"""What the ledger tells of a job: its state, its progress, its filled blocks, and the answer to a claim."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeVar

from lepton_celery.grid import Place, StageIndex, StageNumber

T = TypeVar("T")

NO_STAGE = StageNumber(-1)
"""Stands for no stage."""
NO_PLACE = Place(-1)
"""Stands for no block."""


class JobState(StrEnum):
    """How far a job is. All states but `RUNNING` and `PAUSED` are final, and a failed job can be resumed."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether the job has not ended."""
        return self in (JobState.RUNNING, JobState.PAUSED)


@dataclass(frozen=True, slots=True)
class StageTimes:
    """When a stage was at work, in seconds since the epoch; None if that has not happened."""

    began: float | None = None
    """When it was open in a running job."""
    received: float | None = None
    """When its last receipt came in."""
    ended: float | None = None
    """When its merge was committed."""


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as it stood at one moment."""

    job_id: str
    state: JobState
    lane: str
    """The lane of its blocks."""
    title: str
    """The user's name for it."""
    stage: StageNumber
    """Number of the current stage, or of the last stage that was open if the job has ended."""
    stages: int
    """Number of stages of the plan."""
    blocks_done: int
    """Distinct blocks of the current stage that have their receipt."""
    blocks_total: int
    """Blocks of the current stage."""
    dispatched: int
    """Blocks of the current stage that were handed to the broker: those before the cursor."""
    merging: bool
    """Whether all receipts are in and the merge is not committed."""
    created_at: float
    """Seconds since the epoch."""
    updated_at: float
    """Seconds since the epoch of the last dispatch, claim, commit or move of the job or its merge."""
    finished_at: float | None
    """Seconds since the epoch; None while the job runs."""
    error: str
    """Why the job failed; empty if it did not."""
    error_stage: StageNumber
    """The stage that failed; `NO_STAGE` if none did."""
    error_place: Place
    """Place of the block that failed; `NO_PLACE` if none did."""
    merge_attempts: int
    """How often the merge of the current stage was begun."""
    filled: int
    """Number of blocks that were given up and filled."""
    stats: dict[str, float]
    """Sums over all stages; the first receipt of each block counts, repeats do not."""
    stage_stats: dict[StageNumber, dict[str, float]]
    """The same sums by stage; a stage without any is missing."""
    stage_times: dict[StageNumber, StageTimes]
    """When each stage was at work."""

    @classmethod
    def begun(cls, job_id: str, *, lane: str, title: str, stages: int, blocks: int, now: float) -> JobInfo:
        """A job that begins now, with its first stage open."""
        first = StageNumber(0)
        return cls(
            job_id=job_id,
            state=JobState.RUNNING,
            lane=lane,
            title=title,
            stage=first,
            stages=stages,
            blocks_done=0,
            blocks_total=blocks,
            dispatched=0,
            merging=False,
            created_at=now,
            updated_at=now,
            finished_at=None,
            error="",
            error_stage=NO_STAGE,
            error_place=NO_PLACE,
            merge_attempts=0,
            filled=0,
            stats={},
            stage_stats={},
            stage_times={first: StageTimes(began=now)},
        )

    def with_stats(self, stage_stats: Mapping[StageNumber, Mapping[str, float]]) -> JobInfo:
        """The same with sums by stage, and the sums over all stages."""
        totals: dict[str, float] = {}
        for sums in stage_stats.values():
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + value
        return replace(self, stats=totals, stage_stats={number: dict(sums) for number, sums in stage_stats.items()})

    @property
    def stage_index(self) -> StageIndex:
        """Index of the current stage in the plan."""
        return StageIndex(self.stage % self.stages)

    @property
    def stage_label(self) -> str:
        """The current stage in words: `2/5`, and its round if it is repeated."""
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
    """A stage of a plan of `stages` stages in words: `2/5`, and its round if it is repeated."""
    rounds, index = divmod(number, stages)
    return f"{index + 1}/{stages}" + (f" round {rounds + 1}" if rounds else "")


def _renamed(old: str, new: str, value: T) -> T:
    warnings.warn(
        f"JobInfo.{old} is called JobInfo.{new} now; the old name goes in release 0.2", DeprecationWarning, stacklevel=3
    )
    return value


class FollowingStage(NamedTuple):
    """The stage that a merge opens."""

    number: StageNumber
    blocks: int
    """Number of its blocks."""


class FilledBlock(NamedTuple):
    """A block that was given up and filled, as the ledger knows it."""

    stage: StageNumber
    place: Place
    attempts: int
    """How often it was tried and lost."""
    reason: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim: each block that was asked for is in one of the lists, in the order asked."""

    granted: list[Place]
    """Leased to the caller, who works on these."""
    leased: list[Place]
    """Leased to others."""
    done: list[Place]
    """Have their receipt."""
    exhausted: list[Place]
    """Lost too many attempts; whoever sees this fails the job."""
    active: bool
    """False if the stage takes no work: the job has ended, is in another stage, or merges. All lists are empty then."""
    lost: dict[Place, int] = field(default_factory=dict)
    """Number of earlier losses of those granted blocks that were lost before."""


INACTIVE = Claim([], [], [], [], active=False)
"""The answer to a claim in a stage that takes no work."""


class JobRecords(Protocol):
    """What can be asked and told of jobs, wherever they run; see `Ledger` for each method."""

    def info(self, job_id: str) -> JobInfo: ...

    def manifest(self, job_id: str) -> dict[str, Any]: ...

    def result(self, job_id: str) -> dict[str, Any] | None: ...

    def filled_blocks(self, job_id: str) -> list[FilledBlock]: ...

    def end_signal(self, job_id: str) -> AbstractContextManager[Callable[[float], None]]: ...

    def cancel(self, job_id: str) -> bool: ...

    def pause(self, job_id: str) -> bool: ...

    def forget(self, job_id: str) -> None: ...
