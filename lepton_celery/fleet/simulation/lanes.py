"""Jobs on their way, and the lanes in which their messages wait.

The jobs of a lane share it by deficit round robin (M. Shreedhar and G. Varghese, "Efficient fair queueing using deficit
round robin", SIGCOMM 1995): a job whose turn it is may take work of a quantum, times its tenant's weight, and what it
does not use it has in its next turn.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import deque
from typing import NamedTuple

from lepton_celery.fleet.simulation.measured import Stage, Times
from lepton_celery.fleet.simulation.trace import Arrival

_DRAWN = 8
"""Largest batch whose block times are drawn one by one; a larger batch draws its sum from a normal distribution."""
_QUANTUM_S = 1.0
"""Work that a job may take in its turn."""


class Message(NamedTuple):
    """A message in the broker."""

    at: float
    """When it is there."""
    wave: int
    blocks: int
    """Number of blocks that it asks for; 0 for a message that closes the wave."""
    attempts: int = 0
    """How often it killed a worker process, if it is a poisonous block that is tried alone; else 0."""
    poisonous: bool = False
    """Whether one of its blocks kills the process that does it."""


class JobRun:
    """A job on its way through its stages."""

    def __init__(self, arrival: Arrival, times: Times) -> None:
        self.arrival, self._times = arrival, times
        self.stages = iter(arrival.stages)
        self.messages: deque[Message] = deque()
        """In the broker, or about to be: the first one is the next to be taken, and none is there before it."""
        self.open: dict[int, int] = {}
        """Number of unfinished messages by wave."""
        self.deficit = 0.0
        self.is_queued = False
        """Whether the job is in the ring of its lane."""
        self.stage: Stage
        self.opened_at = self._last_at = 0.0
        self.unsent = self.undone = self.in_broker = self.waves = 0
        """Blocks not sent and blocks without a receipt; messages in the broker or in work; waves of the stage so far."""
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
        self.batch_s = self.size * self.mean_s + self._times.message_s
        self._last_at = now
        self.waves = self.in_broker = 0
        return True

    def put(self, message: Message) -> None:
        """Put a message behind all others."""
        self._last_at = max(self._last_at, message.at)
        self.messages.append(message._replace(at=self._last_at))

    def put_first(self, message: Message) -> None:
        """Put a message before all others."""
        self.messages.appendleft(message)

    def drawn(self, blocks: int, chance: random.Random) -> float:
        """The time that blocks take a slot."""
        if blocks <= _DRAWN:
            return sum(chance.choices(self.stage.block_s, k=blocks)) + blocks * self._times.block_s
        return max(0.0, chance.gauss(blocks * self.mean_s, math.sqrt(blocks) * self._spread_s))


class LaneQueue:
    """The jobs of a lane that have messages in the broker, and sums for those who observe the lane."""

    def __init__(self, name: str, target_wait_s: float) -> None:
        self.name, self.target_wait_s = name, target_wait_s
        self.runs: dict[int, JobRun] = {}
        """The jobs whose stage has blocks without a receipt, in the order in which their stages opened."""
        self._ring: deque[JobRun] = deque()
        self.blocks = self.busy = 0
        """Blocks without receipts, and slots that have a message."""
        self.batches = self.queued_batches = self.work_s = 0.0
        """Batches without receipts and those in the broker that no slot has; work without receipts."""
        self._running, self._begun_s = 0, 0.0
        """Slots that do blocks, and the sum of the times when they began."""

    def add(self, run: JobRun) -> None:
        """Put a job with messages into the ring."""
        if not run.is_queued and run.messages:
            run.is_queued = True
            self._ring.append(run)

    def next(self) -> tuple[JobRun, Message] | None:
        """The message whose turn it is, which leaves the queue."""
        while self._ring:
            run = self._ring[0]
            if not run.messages:
                self._ring.popleft()
                run.is_queued, run.deficit = False, 0.0
                continue
            cost_s = run.messages[0].blocks * run.mean_s
            if cost_s <= run.deficit or len(self._ring) == 1:
                run.deficit = max(0.0, run.deficit - cost_s)
                message = run.messages.popleft()
                self.queued_batches -= message.blocks / run.size
                return run, message
            run.deficit += max(_QUANTUM_S, cost_s / 4) * run.arrival.weight
            self._ring.rotate(-1)
        return None

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

    def oldest(self) -> JobRun | None:
        """The job whose stage opened first, of those that wait for a slot."""
        return next((run for run in self.runs.values() if run.unsent or run.messages), None)
