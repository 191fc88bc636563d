"""Random and stale moves in any order: the ledger and a model of its contract give the same answers."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger import Claim, FollowingStage, JobInfo, JobState, Ledger, open_ledger
from lepton_celery.ledger.info import Attributes, Description, Filling, Losses
from tests.server.ledger_model import MAX_ATTEMPTS, Lease, Model
from tests.server.server import Server

LEASE_S = 1000.0
STAGES = 3
OWNERS = st.sampled_from(["a", "b", "c d"])
STALENESS = st.sampled_from([0] * 8 + [-1, 1])
"""Offset of the stage of a move from the current stage."""
MAX_BLOCKS = 12
PREFIX = "stateful:"


class Moves(RuleBasedStateMachine):
    """Every rule makes one move and compares the ledger's answer with the model's."""

    server: ClassVar[Server]
    jobs: ClassVar[Iterator[int]] = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.ledger: Ledger = open_ledger(self.server.url, prefix=PREFIX)
        self.job = f"job-{next(self.jobs)}"

    @initialize(blocks=st.integers(0, MAX_BLOCKS), paused=st.booleans())
    def create(self, blocks: int, paused: bool) -> None:
        self.model = Model(blocks)
        about, attributes = Description("t"), Attributes(is_paused=paused)
        self.ledger.create(
            self.job, {}, lane="l", description=about, attributes=attributes, stages=[1.0] * STAGES, blocks=blocks
        )
        if paused:
            self.model.state = JobState.PAUSED
            self.resume()

    def teardown(self) -> None:
        self.ledger.forget(self.job)

    def number(self, off: int) -> StageNumber:
        return StageNumber(self.model.number + off)

    def places(self, data: st.DataObject) -> list[Place]:
        if self.model.total == 0:
            return []
        return data.draw(st.lists(st.sampled_from(self.model.places), unique=True), label="places")

    def a_fence(self, data: st.DataObject) -> int:
        current = self.model.fence
        return data.draw(st.sampled_from([current] * 6 + [current - 1, current + 1]), label="fence")

    # -------------------------------------------------------------------------------------------- blocks

    @rule(off=STALENESS, count=st.integers(0, 5))
    def dispatch(self, off: int, count: int) -> None:
        number, model = self.number(off), self.model
        start = stop = model.cursor
        if model.is_current(number):
            stop = max(start, min(start + count, model.total))
        assert self.ledger.dispatch(self.job, number, count=count) == (start, stop)
        model.cursor = stop

    @rule(data=st.data(), off=STALENESS, owner=OWNERS)
    def claim(self, data: st.DataObject, off: int, owner: str) -> None:
        number, model, places = self.number(off), self.model, self.places(data)
        claim = self.ledger.claim(self.job, number, places, owner=owner, lease_s=LEASE_S, max_attempts=MAX_ATTEMPTS)
        if not model.is_current(number) or model.merging:
            assert claim == Claim([], [], [], [], active=False)
            return
        fates: dict[str, list[Place]] = {"granted": [], "leased": [], "done": [], "exhausted": []}
        for place in places:
            fates[model.claim(place, owner)].append(place)
        lost = {place: model.lost[place] for place in fates["granted"] if model.lost.get(place)}
        assert claim == Claim(**fates, active=True, lost=lost)

    @rule(data=st.data(), off=STALENESS, owner=OWNERS)
    def commit(self, data: st.DataObject, off: int, owner: str) -> None:
        number, places = self.number(off), self.places(data)
        fresh = self.model.receive(number, places) if self.model.is_open(number) else 0
        assert self.ledger.commit(self.job, number, places, owner=owner, stats={"batches": 1.0}) == fresh

    @rule(owner=OWNERS)
    def commit_all(self, owner: str) -> None:
        model = self.model
        if not model.is_open(model.number):
            return
        missing = sorted(set(model.places) - model.received)
        fresh = model.receive(model.number, missing)
        model.leases.clear()
        model.lost.clear()
        assert self.ledger.commit(self.job, model.number, missing, owner=owner, stats={"batches": 1.0}) == fresh

    @rule(data=st.data(), off=STALENESS)
    def receipts(self, data: st.DataObject, off: int) -> None:
        number, places = self.number(off), self.places(data)
        expected = [place for place in places if place in self.model.received] if self.model.is_open(number) else []
        assert self.ledger.receipts(self.job, number, places) == expected

    @rule(data=st.data(), off=STALENESS, owner=OWNERS, count=st.booleans())
    def release(self, data: st.DataObject, off: int, owner: str, count: bool) -> None:
        number, model, places = self.number(off), self.model, self.places(data)
        self.ledger.release(self.job, number, places, owner=owner, count_attempt=count)
        for place in places if model.is_open(number) else ():
            if place in model.leases and model.leases[place].owner == owner:
                del model.leases[place]
                model.lost[place] = model.lost.get(place, 0) + count

    @rule(data=st.data(), off=STALENESS)
    def fill(self, data: st.DataObject, off: int) -> None:
        number, model = self.number(off), self.model
        if model.total == 0:
            return
        place = data.draw(st.sampled_from(model.places), label="place")
        filling = self.ledger.fill(self.job, number, place, reason="bad pixel")
        if not model.is_open(number) or (place in model.received and (number, place) in model.filled):
            assert filling is Filling.KNOWN
        elif place in model.received and model.has_begun_merge:
            assert filling is Filling.TOO_LATE
        elif place in model.received:
            assert filling is Filling.SPOILT
            model.received.remove(place)
            model.once_received.add(place)
        else:
            assert filling is Filling.FILLED
            model.received.add(place)
            model.filled.add((number, place))
            model.forget_attempts({place})

    @rule()
    def retry_filled(self) -> None:
        model, found = self.model, self.ledger.retry_filled(self.job)
        filled = {place for number, place in model.filled if number == model.number}
        if not model.state.is_open:
            assert found == ([], "ended")
        elif model.publishing:
            assert found == ([], "publishing")
        elif not filled:
            assert found == ([], "none")
        elif model.has_begun_merge:
            assert found == ([], "merging")
        else:
            assert (set(found.places), found.refusal) == (filled, "")
            model.filled -= {(model.number, place) for place in filled}
            model.received -= filled
            model.forget_attempts(filled)
            model.killers -= filled
            model.duplicated -= filled

    @rule(off=STALENESS, owner=OWNERS)
    def renew(self, off: int, owner: str) -> None:
        number = self.number(off)
        renewed = self.ledger.renew(self.job, number, owner=owner, lease_s=LEASE_S)
        assert renewed == self.model.is_open(number)
        merge = [self.model.merge] if self.model.merge and self.model.fence_held else []
        for lease in (*self.model.leases.values(), *merge) if renewed else ():
            lease.live = lease.live or lease.owner == owner

    @rule(off=STALENESS, limit=st.integers(0, MAX_BLOCKS))
    def reclaim(self, off: int, limit: int) -> None:
        number, model = self.number(off), self.model
        over = sorted(place for place, lease in model.leases.items() if not lease.live)
        expected = over[:limit] if model.is_current(number) else []
        losses = self.ledger.reclaim(self.job, number, limit=limit)
        owners = Counter(model.leases[place].owner for place in over)
        for place in expected:
            model.lost[place] = model.lost.get(place, 0) + 1
            if owners[model.leases.pop(place).owner] == 1 and model.lost[place] > 1:
                model.killers.add(place)
        counts = (len(model.killers), len(model.received)) if model.is_current(number) else (0, 0)
        assert losses == Losses(expected, *counts)

    @rule(off=STALENESS, older_s=st.sampled_from([0.0, 0.0, 1e9]), limit=st.integers(0, MAX_BLOCKS))
    def duplicate_slow(self, off: int, older_s: float, limit: int) -> None:
        number, model = self.number(off), self.model
        slow = sorted(place for place, lease in model.leases.items() if lease.live and place not in model.duplicated)
        expected = slow[:limit] if model.is_current(number) and not older_s else []
        assert self.ledger.duplicate_slow(self.job, number, older_s=older_s, limit=limit) == expected
        for place in expected:
            del model.leases[place]
            model.duplicated.add(place)

    @rule(off=STALENESS, owner=OWNERS)
    def end_owner(self, off: int, owner: str) -> None:
        number, model = self.number(off), self.model
        losses = self.ledger.end_owner(self.job, number, owner=owner)
        if not model.is_open(number):
            assert losses == Losses([], 0, 0)
            return
        lost = [place for place, lease in model.leases.items() if lease.owner == owner]
        for place in lost:
            del model.leases[place]
            model.lost[place] = model.lost.get(place, 0) + 1
        if len(lost) == 1:
            model.killers.update(lost)
        if model.merge and model.fence_held and model.merge.owner == owner:
            model.merge.live = False
        assert (sorted(losses.lost), losses[1:]) == (sorted(lost), (len(model.killers), len(model.received)))

    @rule(seconds=st.sampled_from([0.5, 3600.0]))
    def the_clock_is_set_back(self, seconds: float) -> None:
        """No lease changes: what was written before seems to be written later."""
        with redis.Redis.from_url(self.server.url, decode_responses=True) as client:
            server: Any = client
            keys = f"{PREFIX}{{{self.job}}}:"
            for place, lease in server.hgetall(keys + "leases").items():
                expiry, call, since, owner = lease.split(" ", 3)
                if float(expiry):  # else it has run out
                    expiry = str(float(expiry) + seconds)
                server.hset(keys + "leases", place, f"{expiry} {call} {float(since) + seconds} {owner}")
            for name in ("clock", "updated", "merge_until"):
                if at := float(server.hget(keys + "job", name) or 0):
                    server.hset(keys + "job", name, str(at + seconds))

    @rule()
    def every_lease_runs_out(self) -> None:
        # the server's clock cannot be moved, so rewrite the ends of the leases
        with redis.Redis.from_url(self.server.url, decode_responses=True) as client:
            server: Any = client
            keys = f"{PREFIX}{{{self.job}}}:"
            for place, lease in server.hgetall(keys + "leases").items():
                server.hset(keys + "leases", place, "0 " + lease.partition(" ")[2])
            server.hset(keys + "job", "merge_until", "0")
        for held in self.model.leases.values():
            held.live = False
        if self.model.merge:
            self.model.merge.live = False

    # -------------------------------------------------------------------------------------------- jobs

    @rule()
    def pause(self) -> None:
        model = self.model
        paused = self.ledger.pause(self.job)
        assert paused == (model.state.is_open and not model.publishing)
        if paused:
            model.state = JobState.PAUSED

    @rule()
    def resume(self) -> None:
        model = self.model
        resumed = self.ledger.resume(self.job)
        assert resumed == (model.state in (JobState.PAUSED, JobState.FAILED))
        if resumed:
            model.state = JobState.RUNNING
            again = {filled for filled in model.filled if filled[0] == model.number}
            model.filled -= again
            model.received -= {place for _, place in again}
            model.lost.clear()
            model.duplicated.clear()
            model.killers.clear()

    @rule(ending=st.sampled_from([JobState.FAILED, JobState.CANCELLED]), chance=st.integers(0, 9))
    def end(self, ending: JobState, chance: int) -> None:
        model = self.model
        if chance and model.state is JobState.RUNNING:  # seldom, so that most jobs get further
            return
        ends = model.state.is_open and not (model.publishing and ending is JobState.CANCELLED)
        if ending is JobState.CANCELLED:
            assert self.ledger.cancel(self.job) == ends
        else:
            assert self.ledger.fail(self.job, "why", number=StageNumber(1), place=Place(2)) == ends
        if ends:
            model.state = ending
            model.leases, model.lost, model.once_received = {}, {}, set()
            model.duplicated, model.killers = set(), set()
            model.merge = model.fence_held = None

    # -------------------------------------------------------------------------------------------- merges

    @rule(owner=OWNERS, blocks=st.integers(1, MAX_BLOCKS), reopens=st.booleans(), again=st.booleans())
    def get_on(self, owner: str, blocks: int, reopens: bool, again: bool) -> None:
        """Commit all receipts, then merge and end, repeat or reopen the stage: random moves seldom get that far."""
        model = self.model
        if model.state is not JobState.RUNNING:
            return
        number = model.number
        self.commit_all(owner)
        self.begin_merge(0, owner)
        if reopens:
            self.reopen_blocks(number, model.fence, model.places[::2])
        elif again or number % STAGES + 1 < STAGES:
            self.end_stage(number, model.fence, blocks, again=again)

    @rule(off=STALENESS, owner=OWNERS)
    def begin_merge(self, off: int, owner: str) -> None:
        number, model = self.number(off), self.model
        fence = self.ledger.begin_merge(self.job, number, owner=owner, lease_s=LEASE_S)
        refused = model.merge is not None and model.merge.live and model.merge.owner != owner
        if not model.is_current(number) or not model.merging or refused:
            assert fence is None
            return
        assert fence is not None
        assert fence > model.fence
        model.fence = model.fence_held = fence
        model.merge = Lease(owner)
        model.has_begun_merge = True

    @rule(data=st.data(), off=STALENESS, chance=st.integers(0, 2))
    def begin_publish(self, data: st.DataObject, off: int, chance: int) -> None:
        if chance:  # seldom, since a job that publishes can be neither paused nor cancelled
            return
        number, fence, model = self.number(off), self.a_fence(data), self.model
        publishing = self.ledger.begin_publish(self.job, number, fence=fence)
        assert publishing == (model.holds(number, fence) and model.state is JobState.RUNNING)
        model.publishing = model.publishing or publishing

    @rule(data=st.data(), off=STALENESS, blocks=st.integers(0, MAX_BLOCKS), again=st.booleans())
    def commit_merge(self, data: st.DataObject, off: int, blocks: int, again: bool) -> None:
        self.end_stage(self.number(off), self.a_fence(data), blocks, again=again)

    def end_stage(self, number: StageNumber, fence: int, blocks: int, *, again: bool) -> None:
        model = self.model
        next_number = StageNumber(number + STAGES if again else (number % STAGES) + 1)
        following = FollowingStage(next_number, blocks) if again or next_number < STAGES else None
        committed = self.ledger.commit_merge(self.job, number, fence=fence, following=following)
        assert committed == model.holds(number, fence)
        if not committed:
            return
        model.merges.append(number)
        if following is None:
            model.state = JobState.DONE
        else:
            model.open(following)

    @rule(data=st.data(), off=STALENESS)
    def release_merge(self, data: st.DataObject, off: int) -> None:
        number, fence = self.number(off), self.a_fence(data)
        self.ledger.release_merge(self.job, number, fence=fence)
        if self.model.holds(number, fence):
            self.model.merge = self.model.fence_held = None

    @rule(data=st.data(), off=STALENESS)
    def reopen(self, data: st.DataObject, off: int) -> None:
        self.reopen_blocks(self.number(off), self.a_fence(data), self.places(data))

    def reopen_blocks(self, number: StageNumber, fence: int, places: list[Place]) -> None:
        model = self.model
        reopened = self.ledger.reopen(self.job, number, places, fence=fence)
        assert reopened == model.holds(number, fence)
        if reopened:
            model.received -= set(places)
            model.once_received |= set(places)
            model.merge = model.fence_held = None

    # -------------------------------------------------------------------------------------------- invariants

    @invariant()
    def the_ledger_tells_what_the_model_tells(self) -> None:
        model, info = self.model, self.ledger.info(self.job)
        assert (info.state, info.stage, info.blocks_total) == (model.state, model.number, model.total)
        assert (info.blocks_done, info.dispatched) == (len(model.received), model.cursor)
        assert info.filled == len(model.filled)
        assert {(filled.stage, filled.place) for filled in self.ledger.filled_blocks(self.job)} == model.filled
        assert info.merging == (model.state is JobState.RUNNING and model.merging)
        assert {number: sums["batches"] for number, sums in info.stage_stats.items()} == {
            number: batches for number, batches in model.batches.items() if batches
        }
        assert_counters_are_possible(info)
        assert_times_are_possible(info)
        waiting = [
            place
            for place in (model.places[: model.cursor] if model.is_current(model.number) else [])
            if place not in model.received and not (place in model.leases and model.leases[place].live)
        ]
        assert self.ledger.unreceipted(self.job, model.number, limit=99) == waiting

    @invariant()
    def each_stage_is_merged_at_most_once(self) -> None:
        merges = self.model.merges
        assert len(set(merges)) == len(merges)
        assert [number % STAGES for number in merges] == sorted(number % STAGES for number in merges)


def assert_counters_are_possible(info: JobInfo) -> None:
    assert 0 <= info.blocks_done <= info.blocks_total
    assert 0 <= info.dispatched <= info.blocks_total
    assert 0 <= info.stage_index < info.stages
    assert info.created_at <= info.updated_at
    assert (info.finished_at is None) == info.state.is_open


def assert_times_are_possible(info: JobInfo) -> None:
    """A stage's times are in order, and a stage begins when the one before ends."""
    # sorted by time: a later round of a stage has a greater number than the stage after it
    ends = sorted(times.ended for times in info.stage_times.values() if times.ended is not None)
    begins = sorted(times.began for times in info.stage_times.values() if times.began is not None)
    assert begins[1:] == ends[: len(begins) - 1]
    for times in info.stage_times.values():
        known = [at for at in (times.began, times.received, times.ended) if at is not None]
        assert known == sorted(known)
    assert (info.state is JobState.DONE) == (len(ends) == len(begins) > 0 and bool(ends))


def test_the_ledger_does_what_the_model_does(server: Server) -> None:
    Moves.server = server
    run_state_machine_as_test(
        Moves,
        settings=settings(
            max_examples=35,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
