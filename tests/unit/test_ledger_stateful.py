"""Random moves, in any order and with any staleness: memory, Redis and a model of the contract give the same answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from lepton_celery.ledger import Claim, JobInfo, JobState, Ledger, MemoryLedger
from lepton_celery.ledger.redis import RedisLedger
from tests.unit.test_ledger_server import ledger_server

LEASE_S = 1000.0
MAX_ATTEMPTS = 2
STAGES = 3
OWNERS = st.sampled_from(["a", "b", "c d"])
STALENESS = st.sampled_from([0] * 8 + [-1, 1])
"""How far a message's stage is from the current one."""
MOST_BLOCKS = 12


@dataclass
class Lease:
    owner: str
    live: bool = True


@dataclass
class Model:
    """The contract in its plainest form: one job, leases that are live or over."""

    total: int
    state: JobState = JobState.RUNNING
    stage: int = 0
    cursor: int = 0
    received: set[int] = field(default_factory=set)
    once_received: set[int] = field(default_factory=set)
    leases: dict[int, Lease] = field(default_factory=dict)
    lost: dict[int, int] = field(default_factory=dict)
    merge: Lease | None = None
    fence: int = 0
    fence_held: int | None = None
    doubled: set[int] = field(default_factory=set)
    batches: dict[int, float] = field(default_factory=dict)
    merges: list[int] = field(default_factory=list)
    holes: set[tuple[int, int]] = field(default_factory=set)
    publishing: bool = False

    def is_open(self, stage: int) -> bool:
        """What was at work when the job was paused may end."""
        return self.state in (JobState.RUNNING, JobState.PAUSED) and stage == self.stage

    def at_work(self, stage: int) -> bool:
        return self.state is JobState.RUNNING and stage == self.stage

    @property
    def merging(self) -> bool:
        return len(self.received) == self.total

    def claim(self, block: int, owner: str) -> str:
        lease = self.leases.get(block)
        if block in self.received:
            return "done"
        if lease and lease.live and lease.owner != owner:
            return "leased"
        if lease:
            self.lost[block] = self.lost.get(block, 0) + 1
        if self.lost.get(block, 0) >= MAX_ATTEMPTS:
            self.leases.pop(block, None)
            return "exhausted"
        self.leases[block] = Lease(owner)
        return "granted"

    def holds(self, stage: int, fence: int) -> bool:
        return self.is_open(stage) and self.fence_held == fence

    def open(self, stage: int, total: int) -> None:
        self.stage, self.total, self.cursor = stage, total, 0
        self.received, self.once_received, self.leases, self.lost = set(), set(), {}, {}
        self.doubled = set()
        self.merge = self.fence_held = None


