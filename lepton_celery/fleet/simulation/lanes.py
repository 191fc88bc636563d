"""Jobs on their way, and the lanes in which their messages wait.

A lane is a queue in the broker, which holds a window of work; `turns` says which of the lane's jobs may send more.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import deque
from typing import NamedTuple

from lepton_celery.fleet.load import LaneLoad
from lepton_celery.fleet.simulation.measured import Stage, Times
from lepton_celery.fleet.simulation.trace import Arrival
from lepton_celery.fleet.simulation.turns import LaneTurns
from lepton_celery.ledger.lane_window import ALONE, SHARED, Spans

_DRAWN = 8
"""Largest batch whose block times are drawn one by one; a larger batch draws its sum from a normal distribution."""


class Message(NamedTuple):
    """A message in the broker."""

    at: float
    """When it is there."""
    blocks: int
    """Number of blocks that it asks for."""
    batch_blocks: int
    """Blocks of a batch: fewer than `blocks` if the message stands for a stretch of batches."""
    attempts: int = 0
    """How often it killed a worker process, if it is a poisonous block that is tried alone; else 0."""
    poisonous: bool = False
    """Whether one of its blocks kills the process that does it."""


class JobRun:
    """A job on its way through its stages."""

    def __init__(self, job_id: str, arrival: Arrival, times: Times) -> None:
        self.job_id, self.arrival, self._times = job_id, arrival, times
        self.stages = iter(arrival.stages)
        self.stage: Stage
        self.opened_at = 0.0
        self.unsent = self.undone = 0
        """Blocks not sent, and blocks without a receipt."""
        self.queued = 0
        """Messages that no slot has."""
        self.poison = 0
        """Poisonous blocks that are still to be sent."""
        self._is_new = True

    def opens(self, now: float) -> bool:
        """Open the next stage; False if there is none."""
        stage = next(self.stages, None)
        if stage is None:
            return False
        self.poison, self._is_new = (self.arrival.poison if self._is_new else 0), False
        self.stage, self.opened_at = stage, now
        self.unsent = self.undone = stage.blocks
        # with its share of the message, so that predicted work is what slots take for it
        self.mean_s = statistics.fmean(stage.block_s) + self._times.block_s
        self._spread_s = statistics.pstdev(stage.block_s)
        self.size = min(stage.batch_blocks, stage.blocks)
        return True

    def drawn(self, blocks: int, chance: random.Random) -> float:
        """The time that blocks take a slot."""
        if blocks <= _DRAWN:
            return sum(chance.choices(self.stage.block_s, k=blocks)) + blocks * self._times.block_s
        return max(0.0, chance.gauss(blocks * self.mean_s, math.sqrt(blocks) * self._spread_s))


class LaneQueue:
    """The open jobs of a lane and its queue in the broker, and sums for those who observe the lane.

    Args:
        name, target_wait_s: the lane.
        coarseness: how many batches a message stands for; the window holds as many times more work, in as many messages.
    """

    def __init__(self, name: str, target_wait_s: float, *, coarseness: float = 1.0) -> None:
        self.name, self.target_wait_s = name, target_wait_s
        self.runs: dict[str, JobRun] = {}
        """The jobs whose stage has blocks without a receipt, in the order in which their stages opened."""
        alone, shared = (Spans(*(coarseness * seconds for seconds in spans)) for spans in (ALONE, SHARED))
        self.turns = LaneTurns(alone=alone, shared=shared)
        self._queue: deque[tuple[JobRun, Message]] = deque()
        self.blocks = self.busy = 0
        """Blocks without receipts, and slots that have a message."""
        self.batches = self.work_s = 0.0
        """Batches without receipts, as planned, and their work."""
        self._running, self._begun_s = 0, 0.0
        """Slots that do blocks, and the sum of the times when they began."""
        self._last_at = 0.0

    def __len__(self) -> int:
        """The number of messages that no slot has."""
        return len(self._queue)

    @property
    def batch_s(self) -> float:
        """Seconds of a batch for as many jobs as the lane has, unless it is planned to be shorter."""
        return (SHARED if len(self.turns) > 1 else ALONE).batch_s

    def put(self, run: JobRun, messages: list[Message], *, first: bool = False) -> None:
        """Put messages of a job behind all others, or before them."""
        run.queued += len(messages)
        if first:
            self._queue.extendleft((run, message) for message in reversed(messages))
            return
        for message in messages:
            self._last_at = max(self._last_at, message.at)
            self._queue.append((run, message._replace(at=self._last_at)))

    def next(self) -> tuple[JobRun, Message] | None:
        """The message whose turn it is, which leaves the queue."""
        if not self._queue:
            return None
        run, message = self._queue.popleft()
        run.queued -= 1
        return run, message

    def remaining_s(self, now: float) -> float:
        """Predicted work without receipts, without what slots have done of it already."""
        if not self.runs:
            return 0.0  # and not what is left of rounding
        return max(0.0, self.work_s - (self._running * now - self._begun_s))

    def begin(self, at: float) -> None:
        """Note that a slot begins to do blocks."""
        self._running += 1
        self._begun_s += at

    def end(self, begun: float) -> None:
        """Note that a slot that began at a time does no more blocks."""
        self._running -= 1
        self._begun_s -= begun

    def load(self, now: float) -> LaneLoad:
        """What the policy is told of the lane."""
        oldest = next((run for run in self.runs.values() if run.unsent or run.queued), None)
        most_s = oldest.undone * oldest.mean_s if oldest else 0.0
        batch_s = self.batch_s
        return LaneLoad(
            self.name,
            self.target_wait_s,
            blocks=self.blocks,
            batches=sum(-(-run.undone // max(1, int(batch_s / run.mean_s))) for run in self.runs.values()),
            work_s=self.remaining_s(now),
            busy_slots=self.busy,
            oldest_s=now - oldest.opened_at if oldest else 0.0,
            oldest_work_s=sum(min(most_s, run.undone * run.mean_s) for run in self.runs.values()),
        )
