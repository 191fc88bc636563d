"""A job on any number of workers, simulated event by event: one broker and ledger, one store, waves within a window.

What is modelled. Every worker takes a message, asks the ledger for its blocks, does them one after the other, hands in
receipts, acknowledges. Broker and ledger are one server that answers one call after the other. The store gives all workers
together so many bytes a second, first come, first served. The last batch of a wave sends a message that closes it; whoever
takes that publishes as many batches as the window has room for, one after the other, and merges when the stage is over.
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
"""Most blocks of a batch whose times are drawn one by one; of more, the sum is drawn as that of many."""


@dataclass(frozen=True)
class Times:
    """What things take, in seconds; measured."""

    message_s: float
    """A worker, for each message: everything but the blocks and the server."""
    block_s: float
    """A worker, for each block, besides the block's own steps: its share of claims and receipts."""
    server_message_s: float
    """The server, for each batch: its message published, taken, acknowledged and counted, its claim, its receipts."""
    server_block_s: float
    """The server, for each block."""
    send_s: float
    """Whoever publishes, for each message."""
    job_s: float
    """A job, once: planning, the first message, the last merge's commit, until the result is seen."""


@dataclass(frozen=True)
class World:
    """What is assumed."""

    workers: int
    window_batches: int
    wave_batches: int
    store_bytes_per_s: float
    round_trip_s: float
    """To the server and back, for each call; a batch makes four: take, claim, receipts, acknowledge."""


@dataclass(frozen=True)
class Stage:
    """The blocks of a stage and the merge after them."""

    blocks: int
    batch: int
    """Blocks of one message."""
    block_s: tuple[float, ...]
    """Times of blocks to draw from; measured."""
    block_bytes: float
    """What a block reads and writes."""
    merge_s: float
    """One worker, when all blocks are done."""


@dataclass
class Outcome:
    """How long it took, and what the workers did meanwhile, in seconds of all workers together."""

    seconds: float = 0.0
    busy: float = 0.0
    """In blocks."""
    message: float = 0.0
    """Handling messages, each at its own cost, and publishing."""
    ledger: float = 0.0
    """Waiting for the server."""
    store: float = 0.0
    """Waiting for the store."""
    window: float = 0.0
    """Without a message although blocks were left to send: the window is full, or being filled."""
    end: float = 0.0
    """Without a message at a stage's end."""
    merge: float = 0.0
    """Waiting for a merge."""
    peak_batches: int = 0
    """Most batches in hand at a time."""
    waits: tuple[str, ...] = field(default=("message", "ledger", "store", "window", "end", "merge"), repr=False)

    @property
    def limit(self) -> str:
        """What most of the workers' time that is not spent in blocks is lost to."""
        return max(self.waits, key=lambda name: float(getattr(self, name)))


def simulate(stages: Sequence[Stage], times: Times, world: World, *, seed: int = 1) -> Outcome:
    """One job, alone on all workers."""
    outcome = Outcome(seconds=times.job_s)
    chance = random.Random(seed)
    for stage in stages:
        took = _StageRun(stage, times, world, outcome, chance).run()
        outcome.seconds += took + stage.merge_s
        outcome.merge += (world.workers - 1) * stage.merge_s
        outcome.busy += stage.merge_s
    return outcome


class _StageRun:
    """The blocks of one stage; time begins at 0."""

    def __init__(self, stage: Stage, times: Times, world: World, outcome: Outcome, chance: random.Random) -> None:
        self.stage, self.times, self.world, self.outcome, self.chance = stage, times, world, outcome, chance
        self.mean = statistics.fmean(stage.block_s) + times.block_s
        self.spread = statistics.pstdev(stage.block_s)
        self.batches = -(-stage.blocks // stage.batch)
        self.sent = self.done = self.waves = 0
        self.open: dict[int, int] = {}
        """Batches of each wave that are not done."""
        self.queue: deque[tuple[float, int]] = deque()
        """Messages: when they are there, and the wave of a batch; -1 closes one."""
        self.server = self.store = 0.0
        """When they are free."""
        self.events: list[tuple[float, int, int, int]] = []
        """When, what, the batch's wave, its blocks."""
        self.idle = world.workers
        self.idle_since = 0.0
        self.ended = 0.0
        """When the last batch so far was acknowledged."""
        self.hand = 0
        """Messages at the queue's front that are promised to a worker."""

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
        """Waves as the window has room; when the last message is out."""
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
        """Idle workers take what is there, each its own message."""
        self._count_idle(now)
        while self.idle and len(self.queue) > self.hand:
            at = max(now, self.queue[self.hand][0])
            self.hand += 1  # promised to this worker
            self.idle -= 1
            self.outcome.window += at - now
            heapq.heappush(self.events, (at, _TAKE, 0, 0))

    def _count_idle(self, now: float) -> None:
        name = "window" if self.sent < self.batches else "end"
        setattr(self.outcome, name, getattr(self.outcome, name) + self.idle * (now - self.idle_since))
        self.idle_since = now

    def _take(self, now: float) -> None:
        """A worker has the oldest message."""
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
        # reading and writing are in the block's own time; a store that is behind makes it wait
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
        """A worker has nothing in hand any more: it takes the next message, or waits."""
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
        """When the server has answered a worker's two calls."""
        self.server = max(now, self.server) + service_s
        answered = self.server + 2 * self.world.round_trip_s
        self.outcome.ledger += answered - now
        return answered

    def _drawn(self, blocks: int) -> float:
        if blocks <= _DRAWN:
            return sum(self.chance.choices(self.stage.block_s, k=blocks)) + blocks * self.times.block_s
        return max(0.0, self.chance.gauss(blocks * self.mean, math.sqrt(blocks) * self.spread))