class Ledgers(RuleBasedStateMachine):
    """Every rule makes one move on all ledgers and compares the answers with the model's."""

    redis: ClassVar[RedisLedger]
    numbers: ClassVar[Iterator[int]] = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.now = 1e9
        self.memory = MemoryLedger(clock=lambda: self.now)
        self.ledgers: list[Ledger] = [self.memory, self.redis]
        self.job = f"job {next(self.numbers)}"

    @initialize(blocks=st.integers(0, MOST_BLOCKS), paused=st.booleans())
    def create(self, blocks: int, paused: bool) -> None:
        self.model = Model(blocks)
        for ledger in self.ledgers:
            ledger.create(self.job, {}, lane="l", title="t", stages=STAGES, blocks=blocks, paused=paused)
        if paused:
            self.model.state = JobState.PAUSED
            self.resume()

    def teardown(self) -> None:
        self.redis.forget(self.job)

    def answer(self, move: Callable[[Ledger], Any]) -> Any:
        memory, redis = map(move, self.ledgers)
        assert memory == redis
        return memory

    def blocks(self, data: st.DataObject) -> list[int]:
        if self.model.total == 0:
            return []
        return data.draw(st.lists(st.integers(0, self.model.total - 1), unique=True), label="blocks")

    def a_fence(self, data: st.DataObject) -> int:
        current = self.model.fence
        return data.draw(st.sampled_from([current] * 6 + [current - 1, current + 1]), label="fence")

    @rule(off=STALENESS, count=st.integers(0, 5), window=st.integers(0, MOST_BLOCKS))
    def take(self, off: int, count: int, window: int) -> None:
        stage = self.model.stage + off
        model = self.model
        start = stop = model.cursor
        if model.at_work(stage):
            stop = max(start, min(start + count, model.total, len(model.received) + window))
        assert self.answer(lambda ledger: ledger.take(self.job, stage, count=count, window=window)) == (start, stop)
        model.cursor = stop

    @rule(data=st.data(), off=STALENESS, owner=OWNERS)
    def claim(self, data: st.DataObject, off: int, owner: str) -> None:
        stage = self.model.stage + off
        model, blocks = self.model, self.blocks(data)
        claim = self.answer(
            lambda ledger: ledger.claim(
                self.job, stage, blocks, owner=owner, lease_s=LEASE_S, max_attempts=MAX_ATTEMPTS
            )
        )
        if not model.at_work(stage) or model.merging:
            assert claim == Claim([], [], [], [], active=False)
            return
        fates: dict[str, list[int]] = {"granted": [], "leased": [], "done": [], "exhausted": []}
        for block in blocks:
            fates[model.claim(block, owner)].append(block)
        lost = {block: model.lost[block] for block in fates["granted"] if model.lost.get(block)}
        assert claim == Claim(**fates, active=True, lost=lost)

    @rule(data=st.data(), off=STALENESS, owner=OWNERS)
    def commit(self, data: st.DataObject, off: int, owner: str) -> None:
        stage = self.model.stage + off
        model, blocks = self.model, self.blocks(data)
        fresh: set[int] = set()
        if model.is_open(stage):
            fresh = set(blocks) - model.received
            model.batches[stage] = model.batches.get(stage, 0) + bool(fresh - model.once_received)
            model.received |= fresh
            for block in blocks:
                model.leases.pop(block, None)
                model.lost.pop(block, None)
        stats = {"batches": 1.0}
        assert self.answer(lambda ledger: ledger.commit(self.job, stage, blocks, owner=owner, stats=stats)) == len(
            fresh
        )

    @rule(data=st.data(), off=STALENESS)
    def receipts(self, data: st.DataObject, off: int) -> None:
        stage = self.model.stage + off
        blocks = self.blocks(data)
        expected = [block for block in blocks if block in self.model.received] if self.model.is_open(stage) else []
        assert self.answer(lambda ledger: ledger.receipts(self.job, stage, blocks)) == expected

    @rule(owner=OWNERS)
    def commit_all(self, owner: str) -> None:
        model, stage = self.model, self.model.stage
        if not model.is_open(stage):
            return
        missing = sorted(set(range(model.total)) - model.received)
        model.batches[stage] = model.batches.get(stage, 0) + bool(set(missing) - model.once_received)
        model.received.update(missing)
        model.leases.clear()
        model.lost.clear()
        stats = {"batches": 1.0}
        assert self.answer(lambda ledger: ledger.commit(self.job, stage, missing, owner=owner, stats=stats)) == len(
            missing
        )

    @rule(data=st.data(), off=STALENESS, owner=OWNERS, count=st.booleans())
    def release(self, data: st.DataObject, off: int, owner: str, count: bool) -> None:
        stage = self.model.stage + off
        model, blocks = self.model, self.blocks(data)
        self.answer(lambda ledger: ledger.release(self.job, stage, blocks, owner=owner, count_attempt=count))
        for block in blocks if model.is_open(stage) else ():
            if block in model.leases and model.leases[block].owner == owner:
                del model.leases[block]
                model.lost[block] = model.lost.get(block, 0) + count

    @rule(data=st.data(), off=STALENESS)
    def give_up(self, data: st.DataObject, off: int) -> None:
        stage = self.model.stage + off
        model = self.model
        if model.total == 0:
            return
        block = data.draw(st.integers(0, model.total - 1), label="block")
        given_up = self.answer(lambda ledger: ledger.give_up(self.job, stage, block, reason="bad pixel"))
        assert given_up == (model.is_open(stage) and block not in model.received)
        if given_up:
            model.received.add(block)
            model.holes.add((stage, block))
            model.leases.pop(block, None)
            model.lost.pop(block, None)

    @rule()
    def pause(self) -> None:
        model = self.model
        paused = self.answer(lambda ledger: ledger.pause(self.job))
        assert paused == (model.state in (JobState.RUNNING, JobState.PAUSED) and not model.publishing)
        if paused:
            model.state = JobState.PAUSED

    @rule()
    def resume(self) -> None:
        model = self.model
        resumed = self.answer(lambda ledger: ledger.resume(self.job))
        assert resumed == (model.state in (JobState.PAUSED, JobState.FAILED))
        if resumed:
            model.state = JobState.RUNNING
            again = {hole for hole in model.holes if hole[0] == model.stage}
            model.holes -= again
            model.received -= {block for _, block in again}
            model.lost.clear()
            model.doubled.clear()

    @rule(off=STALENESS, owner=OWNERS)
    def renew(self, off: int, owner: str) -> None:
        stage = self.model.stage + off
        renewed = self.answer(lambda ledger: ledger.renew(self.job, stage, owner=owner, lease_s=LEASE_S))
        assert renewed == self.model.is_open(stage)
        merge = [self.model.merge] if self.model.merge and self.model.fence_held else []
        for lease in (*self.model.leases.values(), *merge) if renewed else ():
            lease.live = lease.live or lease.owner == owner

    @rule(off=STALENESS, limit=st.integers(0, MOST_BLOCKS))
    def reclaim(self, off: int, limit: int) -> None:
        stage = self.model.stage + off
        model = self.model
        over = sorted(block for block, lease in model.leases.items() if not lease.live)
        expected = over[:limit] if model.at_work(stage) else []
        assert self.answer(lambda ledger: ledger.reclaim(self.job, stage, limit=limit)) == expected
        for block in expected:
            del model.leases[block]
            model.lost[block] = model.lost.get(block, 0) + 1

    @rule(off=STALENESS, older_s=st.sampled_from([0.0, 0.0, 1e9]), limit=st.integers(0, MOST_BLOCKS))
    def straggling(self, off: int, older_s: float, limit: int) -> None:
        stage = self.model.stage + off
        model = self.model
        slow = sorted(block for block, lease in model.leases.items() if lease.live and block not in model.doubled)
        expected = slow[:limit] if model.at_work(stage) and not older_s else []
        answer = self.answer(lambda ledger: ledger.straggling(self.job, stage, older_s=older_s, limit=limit))
        assert answer == expected
        for block in expected:
            del model.leases[block]
            model.doubled.add(block)

    @rule(data=st.data(), off=STALENESS, chance=st.integers(0, 2))
    def begin_publish(self, data: st.DataObject, off: int, chance: int) -> None:
        if chance:  # most runs are to be paused and cancelled
            return
        stage, fence, model = self.model.stage + off, self.a_fence(data), self.model
        publishing = self.answer(lambda ledger: ledger.begin_publish(self.job, stage, fence=fence))
        assert publishing == (model.holds(stage, fence) and model.state is JobState.RUNNING)
        model.publishing = model.publishing or publishing

    @rule(owner=OWNERS, blocks=st.integers(1, MOST_BLOCKS), reopens=st.booleans(), again=st.booleans())
    def get_on(self, owner: str, blocks: int, reopens: bool, again: bool) -> None:
        """The straight path, which single moves seldom find: all receipts, then a merge that ends the stage or not."""
        model = self.model
        if model.state is not JobState.RUNNING:
            return
        stage = model.stage
        self.commit_all(owner)
        self.begin_merge(0, owner)
        if reopens:
            self.reopen_blocks(stage, model.fence, list(range(0, model.total, 2)))
        elif again or stage % STAGES + 1 < STAGES:
            self.end_stage(stage, model.fence, blocks, again=again)

    @rule()
    def every_lease_runs_out(self) -> None:
        self.now += LEASE_S + 1
        # The server's clock cannot be moved, so the leases are.
        server: Any = self.redis._redis
        key = self.redis._key(self.job, "leases")
        for block, lease in server.hgetall(key).items():
            server.hset(key, block, "0 " + lease.partition(" ")[2])
        server.hset(self.redis._key(self.job, "job"), "merge_until", "0")
        for held in self.model.leases.values():
            held.live = False
        if self.model.merge:
            self.model.merge.live = False

    @rule(off=STALENESS, owner=OWNERS)
    def begin_merge(self, off: int, owner: str) -> None:
        stage = self.model.stage + off
        model = self.model
        fence = self.answer(lambda ledger: ledger.begin_merge(self.job, stage, owner=owner, lease_s=LEASE_S))
        refused = model.merge is not None and model.merge.live and model.merge.owner != owner
        if not model.at_work(stage) or not model.merging or refused:
            assert fence is None
            return
        assert fence > model.fence
        model.fence = model.fence_held = fence
        model.merge = Lease(owner)

    @rule(data=st.data(), off=STALENESS)
    def renew_merge(self, data: st.DataObject, off: int) -> None:
        stage = self.model.stage + off
        fence = self.a_fence(data)
        renewed = self.answer(lambda ledger: ledger.renew_merge(self.job, stage, fence=fence, lease_s=LEASE_S))
        assert renewed == self.model.holds(stage, fence)
        if renewed and self.model.merge:
            self.model.merge.live = True

    @rule(data=st.data(), off=STALENESS, blocks=st.integers(0, MOST_BLOCKS), again=st.booleans())
    def commit_merge(self, data: st.DataObject, off: int, blocks: int, again: bool) -> None:
        stage = self.model.stage + off
        self.end_stage(stage, self.a_fence(data), blocks, again=again)

    def end_stage(self, stage: int, fence: int, blocks: int, *, again: bool) -> None:
        model = self.model
        following = stage + STAGES if again else (stage % STAGES) + 1
        next_blocks = blocks if again or following < STAGES else None
        next_stage = None if next_blocks is None or following == stage + 1 else following
        committed = self.answer(
            lambda ledger: ledger.commit_merge(
                self.job, stage, fence=fence, next_blocks=next_blocks, next_stage=next_stage
            )
        )
        assert committed == model.holds(stage, fence)
        if not committed:
            return
        model.merges.append(stage)
        if next_blocks is None:
            model.state = JobState.DONE
        else:
            model.open(following, next_blocks)

    @rule(data=st.data(), off=STALENESS)
    def release_merge(self, data: st.DataObject, off: int) -> None:
        stage = self.model.stage + off
        fence = self.a_fence(data)
        self.answer(lambda ledger: ledger.release_merge(self.job, stage, fence=fence))
        if self.model.holds(stage, fence):
            self.model.merge = self.model.fence_held = None

    @rule(data=st.data(), off=STALENESS)
    def reopen(self, data: st.DataObject, off: int) -> None:
        stage = self.model.stage + off
        self.reopen_blocks(stage, self.a_fence(data), self.blocks(data))

    def reopen_blocks(self, stage: int, fence: int, blocks: list[int]) -> None:
        model = self.model
        reopened = self.answer(lambda ledger: ledger.reopen(self.job, stage, blocks, fence=fence))
        assert reopened == model.holds(stage, fence)
        if reopened:
            model.received -= set(blocks)
            model.once_received |= set(blocks)
            model.merge = model.fence_held = None

    @rule(ending=st.sampled_from([JobState.FAILED, JobState.CANCELLED]), chance=st.integers(0, 9))
    def end(self, ending: JobState, chance: int) -> None:
        if chance and self.model.state is JobState.RUNNING:  # most runs are to get further
            return
        move: Callable[[Ledger], bool] = (
            (lambda ledger: ledger.cancel(self.job))
            if ending is JobState.CANCELLED
            else (lambda ledger: ledger.fail(self.job, "why", stage=1, block=2))
        )
        model = self.model
        ends = model.is_open(model.stage) and not (model.publishing and ending is JobState.CANCELLED)
        assert self.answer(move) == ends
        if ends:
            model.state = ending
            model.leases, model.lost, model.once_received = {}, {}, set()
            model.doubled = set()
            model.merge = model.fence_held = None

    @invariant()
    def all_tell_the_same(self) -> None:
        model = self.model
        for ledger in self.ledgers:
            info = ledger.info(self.job)
            assert (info.state, info.stage, info.blocks_total) == (model.state, model.stage, model.total)
            assert (info.blocks_done, info.dispatched) == (len(model.received), model.cursor)
            assert info.holes == len(model.holes)
            assert {(hole.stage, hole.block) for hole in ledger.holes(self.job)} == model.holes
            assert info.merging == (model.state is JobState.RUNNING and model.merging)
            assert {stage: sums["batches"] for stage, sums in info.stage_stats.items()} == {
                stage: batches for stage, batches in model.batches.items() if batches
            }
            assert_counters_are_possible(info)
            assert_times_are_possible(info)
        waiting = [
            block
            for block in range(model.cursor if model.at_work(model.stage) else 0)
            if block not in model.received and not (block in model.leases and model.leases[block].live)
        ]
        assert self.answer(lambda ledger: ledger.unreceipted(self.job, model.stage, limit=99)) == waiting

    @invariant()
    def each_stage_is_merged_at_most_once(self) -> None:
        merges = self.model.merges
        assert len(set(merges)) == len(merges)
        assert [stage % STAGES for stage in merges] == sorted(stage % STAGES for stage in merges)


