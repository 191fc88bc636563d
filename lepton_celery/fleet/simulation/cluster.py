"""Slots that take messages from lanes, do their blocks, and merge.

A slot takes a message, claims its blocks from the ledger, does them one after the other, commits their receipts and
acknowledges the message. Whoever ends a batch sends the next waves of the lane, of the jobs whose turn it is. The slot
that commits the last receipt of a stage merges and opens the next one.

**Stretches.** A day of thousands of slots has 10^8 batches, so a slot may take a stretch of consecutive batches of a
job at once. It is cut at the end of a batch when more urgent work finds no slot, when the slot is to stop, and when it
is lost. Near the end of a stage stretches become shorter.
"""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, cast

from lepton_celery.fleet.load import LaneLoad
from lepton_celery.fleet.simulation.lanes import JobRun, LaneQueue, Message
from lepton_celery.fleet.simulation.measured import Times, World
from lepton_celery.fleet.simulation.server import Server
from lepton_celery.fleet.simulation.spending import Spending, Waits
from lepton_celery.fleet.simulation.trace import Arrival
from lepton_celery.ledger.lane_window import SHARED, SHORTEST_S, Turn
from lepton_celery.tenants import Terms

MAX_ATTEMPTS = 4
"""How often a poisonous block kills a process before it is given up."""
_CHILD_S = 0.5
"""Seconds until a process that died is replaced by its worker."""
_LEASE_S = 8.5
"""Seconds until others have taken over what a lost worker had (docs/design.md, "The ledger is the truth")."""
_SHARE_OF_TARGET = 0.2
"""Longest stretch, in multiples of its lane's target wait."""
_SHORTER = 8
"""How much shorter stretches become near the end of a stage."""
_CANDIDATES = 24
"""Slots among which the one is found whose batch ends first."""

Steps = Generator[Any, Any, None]
"""The steps of a SimPy process."""


@dataclass(eq=False)
class Slot:
    """A worker process."""

    process: Any = None
    wake: Any = None
    """The event for which an idle slot waits; None if it is not idle."""
    leaving: bool = False
    """Whether it stops when its batch is done."""
    working: bool = False
    """Whether it does blocks, and may be interrupted."""
    stretch: tuple[float, float, int] | None = None
    """Of a stretch that may be cut: when it began, seconds of a batch, and the rank of its lane."""
    place_in_list: int = -1


@dataclass(frozen=True)
class Cut:
    """Why a stretch is interrupted."""

    lost: bool = False
    """Whether the process is lost, and not only asked to take other work or to stop."""


