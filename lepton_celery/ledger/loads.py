"""The outstanding work of each lane, from which the number of workers is decided.

Two round trips read it. A lane with many jobs is judged by a random sample of them, so that it takes bounded time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from lepton_celery.grid import StageIndex
from lepton_celery.ledger.info import JobState
from lepton_celery.ledger.lane_window import UNKNOWN_S

if TYPE_CHECKING:  # redis-py takes 0.1 s to import
    from lepton_celery.ledger.connection import Connection

SAMPLE = 200
"""Largest number of jobs of a lane that are looked at, besides as many of the oldest open ones."""


class Holder(NamedTuple):
    """Who works on the open stage of a job."""

    owner: str
    """The owner of the leases, or of the merge."""
    blocks: int
    """Number of blocks; 0 for the merge."""
    since: float | None
    """Since when, in seconds since the epoch; None if that is not known."""


@dataclass(frozen=True, slots=True)
class JobLoad:
    """What is left of the open stage of a job."""

    job_id: str
    lane: str
    blocks: int
    """Blocks without a receipt."""
    block_s: float
    """Seconds that a block takes, as measured or predicted."""
    in_hand: int
    """Of the blocks, those that workers have."""
    holders: tuple[Holder, ...]
    """Who works on it: each slot that works for the job has a batch, or the merge."""
    worked_s: float
    """Seconds for which these have worked on their batches, summed."""
    since_s: float
    """Seconds since the stage began."""
    merge_waits: bool
    """Whether the stage has only its merge left, which nobody has begun."""
    stage: StageIndex = StageIndex(0)  # noqa: RUF009  # an int
    """The open stage."""

    @property
    def slots(self) -> int:
        """Slots that work for the job."""
        return len(self.holders)

    @property
    def work_s(self) -> float:
        """Seconds of work that are left."""
        done_s = min(self.worked_s, self.in_hand * self.block_s)
        return self.blocks * self.block_s - done_s + self.merge_waits * UNKNOWN_S

    @property
    def waits(self) -> bool:
        """Whether some of the work waits for a slot."""
        return self.merge_waits or self.blocks > self.in_hand


@dataclass(frozen=True, slots=True)
class LaneJobs:
    """The open jobs of a lane, or a sample of them."""

    jobs: tuple[JobLoad, ...]
    count: int
    """Number of jobs of the lane."""
    sampled: int
    """Number of those of `jobs` that were drawn at random."""

    @property
    def scale(self) -> float:
        """How many times as much as the jobs that were looked at the whole lane has."""
        return self.count / self.sampled if self.sampled else 1.0


class Loads:
    """Reads the outstanding work."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, lanes: Sequence[str]) -> dict[str, LaneJobs]:
        """The open jobs of these lanes."""
        with self._connection.client() as client:
            pipeline = client.pipeline(transaction=False)
            pipeline.zrange(f"{self._connection.prefix}active", 0, SAMPLE - 1)
            for lane in lanes:
                pipeline.hlen(self._turns(lane))
                pipeline.hrandfield(self._turns(lane), SAMPLE)
            oldest, *replies = pipeline.execute(raise_on_error=False)
        drawn = {lane: _texts(found) for lane, found in zip(lanes, replies[1::2], strict=True)}
        counts = {lane: n if isinstance(n, int) else 0 for lane, n in zip(lanes, replies[::2], strict=True)}
        job_ids = list(dict.fromkeys([*_texts(oldest), *(job_id for found in drawn.values() for job_id in found)]))
        loads = self._read_jobs(job_ids, lanes)
        return {lane: _lane_jobs(lane, loads, drawn[lane], counts[lane]) for lane in lanes}

    def _read_jobs(self, job_ids: Sequence[str], lanes: Sequence[str]) -> dict[str, JobLoad]:
        if not job_ids:
            return {}
        replies = self._connection.run_for_each(
            "job_load", job_ids, also=[(self._turns(lane), job_ids) for lane in lanes]
        )
        costs: dict[str, float] = {}
        for entries in replies[len(job_ids) :]:
            known = entries if isinstance(entries, list) else []
            costs |= {job_id: cost for job_id, entry in zip(job_ids, known, strict=False) if (cost := _cost(entry))}
        loads = (_load(job_id, reply, costs) for job_id, reply in zip(job_ids, replies, strict=False))
        return {load.job_id: load for load in loads if load is not None}

    def _turns(self, lane: str) -> str:
        return f"{self._connection.prefix}{{lane {lane}}}:jobs"


def _lane_jobs(lane: str, loads: Mapping[str, JobLoad], drawn: Sequence[str], count: int) -> LaneJobs:
    """The jobs of a lane. If all its jobs were drawn, jobs count as well that take no part in its turns yet."""
    of_lane = {job_id: load for job_id, load in loads.items() if load.lane == lane}
    if count <= SAMPLE:
        return LaneJobs(tuple(of_lane.values()), len(of_lane), len(of_lane))
    sample = [of_lane[job_id] for job_id in drawn if job_id in of_lane]
    return LaneJobs(tuple(sample), count, len(sample))


def _load(job_id: str, reply: Any, costs: Mapping[str, float]) -> JobLoad | None:
    """The load of a job from the server's reply; None for one that is gone, damaged, or has nothing left to do."""
    if not isinstance(reply, list):
        return None
    lane, state, left, held, worked_s, since_s, merge_waits, owners, stage, stages = reply
    if state == JobState.RUNNING:
        blocks = int(left)
    elif state == JobState.PAUSED:
        blocks = int(held)  # nothing more is begun
    else:
        return None
    return JobLoad(
        job_id,
        str(lane),
        blocks,
        costs.get(job_id, UNKNOWN_S),
        min(int(held), blocks),
        tuple(holder for text in _texts(owners) if (holder := _holder(text)) is not None),
        float(worked_s),
        float(since_s),
        bool(merge_waits),
        StageIndex(int(stage) % max(1, int(stages))),
    )


def _holder(text: str) -> Holder | None:
    blocks, _, rest = text.partition(" ")
    since, _, owner = rest.partition(" ")
    try:
        return Holder(owner, int(blocks), float(since) or None)
    except ValueError:  # it is damaged
        return None


def _cost(entry: Any) -> float | None:
    """The seconds that a block takes, from a job's entry in the turns of its lane."""
    try:
        cost = abs(float(str(entry).split(" ")[2]))  # negative until it is measured
    except (IndexError, ValueError):
        return None
    return cost if 0 < cost < 1e9 else None


def _texts(reply: Any) -> list[str]:
    """The ids in a reply; none if it is an error."""
    return [str(item) for item in reply] if isinstance(reply, list) else []