def assert_counters_are_possible(info: JobInfo) -> None:
    assert 0 <= info.blocks_done <= info.blocks_total
    assert 0 <= info.dispatched <= info.blocks_total
    assert 0 <= info.stage_index < info.stages
    assert info.created_at <= info.updated_at
    assert (info.finished_at is None) == (info.state in (JobState.RUNNING, JobState.PAUSED))


def assert_times_are_possible(info: JobInfo) -> None:
    """A stage's times are in order, and a stage begins when the one before ends."""
    # by time: the number of a stage that is done again is greater than that of the one after it
    ends = sorted(times.ended for times in info.stage_times.values() if times.ended is not None)
    begins = sorted(times.began for times in info.stage_times.values() if times.began is not None)
    assert begins[1:] == ends[: len(begins) - 1]
    for times in info.stage_times.values():
        known = [at for at in (times.began, times.received, times.ended) if at is not None]
        assert known == sorted(known)
    assert (info.state is JobState.DONE) == (len(ends) == len(begins) > 0 and bool(ends))


def test_all_ledgers_do_what_the_model_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    with ledger_server(tmp_path_factory.mktemp("ledger")) as server:
        Ledgers.redis = RedisLedger(server.url)
        run_state_machine_as_test(
            Ledgers,
            settings=settings(
                max_examples=35,
                stateful_step_count=50,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
