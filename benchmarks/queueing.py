"""Discrete-event simulation of a job on any number of workers, with one server for broker and ledger, and one store.

A worker takes a message, claims its blocks from the ledger, does them one after the other, commits their receipts and
acknowledges the message. The server answers one call at a time. The store has a bandwidth that all workers share, first
come, first served. The last batch of a wave sends a message that closes the wave; the worker that takes it publishes as
many batches as the dispatch window has room for. One worker merges at the end of a stage.
"""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_TAKE, _COMMIT, _FREE = range(3)
_DRAWN = 8
"""Largest batch whose block times are drawn one by one; a larger batch draws its sum from a normal distribution."""


@dataclass(frozen=True)
class Times:
    """Measured times, in seconds."""

    message_s: float
    """Worker time per message, without its blocks and the server's time."""
    block_s: float
    """Worker time per block besides the block's own steps: its share of claims and receipts."""
    server_message_s: float
    """Server time per batch: to publish, deliver, acknowledge and count its message, and for its claim and receipts."""
    server_block_s: float
    """Server time per block."""
    send_s: float
    """Time to publish one message."""
    job_s: float
    """Fixed time of a job: planning, the first message, the commit of the last merge, until `wait` returns."""


@dataclass(frozen=True)
class World:
    """The assumed cluster."""

    workers: int
    window_batches: int
    wave_batches: int
    store_bytes_per_s: float
    round_trip_s: float
    """Of each call of the server. A batch makes four calls: take, claim, receipts, acknowledge."""


@dataclass(frozen=True)
class Stage:
    """The blocks of a stage and the merge after them."""

    blocks: int
    batch: int
    """Blocks per message."""
    block_s: tuple[float, ...]
    """Measured times of blocks, from which the simulation draws."""
    block_bytes: float
    """Bytes that a block reads and writes."""
    merge_s: float


@dataclass
class Outcome:
    """The time of a job, and how its workers spent it, in seconds summed over all workers."""

    seconds: float = 0.0
    busy: float = 0.0
    """In blocks and merges."""
    message: float = 0.0
    """Handling and publishing messages."""
    ledger: float = 0.0
    """Waiting for the server."""
    store: float = 0.0
    """Waiting for the store."""
    window: float = 0.0
    """Without a message although blocks are left to send: the window is full, or being filled."""
    end: float = 0.0
    """Without a message after all batches of the stage were sent."""
    merge: float = 0.0
    """Waiting for a merge."""
    peak_batches: int = 0
    """Largest number of batches at work at a time."""
    waits: tuple[str, ...] = field(default=("message", "ledger", "store", "window", "end", "merge"), repr=False)

    @property
    def limit(self) -> str:
        """Where most of the time goes that is not spent in blocks and merges."""
        return max(self.waits, key=lambda name: float(getattr(self, name)))


def simulate(stages: Sequence[Stage], times: Times, world: World, *, seed: int = 1) -> Outcome:
    """Simulate one job, alone on all workers."""
    outcome = Outcome(seconds=times.job_s)
    chance = random.Random(seed)
    for stage in stages:
        took = _StageRun(stage, times, world, outcome, chance).run()
        outcome.seconds += took + stage.merge_s
        outcome.merge += (world.workers - 1) * stage.merge_s
        outcome.busy += stage.merge_s
    return outcome