class Cluster:
    """All slots, and all jobs on their way."""

    def __init__(
        self,
        environment: Any,
        lanes: Sequence[tuple[str, float]],
        times: Times,
        world: World,
        *,
        seed: int = 1,
        reserved: int = 0,
        stretch_s: float = 0.0,
    ) -> None:
        import simpy

        self._interrupted = simpy.Interrupt
        self.environment, self.times, self.world = environment, times, world
        self.server, self.chance = Server(world), random.Random(seed)
        self._coarseness = max(1.0, stretch_s / SHARED.batch_s)
        self.lanes = [LaneQueue(name, target, coarseness=self._coarseness) for name, target in lanes]
        self._ranks = {queue.name: rank for rank, queue in enumerate(self.lanes)}
        self.spending, self.waits = Spending(), Waits()
        self.reserved = reserved
        self.ready = self.unfinished = 0
        """Slots that take work, and jobs that have not ended."""
        self._idle: list[Slot] = []
        self._idle_since = 0.0
        self._stretched: list[list[Slot]] = [[] for _ in self.lanes]
        self._called = [0] * len(self.lanes)
        """Slots that were interrupted for work of each lane and have not taken it yet."""
        self._job_ids = (f"{number:07}" for number in count())
        self._terms: dict[str, Terms] = {}
        self._unsent_runs = self._open_runs = 0
        self._others = 0
        """Slots that are busy with other lanes than the most urgent one."""

    # jobs

    def submit(self, arrival: Arrival) -> None:
        """Begin a job now."""
        self.unfinished += 1
        terms = Terms(arrival.weight)
        if self._terms.get(arrival.tenant) != terms:
            self._terms = {**self._terms, arrival.tenant: terms}
        self._open(JobRun(next(self._job_ids), arrival, self.times))

    def _open(self, run: JobRun) -> None:
        lane, now = self._lane(run), self.environment.now
        if run.opens(now):
            lane.runs[run.job_id] = run
            lane.blocks += run.stage.blocks
            lane.batches += run.stage.blocks / run.size
            lane.work_s += run.stage.blocks * run.mean_s
            self._open_runs += 1
            self._unsent_runs += 1
            self._enter(run, max(run.mean_s, SHORTEST_S / run.stage.batch_blocks))
        else:
            lane.turns.leave(run.job_id)
            self.unfinished -= 1
        self._send(lane, now)
        self._wake()

    def _enter(self, run: JobRun, block_s: float | None = None) -> None:
        self._lane(run).turns.enter(
            run.job_id,
            tenant=run.arrival.tenant,
            waits=run.unsent > 0,
            sent=run.undone - run.unsent,
            block_s=block_s,
        )

    def _send(self, lane: LaneQueue, now: float) -> float:
        """Send the next waves of a lane while its window has room; the time when the last message is out."""
        while turn := lane.turns.next(max(1, self.ready), self._terms):
            run, messages, left = lane.runs[turn.job_id], [], turn.blocks
            while left and run.unsent:
                now += self.times.send_s
                self.spending.message_s += self.times.send_s
                messages.append(self._next_message(run, now, left, turn))
                left -= messages[-1].blocks
            lane.put(run, messages, first=turn.is_first)
            if not run.unsent:
                self.count_idle()
                self._unsent_runs -= 1
            if left or not run.unsent:
                self._enter(run)
        return now

    def _next_message(self, run: JobRun, at: float, most: int, turn: Turn) -> Message:
        """The next message of a wave, of `most` blocks or fewer: a batch, or a stretch of batches."""
        lane = self._lane(run)
        blocks = batch_blocks = min(run.size, max(1, int(turn.batch_blocks / self._coarseness)))
        if self._coarseness > 1:
            longest = min(turn.batch_blocks, int(_SHARE_OF_TARGET * lane.target_wait_s / run.mean_s))
            share = run.unsent * len(lane.runs) // (2 * max(1, self.ready))
            blocks = max(batch_blocks, min(longest, max(longest // _SHORTER, share)))
            blocks -= blocks % batch_blocks
        blocks = min(blocks, run.unsent, most)
        poisonous = bool(run.poison) and self.chance.random() < run.poison * blocks / run.unsent
        run.poison -= poisonous
        run.unsent -= blocks
        return Message(at, blocks, batch_blocks, poisonous=poisonous)

    # slots

    def add_slot(self) -> Slot:
        """A slot that takes work from now on."""
        slot = Slot()
        self.ready += 1
        for lane in self.lanes:
            self._send(lane, self.environment.now)  # the windows are larger now
        slot.process = self.environment.process(self._works(slot))
        return slot

    def release(self, slot: Slot) -> None:
        """Have a slot stop: now if it is idle, or when its batch is done."""
        if slot.leaving:
            return
        slot.leaving = True
        self.ready -= 1
        if slot.wake is not None:
            self.count_idle()
            self._idle.remove(slot)
            slot.wake.succeed(None)
            slot.wake = None
        elif slot.stretch is not None:
            self._interrupt(slot, Cut())

    def lose(self, slot: Slot) -> None:
        """End a slot's process at once."""
        if slot.wake is not None:
            self.release(slot)
        else:  # if it neither waits nor does blocks, what it does takes milliseconds: it may end that
            self.ready -= not slot.leaving
            slot.leaving = True
            if slot.working:
                self._interrupt(slot, Cut(lost=True))

    @property
    def idle(self) -> int:
        """Number of slots without a message."""
        return len(self._idle)

    def _works(self, slot: Slot) -> Steps:
        environment = self.environment
        while not slot.leaving:
            taken = self._take()
            if taken is None:
                self.count_idle()
                slot.wake = environment.event()
                self._idle.append(slot)
                taken = yield slot.wake
                if taken is None:
                    return
            run, message, lane = taken
            if message.at > environment.now:
                self.spending.window_s += message.at - environment.now
                yield environment.timeout(message.at - environment.now)
            yield from self._does(slot, run, message)
            lane.busy -= 1
            self._others -= lane is not self.lanes[0]

    def _take(self) -> tuple[JobRun, Message, LaneQueue] | None:
        """The most urgent message that a slot may take now; it is busy with the lane from then on."""
        for rank, lane in enumerate(self.lanes):
            if rank == 1 and self.reserved and self._others >= max(1, self.ready - self.reserved):
                return None
            taken = lane.next()
            if taken is not None:
                lane.busy += 1
                self._others += rank > 0
                self._called[rank] = max(0, self._called[rank] - 1)
                return *taken, lane
        return None

    def _wake(self) -> None:
        """Give messages to idle slots, and interrupt stretches for more urgent messages that find none."""
        self.count_idle()
        while self._idle:
            taken = self._take()
            if taken is None:
                break
            slot = self._idle.pop()
            slot.wake.succeed(taken)
            slot.wake = None
        for rank, lane in enumerate(self.lanes[:-1]):
            self._called[rank] = min(self._called[rank], len(lane))
            while len(lane) > self._called[rank] and self._call_one(rank):
                pass

    def _call_one(self, rank: int) -> bool:
        """Interrupt the stretch of a less urgent lane whose batch ends soonest, of some; False if there is none."""
        for stretched in reversed(self._stretched[rank + 1 :]):
            if stretched:
                some = [stretched[self.chance.randrange(len(stretched))] for _ in range(_CANDIDATES)]
                self._called[rank] += 1
                self._interrupt(min(some, key=self._batch_ends), Cut())
                return True
        return False

    def _batch_ends(self, slot: Slot) -> float:
        assert slot.stretch is not None
        begun, batch_s, _ = slot.stretch
        return -((float(self.environment.now) - begun) % batch_s)

    def _interrupt(self, slot: Slot, cut: Cut) -> None:
        self._forget_stretch(slot)
        slot.working = False
        slot.process.interrupt(cut)

    def _forget_stretch(self, slot: Slot) -> None:
        if slot.stretch is None:
            return
        stretched = self._stretched[slot.stretch[2]]
        last = stretched.pop()
        if last is not slot:
            stretched[slot.place_in_list] = last
            last.place_in_list = slot.place_in_list
        slot.stretch = None

    # messages

    def _does(self, slot: Slot, run: JobRun, message: Message) -> Steps:
        """Do the blocks of a message, or as many of its batches as there is time for."""
        environment, stage, times, lane = self.environment, run.stage, self.times, self._lane(run)
        batches = -(-message.blocks // message.batch_blocks)
        claimed = self._served((batches * times.server_message_s + message.blocks * times.server_block_s) / 2)
        begun = self.server.transferred(claimed, message.blocks * stage.block_bytes)
        self.spending.store_s += begun - claimed
        work_s = run.drawn(message.blocks, self.chance) + (batches - 1) * times.message_s
        if message.poisonous:
            work_s *= self.chance.random()
        if batches > 1 and not message.poisonous:
            slot.stretch = (begun, work_s / batches, self._ranks[run.arrival.lane])
            slot.place_in_list = len(self._stretched[slot.stretch[2]])
            self._stretched[slot.stretch[2]].append(slot)
        self.spending.peak_batches = max(self.spending.peak_batches, self.ready - len(self._idle))
        lane.begin(begun)
        slot.working = True
        try:
            yield environment.timeout(begun + work_s - environment.now)
            done = message.blocks
        except self._interrupted as interrupt:
            done = yield from self._cut(run, message, begun, work_s, cast("Cut", interrupt.cause))
        slot.working = False
        lane.end(begun)
        self._forget_stretch(slot)
        if message.poisonous and done:
            yield from self._dies(run, message, work_s)
        elif done:
            yield from self._commits(run, message, done, begun, work_s * done / message.blocks)

    def _cut(self, run: JobRun, message: Message, begun: float, work_s: float, cut: Cut) -> Generator[Any, Any, int]:
        """After an interruption: the blocks that are done, and the rest sent again; the current batch is done first."""
        environment = self.environment
        batches = -(-message.blocks // message.batch_blocks)
        whole = max(0.0, float(environment.now) - begun) / work_s * batches
        count = math.floor(whole) if cut.lost else max(1, math.ceil(whole))
        done: int = min(message.blocks, count * message.batch_blocks)
        if not cut.lost:
            yield environment.timeout(max(0.0, begun + work_s * done / message.blocks - environment.now))
        if done < message.blocks:
            rest = message._replace(blocks=message.blocks - done, at=environment.now)
            if cut.lost:
                self.spending.lost_s += (whole - count) * work_s / batches
                environment.process(self._sends_again(run, rest, _LEASE_S))
            else:
                self._put_back(run, rest)
        return done

    def _dies(self, run: JobRun, message: Message, work_s: float) -> Steps:
        """A poisonous block ends the process: its batch is taken apart, and the block tried alone until it is given up."""
        self.spending.lost_s += work_s
        alone = message._replace(blocks=1, attempts=message.attempts + 1)
        if message.blocks > 1:
            self._put_back(run, message._replace(blocks=message.blocks - 1, poisonous=False))
        if alone.attempts < MAX_ATTEMPTS:
            self._put_back(run, alone)
            self._wake()
        yield self.environment.timeout(_CHILD_S)
        if alone.attempts >= MAX_ATTEMPTS:
            yield from self._commits(run, alone, 1, self.environment.now, 0.0)

    def _sends_again(self, run: JobRun, message: Message, after_s: float) -> Steps:
        yield self.environment.timeout(after_s)
        self._put_back(run, message)
        self._wake()

    def _put_back(self, run: JobRun, message: Message) -> None:
        """Put a message before all others of its lane."""
        self._lane(run).put(run, [message._replace(at=self.environment.now)], first=True)

    def _commits(self, run: JobRun, message: Message, done: int, begun: float, work_s: float) -> Steps:
        """Hand in the receipts of a message; close the wave or merge if they were the last ones."""
        environment, times, lane = self.environment, self.times, self._lane(run)
        self.spending.busy += work_s
        batches = done / message.batch_blocks
        middle_s = (work_s - work_s / max(1.0, batches)) / 2  # a stretch's batches begin one after the other
        self.waits.note(lane.name, begun, begun - run.opened_at + middle_s, batches)
        served_s = math.ceil(batches) * times.server_message_s + done * times.server_block_s
        served = self._served(served_s / 2)
        lane.blocks -= done
        lane.batches -= done / run.size
        lane.work_s -= done * run.mean_s
        run.undone -= done
        lane.turns.settle(run.job_id, blocks=done, seconds=work_s, weight=run.arrival.weight)
        is_last = not run.undone
        if is_last:
            del lane.runs[run.job_id]
            self.count_idle()
            self._open_runs -= 1
        free = self._send(lane, served) + times.message_s
        self.spending.message_s += times.message_s
        self._wake()
        yield environment.timeout(free - environment.now)
        if is_last:
            yield from self._merges(run)

    def _merges(self, run: JobRun) -> Steps:
        merge_s = run.stage.merge_s
        self.spending.busy += merge_s
        if merge_s:
            yield self.environment.timeout(merge_s)
        self.count_idle()
        self._open(run)

    # sums

    def _lane(self, run: JobRun) -> LaneQueue:
        return self.lanes[self._ranks[run.arrival.lane]]

    def _served(self, service_s: float) -> float:
        """The time when the server has answered two calls of a slot."""
        answered = self.server.answered(self.environment.now, service_s)
        self.spending.ledger_s += answered - self.environment.now
        return answered

    def count_idle(self) -> None:
        """Add the time of idle slots since it was last added, by its reason; to be called at the end too."""
        now = self.environment.now
        if self._idle and now > self._idle_since:
            reason = self._idle_reason()
            seconds = len(self._idle) * (now - self._idle_since)
            setattr(self.spending, reason, getattr(self.spending, reason) + seconds)
        self._idle_since = now

    def _idle_reason(self) -> str:
        if self._unsent_runs:
            return "window_s"
        if self._open_runs:
            return "end_s"
        return "merge_s" if self.unfinished else "nothing_s"

    def loads(self) -> tuple[LaneLoad, ...]:
        """What the policy is told of the lanes."""
        return tuple(lane.load(self.environment.now) for lane in self.lanes)
