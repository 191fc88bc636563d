"""Whose turn it is in a lane: shares by service, windows, ranks, weights and limits of tenants."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery.config import Settings
from lepton_celery.errors import InputError, QueueFull, WaitingWarning
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.ledger.lane_window import ALONE, SHARED
from lepton_celery.ledger.quotas import tenant_holder
from lepton_celery.priority import Priority
from lepton_celery.tenants import Terms
from tests.server.ledgers import new_job
from tests.server.server import Server

LANE = "batch"


class Lane:
    """Workers with some slots that do the batches of a lane one after the other, without time passing."""

    def __init__(self, ledger: Ledger, slots: int = 2, terms: Mapping[str, Terms] | None = None) -> None:
        self.turns, self.slots, self.terms = ledger.turns, slots, terms or {}
        self.block_s: dict[str, float] = {}
        self.tenants: dict[str, str] = {}
        self.queue: deque[tuple[str, int]] = deque()
        self.served: list[tuple[str, float]] = []

    def enter(
        self, job: str, block_s: float, *, tenant: str = "", rank: int = 0, predicted_s: float | None = None
    ) -> None:
        self.block_s[job], self.tenants[job] = block_s, tenant
        predicted_s = block_s if predicted_s is None else predicted_s
        self.turns.enter(LANE, job, tenant=tenant, rank=rank, waits=True, sent=0, block_s=predicted_s)

    def send(self) -> list[str]:
        """Send waves until nobody may; the jobs whose turn it was."""
        sent: list[str] = []
        while turn := self.turns.next(LANE, self.slots, self.terms):
            assert len(sent) < 1000, "the window has no end"
            batch, left = turn.batch_blocks, turn.blocks
            wave = [(turn.job_id, min(batch, left - at)) for at in range(0, left, batch)]
            self.queue.extendleft(reversed(wave)) if turn.is_first else self.queue.extend(wave)
            sent.append(turn.job_id)
        return sent

    def work(self, seconds: float) -> None:
        """Do batches from the head of the queue for some seconds of one slot."""
        while seconds > 0:
            job, blocks = self.queue.popleft()
            most = max(1, int(SHARED.batch_s / self.block_s[job]))
            if len(self.block_s) > 1 and blocks > most:  # it gives way, as real batches do
                self.queue.append((job, blocks - most))
                blocks = most
            took = blocks * self.block_s[job]
            weight = self.terms.get(self.tenants[job], Terms()).weight
            self.turns.settle(LANE, job, blocks=blocks, seconds=took, weight=weight)
            self.served.append((job, took))
            self.send()
            seconds -= took

    def waiting_s(self) -> float:
        return sum(blocks * self.block_s[job] for job, blocks in self.queue)

    def shares(self) -> list[dict[str, float]]:
        """The share of each job of every ten seconds of service."""
        shares, sums, total = [], defaultdict[str, float](float), 0.0
        for job, took in self.served:
            sums[job] += took
            total += took
            if total >= 10:
                shares.append({name: value / total for name, value in sums.items()})
                sums, total = defaultdict(float), 0.0
        return shares


@pytest.mark.parametrize("blocks_s", [(0.02, 0.02), (0.05, 0.3), (0.001, 0.2), (0.4, 0.4)])
def test_jobs_share_a_lane_by_service_from_when_the_second_comes(ledger: Ledger, blocks_s: tuple[float, float]) -> None:
    lane = Lane(ledger)
    lane.enter("first", blocks_s[0])
    lane.send()
    lane.work(10)
    lane.served.clear()
    lane.enter("second", blocks_s[1])
    lane.work(60)
    for share in lane.shares()[1:]:
        assert share["second"] == pytest.approx(0.5, abs=0.1)


def test_the_window_of_a_lane_is_bounded_and_holds_two_blocks_for_each_slot(ledger: Ledger) -> None:
    lane = Lane(ledger)
    lane.enter("a", 0.01)
    lane.send()
    assert lane.waiting_s() == pytest.approx(2 * ALONE.window_s, rel=0.4)
    lane.enter("b", 0.01)
    lane.work(20)
    assert lane.waiting_s() <= 2 * (SHARED.window_s + SHARED.wave_s)
    long = Lane(ledger)
    for job in "ab":
        ledger.turns.leave(LANE, job)
    long.enter("long", 600.0)
    assert len(long.send()) == 4


def test_a_new_job_goes_before_the_messages_that_wait(ledger: Ledger) -> None:
    lane = Lane(ledger)
    lane.enter("large", 0.05)
    lane.send()
    lane.work(3)
    lane.enter("small", 0.01)
    lane.work(0.001)  # the batch in hand ends
    assert lane.queue[0][0] == "small"


def test_blocks_that_take_longer_than_predicted_keep_no_other_job_waiting(ledger: Ledger) -> None:
    lane = Lane(ledger)
    lane.enter("wrong", 0.5, predicted_s=0.001)
    lane.send()
    assert lane.waiting_s() > 100
    lane.work(1)
    lane.enter("right", 0.05)
    assert "right" in lane.send()
    assert lane.queue[0][0] == "right"


def test_tenants_share_by_weight_however_many_jobs_they_have(ledger: Ledger) -> None:
    lane = Lane(ledger, terms={"b": Terms(2.0)})
    for number in range(10):
        lane.enter(f"a{number}", 0.05, tenant="a")
    lane.enter("b", 0.05, tenant="b")
    lane.send()
    lane.work(100)
    for share in lane.shares()[1:]:
        assert share["b"] == pytest.approx(2 / 3, abs=0.07)
        assert max(share.values()) == share["b"]


def test_of_a_tenants_jobs_the_one_of_the_highest_rank_goes_first(ledger: Ledger) -> None:
    lane = Lane(ledger)
    lane.enter("low", 0.05, tenant="a")
    lane.enter("high", 0.05, tenant="a", rank=5)
    lane.enter("other", 0.05, tenant="b")
    lane.send()
    lane.work(30)
    assert "low" not in lane.shares()[1]
    assert lane.shares()[1]["other"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("block_s", [0.01, 0.3, 60.0])
def test_a_tenant_has_no_more_messages_than_slots(ledger: Ledger, block_s: float) -> None:
    lane = Lane(ledger, slots=16, terms={"*": Terms(slots=3)})
    for job in "xyz":
        lane.enter(job, block_s, tenant="a")
    lane.send()
    for _ in range(20):
        assert 0 < len(lane.queue) <= 3
        lane.work(block_s)


def test_a_job_that_left_has_no_turn_and_one_that_waits_for_nothing_neither(ledger: Ledger) -> None:
    lane = Lane(ledger)
    lane.enter("gone", 0.05)
    lane.enter("sent", 0.05)
    ledger.turns.leave(LANE, "gone")
    ledger.turns.enter(LANE, "sent", tenant="", rank=0, waits=False, sent=3)
    assert lane.send() == []
    assert ledger.turns.jobs(LANE) == ["sent"]


def test_a_turn_for_one_job_only_is_not_given_to_another(ledger: Ledger) -> None:
    lane = Lane(ledger)
    lane.enter("a", 0.05)
    lane.enter("b", 0.05)
    turn = ledger.turns.next(LANE, 2, {}, only="a")
    assert turn is not None and turn.job_id == "a"
    assert ledger.turns.next(LANE, 2, {}, only="a") is None  # it is the other's


def test_what_is_written_over_a_lane_is_removed(ledger: Ledger, client: Any, prefix: str) -> None:
    lane = Lane(ledger)
    lane.enter("a", 0.05)
    jobs = f"{prefix}{{lane batch}}:jobs"
    client.hset(jobs, "b", "no job of a lane")
    assert set(lane.send()) == {"a"}
    ledger.turns.leave(LANE, "b")  # as the sweeper does with what is no running job
    assert client.hkeys(jobs) == ["a"]
    client.delete(jobs)
    client.lpush(jobs, "no hash")
    lane.enter("a", 0.05)
    assert set(lane.send()) == {"a"}


@pytest.mark.parametrize(
    "entry", ["1 nan 0.1 0 0 ", "1 0 nan 0 0 ", "1 0 0.1 inf 0 ", "1 0 0.1 0 99 ", "1 -5 0.1 0 0 ", "", "\udcff"]
)
def test_damaged_entries_of_a_lane_harm_no_other_job(ledger: Ledger, client: Any, prefix: str, entry: str) -> None:
    lane = Lane(ledger)
    lane.enter("honest", 0.05)
    client.hset(f"{prefix}{{lane batch}}:jobs", "hostile", entry.encode(errors="surrogateescape"))
    client.hset(f"{prefix}{{lane batch}}:tenants", "", "nan")
    assert set(lane.send()) == {"honest"}
    lane.work(10)
    assert {job for job, _ in lane.served} == {"honest"}


@pytest.mark.parametrize("name", ["jobs", "tenants", "order", "sent"])
def test_what_is_missing_or_left_over_in_a_lane_is_put_right(
    ledger: Ledger, client: Any, prefix: str, name: str
) -> None:
    lane, key = Lane(ledger), f"{prefix}{{lane batch}}:"
    lane.enter("first", 0.05)
    lane.send()
    lane.enter("second", 0.05)
    client.zadd(
        f"{key}order", {" a 9 0000000000000.000000 gone": 0, "no entry": 0, " a 0 0000000000000.000000 first": 0}
    )
    client.sadd(f"{key}sent", "gone", "")
    client.delete(f"{key}{name}")
    lane.send()
    for job in ("first", "second"):  # as the sweeper does
        ledger.turns.enter(LANE, job, tenant="", rank=0, waits=True, sent=1, block_s=0.05)
    lane.send()
    lane.work(4)
    lane.served.clear()
    lane.work(12)
    assert lane.shares()[0]["second"] == pytest.approx(0.5, abs=0.1)
    assert client.smembers(f"{key}sent") <= {"first", "second"}


def test_a_turn_reads_no_more_of_a_lane_with_thousands_of_jobs(ledger: Ledger, client: Any, prefix: str) -> None:
    def commands(jobs: range) -> int:
        for number in jobs:
            ledger.turns.enter(
                LANE, f"j{number}", tenant=str(number % 7), rank=number % 3, waits=True, sent=0, block_s=0.05
            )
        client.config_resetstat()
        for _ in range(50):
            turn = ledger.turns.next(LANE, 2, {})
            if turn:
                ledger.turns.settle(LANE, turn.job_id, blocks=turn.blocks, seconds=0.2, weight=1)
        stats = client.info("commandstats")
        assert not stats.keys() & {f"cmdstat_{name}" for name in ("hkeys", "hvals", "zrange", "hscan")}
        assert client.hlen(f"{prefix}{{lane batch}}:tenants") == 7  # all of which are read
        return sum(one["calls"] for one in stats.values())

    assert commands(range(100, 3000)) < 1.5 * commands(range(100))


def test_a_job_that_is_given_another_tenant_has_that_ones_share(ledger: Ledger) -> None:
    lane = Lane(ledger)
    for job in ("a", "b", "c"):
        lane.enter(job, 0.05, tenant="many")
    lane.send()
    lane.work(10)
    lane.enter("c", 0.05, tenant="one")
    lane.work(4)
    lane.served.clear()
    lane.work(21)
    for share in lane.shares():
        assert share["c"] == pytest.approx(0.5, abs=0.1)


def test_damage_elsewhere_stops_no_batch_that_looks_around(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, "j")
    ledger.turns.enter("interactive", "j", tenant="", rank=0, waits=False, sent=4)
    assert ledger.turns.rivals("batch", ["interactive"]) == (1, 0)
    client.hset(f"{prefix}{{j}}:job", "dispatched", "many")
    assert ledger.turns.rivals("batch", ["interactive"]) == (0, 0)
    client.delete(f"{prefix}{{j}}:job", f"{prefix}{{lane batch}}:jobs")
    client.lpush(f"{prefix}{{j}}:job", "no hash")
    client.lpush(f"{prefix}{{lane batch}}:jobs", "no hash")
    assert ledger.turns.rivals("batch", ["interactive"]) == (0, 0)
    assert ledger.turns.jobs("batch") == []


def test_a_job_that_ends_is_paused_or_forgotten_leaves_its_lane(ledger: Ledger) -> None:
    for job, end in {"paused": ledger.pause, "cancelled": ledger.cancel, "forgotten": ledger.forget}.items():
        new_job(ledger, job)
        ledger.turns.enter("batch", job, tenant="", rank=0, waits=True, sent=0, block_s=1)
        end(job)
    new_job(ledger, "failed")
    ledger.turns.enter("batch", "failed", tenant="", rank=0, waits=True, sent=0, block_s=1)
    ledger.fail("failed", "because")
    assert ledger.turns.jobs("batch") == []


def test_the_priority_of_an_open_job_can_be_changed(ledger: Ledger) -> None:
    new_job(ledger, "j")
    ledger.turns.enter("batch", "j", tenant="", rank=0, waits=True, sent=0, block_s=1)
    assert ledger.prioritize("j", Priority("interactive", 3), tenant="lab")
    info = ledger.info("j")
    assert (info.lane, info.rank, info.tenant, info.priority) == ("interactive", 3, "lab", "interactive:3")
    assert ledger.turns.jobs("batch") == []
    assert ledger.prioritize("j", Priority())
    assert (ledger.info("j").priority, ledger.info("j").tenant) == ("default", "lab")
    ledger.cancel("j")
    assert not ledger.prioritize("j", Priority())


def test_slots_of_a_lane_are_those_of_its_workers(ledger: Ledger) -> None:
    assert ledger.slots("interactive") == 0
    ledger.serve("a@host", ["batch", "default"], slots=4, for_s=60)
    ledger.serve("b@host", ["batch"], slots=2, for_s=60)
    assert ledger.slots("batch") == 6


def test_a_job_too_many_is_refused_and_leaves_nothing(ledger: Ledger, server: Server, tmp_path: Path) -> None:
    ledger = open_ledger(server.url)
    for number in range(2):
        ledger.quotas.admit(f"j{number}", {tenant_holder("batch", "lab"): 0})
    app = lepton.create_app(Settings(broker_url=server.url, max_open_jobs=2))
    np.save(tmp_path / "input.npy", np.zeros((8, 8)))
    outputs: dict[str, Any] = {str(tmp_path / "o.npy"): -lepton.open(tmp_path / "input.npy")}
    try:
        with pytest.raises(
            QueueFull, match=r"tenant 'lab' has 2 open jobs in the lane 'batch', and max_open_jobs is 2"
        ):
            lepton.submit(outputs, app=app, priority="batch", tenant="lab")
        assert [path.name for path in tmp_path.iterdir()] == ["input.npy"]
        with pytest.warns(WaitingWarning):
            lepton.submit(outputs, app=app, priority="batch", tenant="other").cancel()
    finally:
        for number in range(2):
            ledger.quotas.release([f"j{number}"])
    for wrong in ("a b", "-x", "x" * 65, "é"):
        with pytest.raises(InputError, match="tenant"):
            lepton.submit(outputs, app=app, tenant=wrong)
