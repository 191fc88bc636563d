"""The block map of a stage: for each block what is done of it, by whom, when, and in how many attempts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lepton_celery.grid import BlockGrid, BlockIndex, Place, StageIndex, StageNumber
from lepton_celery.jobs.job import Job
from lepton_celery.ledger import JobInfo, JobState
from lepton_celery.ledger.block_record import OpenBlocks
from lepton_celery.ledger.history import Stretch
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.tiles import Tiling
from lepton_celery.views.places import runs_of

T = TypeVar("T", bound=np.generic)

NO_SLOT = 0xFFFF
"""Stands for no slot, or one that is not known."""


class BlockState(IntEnum):
    """What is done of a block."""

    WAITS = 0
    """It was not sent yet."""
    SENT = 1
    """It waits in the broker for a worker."""
    WORKED_ON = 2
    DONE = 3
    FILLED = 4
    """It was given up, and its pixels are the job's fill value."""
    TRIED = 5
    """An attempt was lost, and the block waits for the next one."""
    FAILED = 6
    """The job failed because of it."""


@dataclass(frozen=True, slots=True)
class BlockMap:
    """The blocks of a stage. Arrays have an item for each block, in C order of the blocks' positions in the grid."""

    grid: BlockGrid
    states: NDArray[np.uint8]
    """A `BlockState` each."""
    attempts: NDArray[np.uint8]
    """Lost attempts, up to 255."""
    seconds: NDArray[np.float32]
    """The time that a worker took for it, on average over the batch; NaN if it is not known."""
    ended: NDArray[np.float32]
    """When it was done, in seconds since the job began; NaN if it is not known."""
    slots: NDArray[np.uint16]
    """Index in `slot_names`, or `NO_SLOT`."""
    slot_names: tuple[str, ...]
    """Worker and process, `celery@host/1234`, in the order of their first work for the job."""

    def counts(self) -> dict[BlockState, int]:
        """Number of blocks in each state."""
        found = np.bincount(self.states, minlength=len(BlockState))
        return {state: int(found[state]) for state in BlockState}


def block_map(job: Job, stage: StageIndex) -> BlockMap:
    """The block map of a stage of a job; of a stage that is repeated, in its latest round.

    Raises:
        BrokerUnreachable: the ledger does not answer.
    """
    info, plan = job.info(), job.manifest().plan
    tiling = plan.stages[stage].tiling
    number = _latest_round(info, plan, stage)
    history = job.history()
    shown = _History(history, number, len(tiling.grid), info.created_at)
    states = np.full(len(tiling.grid), BlockState.WAITS, np.uint8)
    attempts = np.zeros(len(tiling.grid), np.uint8)
    if info.state is JobState.DONE or info.stage > number >= 0:
        states[:] = BlockState.DONE
    elif info.stage == number:
        _set_open(states, attempts, info, job.open_blocks())
    for filled in job.filled_blocks():
        if filled.stage == stage:
            place = tiling.place(filled.block)
            states[place], attempts[place] = BlockState.FILLED, min(filled.attempts, 255)
    if info.state is JobState.FAILED and info.error_stage == number and 0 <= info.error_place < len(states):
        states[info.error_place] = BlockState.FAILED
    order = _order(tiling)
    return BlockMap(
        tiling.grid,
        _by_block(states, order),
        _by_block(attempts, order),
        _by_block(shown.seconds, order),
        _by_block(shown.ended, order),
        _by_block(shown.slots, order),
        slot_names(history),
    )


def slot_names(history: Iterable[Stretch]) -> tuple[str, ...]:
    """The slots that worked for a job, in the order of their first work."""
    return tuple(dict.fromkeys(stretch.slot for stretch in history))[:NO_SLOT]


def _latest_round(info: JobInfo, plan: Plan, stage: StageIndex) -> StageNumber:
    """The number of the latest round of a stage that has begun, or of its first round."""
    begun = [number for number in info.stage_times if plan.stage_run(number).stage == stage]
    return max(begun, default=StageNumber(stage))


def _set_open(states: NDArray[np.uint8], attempts: NDArray[np.uint8], info: JobInfo, blocks: OpenBlocks) -> None:
    """Set what the ledger knows of the blocks of the open stage, by place."""
    count = len(states)
    receipts = np.frombuffer(
        blocks.receipts or b"\0", np.uint8
    )  # of no bytes at all, NumPy gives what is in the memory
    received = np.unpackbits(receipts, count=count).astype(bool)
    states[: info.dispatched] = BlockState.SENT
    for place, lost in blocks.attempts.items():
        if 0 <= place < count:
            states[place], attempts[place] = BlockState.TRIED, min(lost, 255)
    if info.state.is_open:
        states[[place for place in blocks.leases if 0 <= place < count]] = BlockState.WORKED_ON
    states[received] = BlockState.DONE


