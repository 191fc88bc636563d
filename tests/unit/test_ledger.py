"""What every ledger does, whichever way it keeps its jobs."""

from __future__ import annotations

import itertools
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import redis

from lepton_celery.errors import BrokerUnreachable, InputError, JobError, JobNotFound
from lepton_celery.grid import Place
from lepton_celery.ledger import Claim, JobState, Ledger, MemoryLedger, base, open_ledger
from lepton_celery.ledger.redis import RedisLedger
from tests.unit.test_ledger_server import LedgerServer, ledger_server

MILLION = 10**6
INACTIVE = Claim([], [], [], [], active=False)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerServer]:
    with ledger_server(tmp_path_factory.mktemp("ledger")) as running:
        yield running


@pytest.fixture
def redis_ledger(server: LedgerServer, request: pytest.FixtureRequest) -> RedisLedger:
    """A ledger of this test's own."""
    return RedisLedger(server.url, prefix=f"{request.node.name}:")


@pytest.fixture(params=["memory", "redis"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    found: Ledger = MemoryLedger() if request.param == "memory" else request.getfixturevalue("redis_ledger")
    return found


def new_job(ledger: Ledger, job: str = "j", *, blocks: int = 4, stages: int = 2, dispatched: int | None = None) -> str:
    ledger.create(job, {"graph": [1, 2]}, lane="batch", title="cells", stages=stages, blocks=blocks)
    ledger.take(job, 0, count=blocks if dispatched is None else dispatched, window=max(blocks, 1))
    return job


def claim(
    ledger: Ledger, job: str, blocks: list[int], owner: str = "a", *, stage: int = 0, lease_s: float = 60, runs: int = 3
) -> Claim:
    return ledger.claim(job, stage, blocks, owner=owner, lease_s=lease_s, max_attempts=runs)


def commit(ledger: Ledger, job: str, blocks: list[int], owner: str = "a", *, stage: int = 0, **stats: float) -> int:
    return ledger.commit(job, stage, blocks, owner=owner, stats=stats)


def merge(ledger: Ledger, job: str, *, stage: int = 0, next_blocks: int | None = None) -> bool:
    fence = ledger.begin_merge(job, stage, owner="m", lease_s=60)
    assert fence is not None
    return ledger.commit_merge(job, stage, fence=fence, next_blocks=next_blocks)


def ended_jobs(ledger: Ledger) -> list[str]:
    """A job in each final state."""
    for job in ("done", "failed", "cancelled"):
        new_job(ledger, job)
    commit(ledger, "done", [0, 1, 2, 3])
    assert merge(ledger, "done")
    assert ledger.fail("failed", "because")
    assert ledger.cancel("cancelled")
    return ["done", "failed", "cancelled"]


def eventually(true: Callable[[], bool], within_s: float = 5) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


class TestEveryLedger:
    def test_a_new_job_runs_in_stage_zero(self, ledger: Ledger) -> None:
        before = time.time()
        ledger.create("j", {"graph": {"ö": [1, 2.5, None]}}, lane="fast", title="Zellen ü", stages=3, blocks=5)
        info = ledger.info("j")
        assert (info.job_id, info.state, info.lane, info.title) == ("j", JobState.RUNNING, "fast", "Zellen ü")
        assert (info.stage, info.stages, info.blocks_done, info.blocks_total, info.dispatched) == (0, 3, 0, 5, 0)
        assert (info.merging, info.finished_at, info.error, info.error_stage, info.error_block) == (
            (False, None, "", -1, -1)
        )
        assert (info.stats, info.stage_stats) == ({}, {})
        assert before - 1 < info.created_at == info.updated_at < time.time() + 1
        assert ledger.manifest("j") == {"graph": {"ö": [1, 2.5, None]}}
        assert ledger.result("j") is None

    def test_an_id_is_given_once(self, ledger: Ledger) -> None:
        new_job(ledger)
        with pytest.raises(JobError, match="'j' exists already") as caught:
            ledger.create("j", {"other": 1}, lane="x", title="x", stages=9, blocks=9)
        assert caught.value.job_id == "j"
        assert ledger.manifest("j") == {"graph": [1, 2]}
        assert ledger.info("j").stages == 2

    def test_nonsense_is_refused_before_anything_happens(self, ledger: Ledger) -> None:
        def create(job: str = "j", manifest: Any = None, stages: int = 1, blocks: int = 1) -> None:
            ledger.create(job, manifest or {}, lane="l", title="t", stages=stages, blocks=blocks)

        for wrong in ({"job": ""}, {"stages": 0}, {"blocks": -1}, {"blocks": 2**32 + 1}, {"manifest": {"a": {1}}}):
            with pytest.raises(InputError):
                create(**wrong)
        assert ledger.jobs() == []
        new_job(ledger)
        before = ledger.info("j")
        for call in (
            lambda: claim(ledger, "j", [-1]),
            lambda: claim(ledger, "j", [0, 4]),
            lambda: claim(ledger, "j", [0], lease_s=0),
            lambda: claim(ledger, "j", [0], runs=0),
            lambda: commit(ledger, "j", [0, 4]),
            lambda: commit(ledger, "j", [0], seconds=float("nan")),
            lambda: ledger.take("j", 0, count=-1, window=1),
            lambda: ledger.unreceipted("j", 0, limit=-1),
        ):
            with pytest.raises(InputError):
                call()
        assert ledger.info("j") == before
        assert claim(ledger, "j", [0], "other").granted == [0]

    def test_a_block_the_stage_lacks_is_named(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=4)
        with pytest.raises(InputError, match="block 7 of job 'j': stage 0 has 4 blocks"):
            claim(ledger, "j", [1, 7])

    def test_an_unknown_job_is_not_found_by_readers(self, ledger: Ledger) -> None:
        for read in (ledger.manifest, ledger.info, ledger.result):
            with pytest.raises(JobNotFound, match="'nope'") as caught:
                read("nope")
            assert caught.value.job_id == "nope"

    def test_moves_on_an_unknown_job_are_refused_quietly(self, ledger: Ledger) -> None:
        assert_takes_no_work(ledger, "nope", stage=0)
        assert ledger.take("nope", 0, count=5, window=5) == (0, 0)
        assert not ledger.fail("nope", "x")
        assert not ledger.cancel("nope")
        ledger.forget("nope")
        assert ledger.jobs() == []

    def test_jobs_come_newest_first(self, ledger: Ledger) -> None:
        for n in range(5):
            new_job(ledger, f"j{n}")
        assert [info.job_id for info in ledger.jobs()] == ["j4", "j3", "j2", "j1", "j0"]
        assert [info.job_id for info in ledger.jobs(limit=2)] == ["j4", "j3"]
        assert ledger.jobs(limit=0) == []
        assert ledger.jobs()[0] == ledger.info("j4")

    def test_only_running_jobs_are_active(self, ledger: Ledger) -> None:
        assert ledger.active() == []
        ended_jobs(ledger)
        new_job(ledger, "late")
        new_job(ledger, "later")
        assert ledger.active() == ["late", "later"]

    def test_a_forgotten_job_is_gone(self, ledger: Ledger) -> None:
        new_job(ledger, "kept")
        new_job(ledger)
        claim(ledger, "j", [0, 1])
        commit(ledger, "j", [0], seconds=1)
        ledger.forget("j")
        with pytest.raises(JobNotFound):
            ledger.info("j")
        assert [info.job_id for info in ledger.jobs()] == ledger.active() == ["kept"]
        new_job(ledger)
        assert ledger.info("j").stats == {}
        assert claim(ledger, "j", [0, 1], "b").granted == [0, 1]

    def test_the_cursor_keeps_within_count_and_window(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=10, dispatched=0)
        assert ledger.take("j", 0, count=3, window=5) == (0, 3)
        assert ledger.take("j", 0, count=3, window=5) == (3, 5)
        assert ledger.take("j", 0, count=3, window=5) == (5, 5)
        commit(ledger, "j", [0, 1])
        assert ledger.take("j", 0, count=9, window=5) == (5, 7)
        assert ledger.info("j").dispatched == 7
        assert ledger.take("j", 0, count=9, window=99) == (7, 10)
        assert ledger.take("j", 0, count=9, window=99) == (10, 10)
        assert ledger.take("j", 1, count=9, window=99) == (10, 10)

    def test_two_who_take_never_get_the_same_block(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=200, dispatched=0)
        with ThreadPoolExecutor(8) as threads:
            taken = list(threads.map(lambda _: ledger.take("j", 0, count=3, window=1000), range(80)))
        assert sorted(itertools.chain.from_iterable(range(*part) for part in taken)) == list(range(200))

    def test_a_claim_sorts_blocks_by_what_became_of_them(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=6)
        assert claim(ledger, "j", [3, 1]) == Claim([Place(3), Place(1)], [], [], [], active=True)
        commit(ledger, "j", [1])
        assert claim(ledger, "j", [5, 3, 1, 0, 5], "b") == Claim([Place(5), Place(0)], [Place(3)], [1], [], active=True)

    def test_blocks_that_were_never_dispatched_can_be_claimed(self, ledger: Ledger) -> None:
        new_job(ledger, dispatched=0)
        assert claim(ledger, "j", [2]).granted == [2]
        assert commit(ledger, "j", [2]) == 1

    def test_a_lease_that_ran_out_goes_to_whoever_asks(self, ledger: Ledger) -> None:
        new_job(ledger)
        claim(ledger, "j", [0], "a", lease_s=0.05)
        assert claim(ledger, "j", [0], "b").leased == [0]
        eventually(lambda: claim(ledger, "j", [0], "b").granted == [0])
        assert claim(ledger, "j", [0], "a").leased == [0]

    def test_a_block_whose_leases_run_out_is_exhausted_after_max_attempts(self, ledger: Ledger) -> None:
        new_job(ledger)
        for run in range(3):
            eventually(lambda run=run: claim(ledger, "j", [0], f"w{run}", lease_s=0.05).granted == [0])  # type: ignore[misc]
        eventually(lambda: claim(ledger, "j", [0], "w3").exhausted == [0])
        assert claim(ledger, "j", [0], "w4").exhausted == [0]
        assert ledger.unreceipted("j", 0, limit=9) == [0, 1, 2, 3]

    def test_an_owner_that_comes_back_lost_an_attempt(self, ledger: Ledger) -> None:
        new_job(ledger)
        assert [claim(ledger, "j", [0], runs=3).granted for _ in range(4)] == [[0], [0], [0], []]
        assert claim(ledger, "j", [0], runs=3).exhausted == [0]
        assert claim(ledger, "j", [0], runs=4).granted == [0]

    def test_a_release_counts_an_attempt_only_when_asked(self, ledger: Ledger) -> None:
        new_job(ledger)
        for _ in range(5):
            assert claim(ledger, "j", [0], runs=2).granted == [0]
            ledger.release("j", 0, [0], owner="a", count_attempt=False)
        for _ in range(2):
            assert claim(ledger, "j", [0], "b", runs=2).granted == [0]
            ledger.release("j", 0, [0, 1], owner="b", count_attempt=True)
        assert claim(ledger, "j", [0, 1], runs=2) == Claim([Place(1)], [], [], [Place(0)], active=True)

    def test_only_the_owner_can_release(self, ledger: Ledger) -> None:
        new_job(ledger)
        claim(ledger, "j", [0], "a")
        ledger.release("j", 0, [0], owner="b", count_attempt=True)
        ledger.release("j", 1, [0], owner="a", count_attempt=True)
        assert claim(ledger, "j", [0], "b").leased == [0]
        assert claim(ledger, "j", [0], "a", runs=2).granted == [0]

    def test_a_receipt_forgets_lost_attempts(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=1)
        claim(ledger, "j", [0], runs=2)
        claim(ledger, "j", [0], runs=2)
        commit(ledger, "j", [0])
        fence = ledger.begin_merge("j", 0, owner="m", lease_s=60)
        assert fence is not None
        assert ledger.reopen("j", 0, [0], fence=fence)
        assert [claim(ledger, "j", [0], runs=2).granted for _ in range(3)] == [[0], [0], []]

    def test_renewing_keeps_leases_alive(self, ledger: Ledger) -> None:
        new_job(ledger)
        claim(ledger, "j", [0], "a", lease_s=0.2)
        claim(ledger, "j", [1], "a", lease_s=0.2)
        claim(ledger, "j", [2], "b", lease_s=0.2)
        assert ledger.renew("j", 0, owner="a", lease_s=60)
        eventually(lambda: claim(ledger, "j", [2], "c").granted == [2])
        assert claim(ledger, "j", [0, 1], "c").leased == [0, 1]
        assert ledger.renew("j", 0, owner="holds nothing", lease_s=60)

    def test_renewing_leaves_alone_what_another_took_over(self, ledger: Ledger) -> None:
        new_job(ledger)
        claim(ledger, "j", [0, 1], "a", lease_s=0.02)
        eventually(lambda: claim(ledger, "j", [0], "b", lease_s=0.15).granted == [0])
        assert ledger.renew("j", 0, owner="a", lease_s=60)
        eventually(lambda: claim(ledger, "j", [0], "c").granted == [0])
        assert claim(ledger, "j", [1], "c").leased == [1]

    def test_renewing_says_when_the_work_is_no_longer_wanted(self, ledger: Ledger) -> None:
        new_job(ledger)
        assert not ledger.renew("j", 1, owner="a", lease_s=60)
        commit(ledger, "j", [0, 1, 2, 3])
        assert merge(ledger, "j", next_blocks=1)
        assert not ledger.renew("j", 0, owner="a", lease_s=60)
        assert ledger.renew("j", 1, owner="a", lease_s=60)
        ledger.cancel("j")
        assert not ledger.renew("j", 1, owner="a", lease_s=60)

    def test_a_receipt_counts_once(self, ledger: Ledger) -> None:
        new_job(ledger)
        claim(ledger, "j", [0, 1])
        assert commit(ledger, "j", [0, 0, 1]) == 2
        assert commit(ledger, "j", [1, 2]) == 1
        assert commit(ledger, "j", [0, 1, 2], "b") == 0
        assert commit(ledger, "j", []) == 0
        assert ledger.info("j").blocks_done == 3

    def test_a_receipt_counts_however_late_and_whoever_brings_it(self, ledger: Ledger) -> None:
        new_job(ledger)
        claim(ledger, "j", [0], "a", lease_s=0.02)
        eventually(lambda: claim(ledger, "j", [0], "b").granted == [0])
        assert commit(ledger, "j", [0], "a") == 1
        assert commit(ledger, "j", [0], "b") == 0
        assert claim(ledger, "j", [0], "c").done == [0]

    def test_statistics_are_summed_over_first_receipts(self, ledger: Ledger) -> None:
        new_job(ledger)
        commit(ledger, "j", [0, 1], seconds=0.5, pixels=1e12)
        commit(ledger, "j", [0, 1], seconds=100)
        commit(ledger, "j", [1, 2, 3], seconds=0.25)
        assert merge(ledger, "j", next_blocks=1)
        ledger.commit("j", 1, [0], owner="a", stats={"two words": 1e-7, "seconds": 1})
        info = ledger.info("j")
        assert info.stats == pytest.approx({"seconds": 1.75, "pixels": 1e12, "two words": 1e-7})
        assert info.stage_stats == {
            0: pytest.approx({"seconds": 0.75, "pixels": 1e12}),
            1: pytest.approx({"two words": 1e-7, "seconds": 1}),
        }

    def test_a_reopened_block_adds_no_statistics_again(self, ledger: Ledger) -> None:
        new_job(ledger)
        commit(ledger, "j", [0, 1, 2, 3], seconds=1)
        fence = ledger.begin_merge("j", 0, owner="m", lease_s=60)
        assert fence is not None
        assert ledger.reopen("j", 0, [1, 2], fence=fence)
        assert commit(ledger, "j", [1, 2], seconds=7) == 2
        assert ledger.info("j").stats == {"seconds": 1}

    def test_it_is_known_when_each_stage_began_had_its_receipts_and_ended(self, ledger: Ledger) -> None:
        new_job(ledger)
        assert set(ledger.info("j").stage_times) == {0}
        commit(ledger, "j", [0, 1, 2])
        assert ledger.info("j").stage_times[0].received is None
        commit(ledger, "j", [3])
        assert merge(ledger, "j", next_blocks=1)
        first, second = ledger.info("j").stage_times.values()
        assert first.began is not None and first.received is not None and first.ended is not None
        assert first.began <= first.received <= first.ended == second.began
        assert ledger.give_up("j", 1, 0, reason="hopeless")
        assert merge(ledger, "j", stage=1)
        info = ledger.info("j")
        assert info.stage_times[1].ended == info.finished_at

    def test_a_job_that_waits_begins_when_it_is_let_go(self, ledger: Ledger) -> None:
        ledger.create("j", {}, lane="l", title="t", stages=1, blocks=1, paused=True)
        assert ledger.info("j").stage_times == {}
        assert ledger.resume("j")
        assert ledger.info("j").stage_times[0].began is not None

    def test_cost_models_are_kept_by_profile(self, ledger: Ledger) -> None:
        assert ledger.costs("fast") is None
        ledger.keep_costs("fast", {"speed": 1.5})
        ledger.keep_costs("slow", {"speed": 3.0})
        ledger.keep_costs("fast", {"speed": 1.25})
        assert (ledger.costs("fast"), ledger.costs("slow")) == ({"speed": 1.25}, {"speed": 3.0})
        ledger.keep_costs("slow", None)
        assert ledger.costs("slow") is None
        assert ledger.jobs() == []

    def test_unreceipted_are_the_dispatched_that_no_one_works_on(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=40, dispatched=30)
        assert ledger.unreceipted("j", 0, limit=100) == list(range(30))
        commit(ledger, "j", list(range(20)))
        claim(ledger, "j", [21, 35])
        claim(ledger, "j", [22], "b", lease_s=0.05)
        eventually(lambda: ledger.unreceipted("j", 0, limit=3) == [20, 22, 23])
        assert ledger.unreceipted("j", 0, limit=100) == [20, *range(22, 30)]
        assert ledger.unreceipted("j", 0, limit=0) == ledger.unreceipted("j", 1, limit=9) == []
        ledger.release("j", 0, [21], owner="a", count_attempt=False)
        assert ledger.unreceipted("j", 0, limit=2) == [20, 21]

    def test_unreceipted_finds_gaps_far_apart(self, ledger: Ledger) -> None:
        blocks = 100_003
        gaps = [0, 7, 8, 32_767, 32_768, 65_535, 99_999, 100_002]
        new_job(ledger, blocks=blocks)
        commit(ledger, "j", sorted(set(range(blocks)) - set(gaps)))
        assert ledger.unreceipted("j", 0, limit=100) == gaps
        assert ledger.unreceipted("j", 0, limit=3) == gaps[:3]

    def test_a_block_that_takes_long_is_handed_out_twice_and_no_more(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=3)
        assert claim(ledger, "j", [0, 1], "slow").granted == [0, 1]
        assert ledger.straggling("j", 0, older_s=1000, limit=9) == []
        assert ledger.straggling("j", 0, older_s=0, limit=1) == [0]
        assert ledger.straggling("j", 0, older_s=0, limit=9) == [1]
        again = claim(ledger, "j", [0, 1], "quick")
        assert (again.granted, again.lost) == ([0, 1], {})  # no attempt is lost
        assert ledger.straggling("j", 0, older_s=0, limit=9) == []
        # both bring their receipts, and the first ones count
        assert commit(ledger, "j", [0], "slow") == 1
        assert commit(ledger, "j", [0, 1], "quick") == 1
        assert ledger.info("j").blocks_done == 2

    def test_a_merge_waits_for_every_receipt(self, ledger: Ledger) -> None:
        new_job(ledger)
        commit(ledger, "j", [0, 1, 2])
        assert ledger.begin_merge("j", 0, owner="m", lease_s=60) is None
        assert not ledger.info("j").merging
        commit(ledger, "j", [3])
        assert ledger.info("j").merging
        assert ledger.begin_merge("j", 1, owner="m", lease_s=60) is None
        assert ledger.begin_merge("j", 0, owner="m", lease_s=60) is not None

    def test_a_merging_stage_grants_nothing(self, ledger: Ledger) -> None:
        new_job(ledger)
        commit(ledger, "j", [0, 1, 2, 3])
        assert claim(ledger, "j", [0]) == INACTIVE
        assert ledger.renew("j", 0, owner="a", lease_s=1)

    def test_a_stage_without_blocks_goes_straight_to_its_merge(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=0)
        assert ledger.info("j").merging
        assert claim(ledger, "j", []) == INACTIVE
        assert ledger.take("j", 0, count=1, window=1) == (0, 0)
        assert merge(ledger, "j", next_blocks=0)
        assert merge(ledger, "j", stage=1)
        assert ledger.info("j").state is JobState.DONE

    def test_fences_grow_over_the_whole_job(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=0)
        fences = [ledger.begin_merge("j", 0, owner="m", lease_s=60) for _ in range(3)]
        assert ledger.commit_merge("j", 0, fence=fences[-1] or 0, next_blocks=0)
        fences.append(ledger.begin_merge("j", 1, owner="other", lease_s=60))
        assert None not in fences
        assert all(a < b for a, b in itertools.pairwise(map(int, filter(None, fences))))

    def test_one_owner_merges_at_a_time(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=0)
        first = ledger.begin_merge("j", 0, owner="m", lease_s=60)
        assert first is not None
        assert ledger.begin_merge("j", 0, owner="n", lease_s=60) is None
        ledger.release_merge("j", 0, fence=first + 1)
        assert ledger.begin_merge("j", 0, owner="n", lease_s=60) is None
        ledger.release_merge("j", 0, fence=first)
        assert not ledger.commit_merge("j", 0, fence=first, next_blocks=None)
        assert ledger.begin_merge("j", 0, owner="n", lease_s=60) is not None

    def test_a_merge_lease_runs_out_unless_renewed(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=0)
        first = ledger.begin_merge("j", 0, owner="m", lease_s=0.05)
        assert first is not None
        assert ledger.renew_merge("j", 0, fence=first, lease_s=0.1)
        assert ledger.begin_merge("j", 0, owner="n", lease_s=60) is None
        second: int | None = None

        def begin_second() -> bool:
            nonlocal second
            second = ledger.begin_merge("j", 0, owner="n", lease_s=60)
            return second is not None

        eventually(begin_second)
        assert not ledger.renew_merge("j", 0, fence=first, lease_s=60)
        assert ledger.renew_merge("j", 0, fence=second or 0, lease_s=60)

    def test_a_merge_whose_lease_is_over_may_commit_if_no_one_else_began(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=0)
        fence = ledger.begin_merge("j", 0, owner="m", lease_s=0.001)
        time.sleep(0.01)
        assert ledger.commit_merge("j", 0, fence=fence or 0, next_blocks=None)

    def test_a_stale_fence_changes_nothing(self, ledger: Ledger) -> None:
        new_job(ledger)
        commit(ledger, "j", [0, 1, 2, 3])
        stale = ledger.begin_merge("j", 0, owner="m", lease_s=60)
        current = ledger.begin_merge("j", 0, owner="m", lease_s=60)
        assert stale is not None
        assert current is not None
        before = ledger.info("j")
        for fence in (stale, current + 1, 0, -1):
            assert not ledger.renew_merge("j", 0, fence=fence, lease_s=1)
            assert not ledger.commit_merge("j", 0, fence=fence, next_blocks=3)
            assert not ledger.commit_merge("j", 0, fence=fence, next_blocks=None, result={"x": 1})
            assert not ledger.reopen("j", 0, [0], fence=fence)
            ledger.release_merge("j", 0, fence=fence)
            assert ledger.info("j") == before
        assert not ledger.commit_merge("j", 1, fence=current, next_blocks=None)
        assert ledger.info("j") == before
        assert ledger.commit_merge("j", 0, fence=current, next_blocks=3)

    def test_a_committed_merge_opens_the_next_stage_once(self, ledger: Ledger) -> None:
        new_job(ledger)
        claim(ledger, "j", [0, 1, 2, 3])
        commit(ledger, "j", [0, 1, 2, 3])
        fence = ledger.begin_merge("j", 0, owner="m", lease_s=60)
        assert fence is not None
        assert ledger.commit_merge("j", 0, fence=fence, next_blocks=7)
        assert not ledger.commit_merge("j", 0, fence=fence, next_blocks=9)
        info = ledger.info("j")
        assert (info.stage, info.blocks_total, info.blocks_done, info.dispatched) == (1, 7, 0, 0)
        assert not info.merging
        assert_takes_no_work(ledger, "j", stage=0)
        assert claim(ledger, "j", [0, 6], stage=1) == Claim([Place(0), Place(6)], [], [], [], active=True)

    def test_the_last_merge_ends_the_job_with_its_result(self, ledger: Ledger) -> None:
        new_job(ledger, stages=1)
        commit(ledger, "j", [0, 1, 2, 3])
        fence = ledger.begin_merge("j", 0, owner="m", lease_s=60)
        assert fence is not None
        assert ledger.commit_merge("j", 0, fence=fence, next_blocks=None, result={"threshold": 0.25})
        assert not ledger.commit_merge("j", 0, fence=fence, next_blocks=None, result={"threshold": 9})
        info = ledger.info("j")
        assert (info.state, info.blocks_done, info.blocks_total, info.merging) == (JobState.DONE, 4, 4, False)
        assert info.finished_at == info.updated_at
        assert ledger.result("j") == {"threshold": 0.25}
        assert not ledger.fail("j", "too late")
        assert not ledger.cancel("j")

    def test_no_stage_opens_after_the_last(self, ledger: Ledger) -> None:
        new_job(ledger, stages=1, blocks=0)
        fence = ledger.begin_merge("j", 0, owner="m", lease_s=60) or 0
        with pytest.raises(InputError, match="stage 0 of job 'j' is the last of 1"):
            ledger.commit_merge("j", 0, fence=fence, next_blocks=1)
        with pytest.raises(InputError, match="-1 blocks"):
            ledger.commit_merge("j", 0, fence=fence, next_blocks=-1)
        with pytest.raises(InputError, match="when it is done"):
            ledger.commit_merge("j", 0, fence=fence, next_blocks=1, result={})
        assert ledger.commit_merge("j", 0, fence=fence, next_blocks=None)

    def test_a_merge_that_misses_blocks_reopens_them(self, ledger: Ledger) -> None:
        new_job(ledger)
        commit(ledger, "j", [0, 1, 2, 3])
        fence = ledger.begin_merge("j", 0, owner="m", lease_s=60)
        assert fence is not None
        with pytest.raises(InputError, match="block 4"):
            ledger.reopen("j", 0, [4], fence=fence)
        assert ledger.reopen("j", 0, [1, 3, 1], fence=fence)
        info = ledger.info("j")
        assert (info.blocks_done, info.merging) == (2, False)
        assert ledger.unreceipted("j", 0, limit=9) == [1, 3]
        assert not ledger.commit_merge("j", 0, fence=fence, next_blocks=None)
        assert ledger.begin_merge("j", 0, owner="n", lease_s=60) is None
        assert claim(ledger, "j", [0, 1, 3], "b") == Claim([Place(1), Place(3)], [], [Place(0)], [], active=True)
        assert commit(ledger, "j", [1, 3], "b") == 2
        assert (ledger.begin_merge("j", 0, owner="n", lease_s=60) or 0) > fence

    @pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
    def test_who_waits_for_an_end_hears_of_it(self, ledger: Ledger, end: str) -> None:
        new_job(ledger, blocks=0)
        moves: dict[str, Callable[[Ledger, str], bool]] = {
            "done": merge,
            "failed": lambda at, job: at.fail(job, ""),
            "cancelled": lambda at, job: at.cancel(job),
        }
        begun = time.monotonic()
        with ledger.ending("j") as wait, ThreadPoolExecutor(1) as pool:
            wait(0.01)
            pool.submit(moves[end], ledger, "j")
            while ledger.info("j").state is JobState.RUNNING:
                wait(20.0 if isinstance(ledger, RedisLedger) else 0.01)  # far longer than it takes
        assert ledger.info("j").state == end
        assert time.monotonic() - begun < 15.0

    def test_the_first_reason_of_a_failure_stays(self, ledger: Ledger) -> None:
        new_job(ledger)
        commit(ledger, "j", [0])
        assert ledger.fail("j", "block 3: disk full", stage=0, block=3)
        assert not ledger.fail("j", "another", stage=1, block=1)
        assert not ledger.cancel("j")
        info = ledger.info("j")
        assert (info.state, info.error, info.error_stage, info.error_block) == (
            (JobState.FAILED, "block 3: disk full", 0, 3)
        )
        assert info.finished_at == info.updated_at
        assert info.blocks_done == 1

    def test_a_cancelled_job_has_no_error(self, ledger: Ledger) -> None:
        new_job(ledger)
        assert ledger.cancel("j")
        assert not ledger.cancel("j")
        assert not ledger.fail("j", "late")
        info = ledger.info("j")
        assert (info.state, info.error, info.error_stage) == (JobState.CANCELLED, "", -1)
        assert info.finished_at is not None

    def test_an_ended_job_takes_no_work(self, ledger: Ledger) -> None:
        for job in ended_jobs(ledger):
            before = ledger.info(job)
            assert_takes_no_work(ledger, job, stage=0)
            assert ledger.take(job, 0, count=9, window=9) == (4, 4)
            assert ledger.info(job) == before
            assert ledger.result(job) is None

    def test_every_move_shows_in_updated_at(self, ledger: Ledger) -> None:
        new_job(ledger, dispatched=0)
        fence = 0

        def begin() -> None:
            nonlocal fence
            fence = ledger.begin_merge("j", 0, owner="m", lease_s=60) or 0

        for move in (
            lambda: ledger.take("j", 0, count=4, window=4),
            lambda: claim(ledger, "j", [0]),
            lambda: commit(ledger, "j", [0, 1, 2, 3]),
            begin,
            lambda: ledger.commit_merge("j", 0, fence=fence, next_blocks=1),
            lambda: ledger.cancel("j"),
        ):
            before = ledger.info("j")
            time.sleep(0.001)
            move()
            assert ledger.info("j").updated_at > before.updated_at

    def test_each_block_is_granted_to_one_of_many_who_ask_at_once(self, ledger: Ledger) -> None:
        blocks, askers = 300, 8
        new_job(ledger, blocks=blocks)
        start = threading.Barrier(askers)

        def ask(n: int) -> list[int]:
            start.wait()
            granted: list[int] = []
            for first in range(0, blocks, 20):
                part = list(range(first, first + 20))
                granted += claim(ledger, "j", part if n % 2 else part[::-1], f"w{n}").granted
            return granted

        with ThreadPoolExecutor(askers) as threads:
            granted = list(threads.map(ask, range(askers)))
        assert sorted(itertools.chain.from_iterable(granted)) == list(range(blocks))

    def test_receipts_from_many_at_once_count_once(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=100)
        with ThreadPoolExecutor(8) as threads:
            fresh = list(threads.map(lambda n: commit(ledger, "j", list(range(100)), f"w{n}", runs=1), range(16)))
        assert sorted(fresh) == [0] * 15 + [100]
        assert ledger.info("j").blocks_done == 100
        assert ledger.info("j").stats == {"runs": 1}

    def test_of_many_merges_at_once_one_commits(self, ledger: Ledger) -> None:
        new_job(ledger, blocks=0)

        def try_to_merge(n: int) -> bool:
            fence = ledger.begin_merge("j", 0, owner=f"m{n % 2}", lease_s=60)
            return fence is not None and ledger.commit_merge("j", 0, fence=fence, next_blocks=1)

        with ThreadPoolExecutor(8) as threads:
            committed = sum(threads.map(try_to_merge, range(50)))
        info = ledger.info("j")
        assert committed == info.stage <= 1

    def test_a_million_blocks_are_cheap(self, ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
        new_job(ledger, blocks=MILLION)
        took: dict[str, float] = {}

        def timed(name: str, call: Callable[[], Any]) -> Any:
            start = time.perf_counter()
            answer = call()
            took[name] = 1e3 * (time.perf_counter() - start)
            return answer

        timed("unreceipted(1000), no receipts", lambda: ledger.unreceipted("j", 0, limit=1000))
        for first in range(0, MILLION - 2000, 50_000):
            commit(ledger, "j", list(range(first, min(first + 50_000, MILLION - 2000))))
        part = list(range(MILLION - 2000, MILLION - 1900))
        timed("claim 100", lambda: claim(ledger, "j", part))
        timed("renew 100", lambda: ledger.renew("j", 0, owner="a", lease_s=60))
        timed("commit 100", lambda: commit(ledger, "j", part, seconds=1, pixels=1))
        part = list(range(MILLION - 1900, MILLION - 900))
        timed("claim 1000", lambda: claim(ledger, "j", part))
        timed("commit 1000", lambda: commit(ledger, "j", part))
        left = timed("unreceipted(1000), 900 left", lambda: ledger.unreceipted("j", 0, limit=1000))
        timed("info", lambda: ledger.info("j"))
        assert left == list(range(MILLION - 900, MILLION))
        commit(ledger, "j", left)
        assert timed("unreceipted(1000), none left", lambda: ledger.unreceipted("j", 0, limit=1000)) == []
        assert ledger.info("j").merging
        with capsys.disabled():
            figures = ", ".join(f"{name} {ms:.2f} ms" for name, ms in took.items())
            sys.stdout.write(f"\n{type(ledger).__name__}: {figures}\n")

    def test_a_ledger_that_answers_pings(self, ledger: Ledger) -> None:
        ledger.ping()


def assert_takes_no_work(ledger: Ledger, job: str, stage: int) -> None:
    assert claim(ledger, job, [0], stage=stage) == INACTIVE
    assert commit(ledger, job, [0], stage=stage, seconds=1) == 0
    assert not ledger.renew(job, stage, owner="a", lease_s=1)
    ledger.release(job, stage, [0], owner="a", count_attempt=True)
    assert ledger.unreceipted(job, stage, limit=9) == []
    assert ledger.begin_merge(job, stage, owner="m", lease_s=1) is None
    for fence in range(3):
        assert not ledger.renew_merge(job, stage, fence=fence, lease_s=1)
        assert not ledger.commit_merge(job, stage, fence=fence, next_blocks=None)
        assert not ledger.reopen(job, stage, [0], fence=fence)
        ledger.release_merge(job, stage, fence=fence)


def test_a_damaged_manifest_in_memory_names_the_job() -> None:
    ledger = MemoryLedger()
    new_job(ledger)
    ledger._jobs["j"].manifest = "{"
    with pytest.raises(JobError, match="manifest of job 'j' in the ledger is damaged") as caught:
        ledger.manifest("j")
    assert caught.value.job_id == "j"


class TestRedisLedger:
    @pytest.mark.parametrize("text", ["{", "[1]", ""])
    def test_a_damaged_manifest_names_the_job(self, redis_ledger: RedisLedger, text: str) -> None:
        new_job(redis_ledger)
        redis_ledger._redis.set(redis_ledger._key("j", "manifest"), text)
        with pytest.raises(JobError, match="manifest of job 'j' in the ledger is damaged"):
            redis_ledger.manifest("j")

    def test_all_keys_of_a_job_share_its_hash_tag(self, redis_ledger: RedisLedger) -> None:
        new_job(redis_ledger)
        claim(redis_ledger, "j", [0, 1, 2, 3])
        claim(redis_ledger, "j", [3])
        commit(redis_ledger, "j", [0, 1, 2], seconds=1)
        prefix = redis_ledger._prefix
        names = {key.removeprefix(prefix) for key in redis_ledger._redis.scan_iter(f"{_literal(prefix)}*")}
        assert names - {"jobs", "active"} == {
            f"{{j}}:{name}" for name in ("job", "receipts", "leases", "holdings", "attempts", "stats", "manifest")
        }
        redis_ledger.forget("j")
        assert list(redis_ledger._redis.scan_iter(f"{_literal(prefix)}*")) == []

    def test_a_million_receipts_take_a_bit_each(self, redis_ledger: RedisLedger) -> None:
        new_job(redis_ledger, blocks=MILLION)
        commit(redis_ledger, "j", [MILLION - 1])
        claim(redis_ledger, "j", list(range(1000)))
        sizes = {
            name: int(redis_ledger._redis.memory_usage(redis_ledger._key("j", name), samples=0) or 0)
            for name in ("job", "receipts", "leases", "holdings")
        }
        assert sizes["receipts"] < 1.5 * MILLION / 8
        assert sizes["leases"] + sizes["holdings"] < 200 * 1000
        commit(redis_ledger, "j", list(range(1000)))
        assert not redis_ledger._redis.exists(redis_ledger._key("j", "leases"), redis_ledger._key("j", "holdings"))

    def test_a_call_sent_twice_by_a_broken_connection_acts_once(
        self, redis_ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        send = redis_ledger._run

        def send_twice(*call: Any) -> Any:
            send(*call)
            return send(*call)

        monkeypatch.setattr(redis_ledger, "_run", send_twice)
        new_job(redis_ledger, stages=1)
        assert claim(redis_ledger, "j", [0, 1], runs=1).granted == [0, 1]
        commit(redis_ledger, "j", [0, 1, 2, 3], seconds=1)
        assert redis_ledger.info("j").stats == {"seconds": 1}
        assert merge(redis_ledger, "j")
        new_job(redis_ledger, "k")
        assert redis_ledger.cancel("k")

    def test_a_create_that_died_leaves_no_job_behind(self, redis_ledger: RedisLedger) -> None:
        new_job(redis_ledger)
        for index in ("jobs", "active"):
            redis_ledger._redis.zadd(redis_ledger._prefix + index, {"old": 1.0, "just now": time.time()})
        assert redis_ledger.active() == ["j"]
        assert [info.job_id for info in redis_ledger.jobs(limit=1)] == ["j"]
        for index in ("jobs", "active"):
            assert set(redis_ledger._redis.zrange(redis_ledger._prefix + index, 0, -1)) == {"j", "just now"}

    def test_a_job_that_ended_without_leaving_the_index_is_cleaned_up(self, redis_ledger: RedisLedger) -> None:
        new_job(redis_ledger)
        redis_ledger._run("finish", "j", "call", "cancelled", "", -1, -1)
        assert redis_ledger.active() == []
        assert redis_ledger._redis.zcard(redis_ledger._prefix + "active") == 0

    def test_it_survives_the_server_dropping_its_connections(self, redis_ledger: RedisLedger) -> None:
        new_job(redis_ledger)
        with redis.Redis.from_url(
            "redis://127.0.0.1", port=redis_ledger._redis.connection_pool.connection_kwargs["port"]
        ) as other:
            other.client_kill_filter(_type="normal", skipme=True)
        assert redis_ledger.info("j").blocks_total == 4

    def test_it_survives_a_server_that_lost_its_scripts(self, redis_ledger: RedisLedger) -> None:
        new_job(redis_ledger)
        redis_ledger._redis.script_flush()
        assert claim(redis_ledger, "j", [0]).granted == [0]

    def test_it_can_be_used_after_a_fork(self, redis_ledger: RedisLedger) -> None:
        new_job(redis_ledger)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12: a fork beside threads, as Celery's is
            child = get_context("fork").Process(target=claim, args=(redis_ledger, "j", [0], "child"))
            child.start()
        assert claim(redis_ledger, "j", [1], "parent").granted == [1]
        child.join(10)
        assert child.exitcode == 0
        assert claim(redis_ledger, "j", [0, 1, 2], "parent").leased == [0]

    def test_it_is_found_by_its_socket(self, server: LedgerServer) -> None:
        ledger = open_ledger(f"redis+socket://{server.socket}?virtual_host=3", prefix="socket:")
        new_job(ledger)
        same = open_ledger(f"unix://{server.socket}?db=3", prefix="socket:")
        assert same.info("j") == ledger.info("j")
        other = open_ledger(f"redis+socket://{server.socket}?virtual_host=4", prefix="socket:")
        assert other.active() == []


class TestAServerThatDoesNotServe:
    def test_an_unreachable_one_is_named_without_its_password(self) -> None:
        ledger = open_ledger("redis://me:s3cret@127.0.0.1:1/0")
        for call in (ledger.ping, lambda: claim(ledger, "j", [0])):
            with pytest.raises(BrokerUnreachable, match="check that a Redis or Valkey server runs there") as caught:
                call()
            assert "redis://me:***@127.0.0.1:1/0" in str(caught.value)
            assert "s3cret" not in str(caught.value)

    def test_a_wrong_password_is_called_that(self, server: LedgerServer) -> None:
        ledger = open_ledger(f"redis://me:s3cret@127.0.0.1:{server.port}/0")
        with pytest.raises(BrokerUnreachable, match="check the user name and the password") as caught:
            ledger.ping()
        assert "s3cret" not in str(caught.value)

    def test_a_user_who_may_not_ask_the_time_is_told_so(self, server: LedgerServer) -> None:
        with redis.Redis(port=server.port) as admin:
            admin.execute_command("ACL", "SETUSER", "timeless", "on", ">pw", "~*", "+@all", "-time")
        ledger = RedisLedger(f"redis://timeless:pw@127.0.0.1:{server.port}/0")
        ledger.ping()
        for call in (
            lambda: ledger.create("j", {}, lane="l", title="t", stages=1, blocks=1),
            lambda: ledger._run("create", "j", "call", "l", "t", 1, 1, "{}"),
        ):
            with pytest.raises(BrokerUnreachable, match=r"ACL: .*\+time"):
                call()


def _literal(pattern: str) -> str:
    """The text as a pattern of Redis that matches nothing else; parametrized test names hold brackets."""
    return pattern.replace("[", "\\[").replace("]", "\\]")


def test_the_document_has_the_states_and_moves_of_the_contract() -> None:
    document = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
    assert base.__doc__ is not None
    assert base.__doc__.strip() in document