class _StageRun:
    """The simulation of one stage; its clock begins at 0."""

    def __init__(self, stage: Stage, times: Times, world: World, outcome: Outcome, chance: random.Random) -> None:
        self.stage, self.times, self.world, self.outcome, self.chance = stage, times, world, outcome, chance
        self.mean = statistics.fmean(stage.block_s) + times.block_s
        self.spread = statistics.pstdev(stage.block_s)
        self.batches = -(-stage.blocks // stage.batch)
        self.sent = self.done = self.waves = 0
        self.open: dict[int, int] = {}
        """Number of unfinished batches by wave."""
        self.queue: deque[tuple[float, int]] = deque()
        """For each message the time when it arrives, and the wave of its batch, or -1 for a message that closes a wave."""
        self.server = self.store = 0.0
        """The times when server and store are free."""
        self.events: list[tuple[float, int, int, int]] = []
        """For each event its time and kind, and the wave and blocks of its batch."""
        self.idle = world.workers
        self.idle_since = 0.0
        self.ended = 0.0
        """The time of the last acknowledgement."""
        self.hand = 0
        """Messages at the front of the queue that are already assigned to a worker."""

    def run(self) -> float:
        self._publish(0.0)
        self._wake(0.0)
        while self.done < self.batches:
            now, what, wave, blocks = heapq.heappop(self.events)
            if what == _TAKE:
                self.hand -= 1
                self._take(now)
            elif what == _COMMIT:
                self._commit(now, wave, blocks)
            else:
                self._free(now)
        self._count_idle(max(self.idle_since, self.ended))
        return self.ended

    def _publish(self, now: float) -> float:
        """Publish waves while the window has room; the time when the last message is out."""
        world = self.world
        while self.sent < self.batches:
            room = world.window_batches - (self.sent - self.done)
            count = min(world.wave_batches, room, self.batches - self.sent)
            if count <= 0:
                break
            for _ in range(count):
                now += self.times.send_s
                self.queue.append((now, self.waves))
            self.outcome.message += count * self.times.send_s
            self.open[self.waves] = count
            self.sent += count
            self.waves += 1
        return now

    def _wake(self, now: float) -> None:
        """Assign messages of the queue to idle workers, one each."""
        self._count_idle(now)
        while self.idle and len(self.queue) > self.hand:
            at = max(now, self.queue[self.hand][0])
            self.hand += 1
            self.idle -= 1
            self.outcome.window += at - now
            heapq.heappush(self.events, (at, _TAKE, 0, 0))

    def _count_idle(self, now: float) -> None:
        name = "window" if self.sent < self.batches else "end"
        setattr(self.outcome, name, getattr(self.outcome, name) + self.idle * (now - self.idle_since))
        self.idle_since = now

    def _take(self, now: float) -> None:
        """A worker takes the oldest message."""
        _, wave = self.queue.popleft()
        times = self.times
        if wave < 0:
            begun = self._served(now, times.server_message_s)
            free = self._publish(begun) + times.message_s
            self.outcome.message += times.message_s
            self._wake(begun)
            heapq.heappush(self.events, (free, _FREE, 0, 0))
            return
        started = min(self.stage.blocks, self.stage.batch)
        claimed = self._served(now, (times.server_message_s + started * times.server_block_s) / 2)
        at = max(claimed, self.store)
        self.store = at + started * self.stage.block_bytes / self.world.store_bytes_per_s
        # the block's own time includes reading and writing; only waiting for a busy store comes on top
        self.outcome.store += at - claimed
        work = self._drawn(started)
        self.outcome.busy += work
        heapq.heappush(self.events, (at + work, _COMMIT, wave, started))
        self.outcome.peak_batches = max(self.outcome.peak_batches, self.world.workers - self.idle)

    def _commit(self, now: float, wave: int, blocks: int) -> None:
        times = self.times
        free = self._served(now, (times.server_message_s + blocks * times.server_block_s) / 2) + times.message_s
        self.outcome.message += times.message_s
        self.ended = max(self.ended, free)
        self.done += 1
        self.open[wave] -= 1
        if not self.open[wave] and self.sent < self.batches:
            self.queue.append((free, -1))
        self._wake(now)
        heapq.heappush(self.events, (free, _FREE, 0, 0))

    def _free(self, now: float) -> None:
        """A worker is done with its message: it takes the next one, or waits."""
        if len(self.queue) == self.hand:
            self._count_idle(now)
            self.idle += 1
        elif self.hand or self.queue[0][0] > now:
            ready = max(now, self.queue[self.hand][0])
            self.hand += 1
            self.outcome.window += ready - now
            heapq.heappush(self.events, (ready, _TAKE, 0, 0))
        else:
            self._take(now)

    def _served(self, now: float, service_s: float) -> float:
        """The time when the server has answered two calls of a worker."""
        self.server = max(now, self.server) + service_s
        answered = self.server + 2 * self.world.round_trip_s
        self.outcome.ledger += answered - now
        return answered

    def _drawn(self, blocks: int) -> float:
        if blocks <= _DRAWN:
            return sum(self.chance.choices(self.stage.block_s, k=blocks)) + blocks * self.times.block_s
        return max(0.0, self.chance.gauss(blocks * self.mean, math.sqrt(blocks) * self.spread))