class _History:
    """What the history tells of the blocks of a stage, by place."""

    def __init__(self, history: Sequence[Stretch], number: StageNumber, count: int, since: float) -> None:
        self.seconds = np.full(count, np.nan, np.float32)
        self.ended = np.full(count, np.nan, np.float32)
        self.slots = np.full(count, NO_SLOT, np.uint16)
        index_of = {name: index for index, name in enumerate(slot_names(history))}
        for stretch in history:
            if stretch.stage == number and stretch.places:
                runs = [run for run in runs_of(stretch.places) if run.stop <= count]
                blocks = max(1, sum(map(len, runs)))
                seconds = (stretch.compute_s + stretch.read_s + stretch.write_s) / blocks
                for run in runs:
                    at = slice(run.start, run.stop)
                    self.seconds[at] = seconds
                    self.ended[at] = stretch.ended - since
                    self.slots[at] = index_of.get(stretch.slot, NO_SLOT)


def _by_block(by_place: NDArray[T], order: NDArray[np.int64] | None) -> NDArray[T]:
    if order is None:
        return by_place
    by_block = np.empty_like(by_place)
    by_block[order] = by_place
    return by_block


@lru_cache(8)
def _order(tiling: Tiling) -> NDArray[np.int64] | None:
    """The block at each place; None if places are blocks."""
    counts, tile = tiling.grid.counts, tiling.tile
    if all(length == 1 for length in tile) or all(n <= length for n, length in zip(counts[1:], tile[1:], strict=True)):
        return None
    blocks = np.arange(len(tiling.grid), dtype=np.int64).reshape(counts)
    cuts = [[*range(0, count, length), count] for count, length in zip(counts, tile, strict=True)]
    return np.concatenate([blocks[at].ravel() for at in _boxes([list(pairwise(cut)) for cut in cuts])])


def _boxes(intervals: Sequence[Sequence[tuple[int, int]]]) -> Iterable[tuple[slice, ...]]:
    """The boxes of a grid of intervals, in C order."""
    if not intervals:
        yield ()
        return
    for first, stop in intervals[0]:
        for rest in _boxes(intervals[1:]):
            yield (slice(first, stop), *rest)


@dataclass(frozen=True, slots=True)
class BlockStory:
    """All that is known of one block."""

    block: BlockIndex
    place: Place
    position: tuple[int, ...]
    """Its position in the grid, in blocks along each axis."""
    start: tuple[int, ...]
    """Its first pixel along each axis."""
    stop: tuple[int, ...]
    """One past its last pixel along each axis."""
    state: str
    attempts: int
    """Lost attempts."""
    reason: str
    """Why an attempt was lost, or why it was filled; empty if nothing is known."""
    owner: str
    """Who works on it now; empty if nobody does."""
    since: float | None
    """Since when, in seconds since the epoch."""
    slot: str
    """Worker and process that did it; empty if it is not known."""
    batch_began: float | None
    """When the slot began the batch, or several in a row, in seconds since the epoch."""
    batch_ended: float | None
    batch_blocks: int
    """Number of blocks that it did in that time."""
    seconds: float | None
    """Seconds of a block, on average over these."""
    read_bytes: float | None
    """Bytes read for a block, on average over these."""
    write_bytes: float | None


def block_story(job: Job, stage: StageIndex, block: BlockIndex) -> BlockStory:
    """All that is known of a block.

    Raises:
        InputError: the stage has no such block.
        BrokerUnreachable: the ledger does not answer.
    """
    info, plan = job.info(), job.manifest().plan
    tiling = plan.stages[stage].tiling
    region, place = tiling.grid.region(block), tiling.place(block)
    number = _latest_round(info, plan, stage)
    shown = block_map(job, stage)
    known = job.open_blocks() if info.stage == number else OpenBlocks(b"", {}, {}, {})
    lease = known.leases.get(place) if info.state.is_open else None
    did = next((one for one in job.history() if one.stage == number and _has(one, place)), None)
    blocks = 0 if did is None else sum(map(len, runs_of(did.places)))
    filled = [one.reason for one in job.filled_blocks() if (one.stage, one.block) == (stage, block)]
    return BlockStory(
        block=block,
        place=place,
        position=tiling.grid.position(block),
        start=region.start,
        stop=region.stop,
        state=BlockState(int(shown.states[block])).name.lower(),
        attempts=int(shown.attempts[block]),
        reason=next(iter(filled), known.reasons.get(place, "")),
        owner=lease.owner if lease else "",
        since=lease.since if lease else None,
        slot=did.slot if did else "",
        batch_began=did.began if did else None,
        batch_ended=did.ended if did else None,
        batch_blocks=blocks,
        seconds=(did.compute_s + did.read_s + did.write_s) / blocks if did else None,
        read_bytes=did.read_bytes / blocks if did else None,
        write_bytes=did.write_bytes / blocks if did else None,
    )


def _has(stretch: Stretch, place: Place) -> bool:
    return any(place in run for run in runs_of(stretch.places))
