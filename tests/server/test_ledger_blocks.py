"""Blocks in the ledger: dispatched, claimed, leased, lost, received and filled."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lepton_celery.errors import InputError
from lepton_celery.grid import Place
from lepton_celery.ledger import Claim, FollowingStage, Ledger
from lepton_celery.ledger.heartbeat import heartbeat
from lepton_celery.ledger.info import Losses
from tests.server.ledgers import (
    FIRST,
    MILLION,
    SECOND,
    claim,
    commit,
    let_notes_pass,
    let_pass,
    merge,
    new_job,
    places,
)


def test_a_place_outside_the_stage_is_refused_by_name(ledger: Ledger) -> None:
    new_job(ledger, blocks=4)
    with pytest.raises(InputError, match="place 7 of job 'j': stage number 0 has 4 blocks"):
        claim(ledger, "j", [1, 7])


def test_dispatch_is_bounded_by_count_and_the_stage(ledger: Ledger) -> None:
    new_job(ledger, blocks=10, dispatched=0)
    assert ledger.dispatch("j", FIRST, count=3) == (0, 3)
    assert ledger.dispatch("j", FIRST, count=4) == (3, 7)
    assert ledger.info("j").dispatched == 7
    assert ledger.dispatch("j", FIRST, count=9) == (7, 10)
    assert ledger.dispatch("j", FIRST, count=9) == (10, 10)
    assert ledger.dispatch("j", SECOND, count=9) == (10, 10)


def test_concurrent_dispatches_never_give_the_same_block(ledger: Ledger) -> None:
    new_job(ledger, blocks=200, dispatched=0)
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: ledger.dispatch("j", FIRST, count=3), range(80)))
    assert sorted(itertools.chain.from_iterable(range(*part) for part in taken)) == list(range(200))


def test_a_claim_sorts_places_into_granted_leased_and_done(ledger: Ledger) -> None:
    new_job(ledger, blocks=6)
    assert claim(ledger, "j", [3, 1]) == Claim(places(3, 1), [], [], [], active=True)
    commit(ledger, "j", [1])
    assert claim(ledger, "j", [5, 3, 1, 0, 5], "b") == Claim(places(5, 0), places(3), places(1), [], active=True)


def test_blocks_that_were_never_dispatched_can_be_claimed(ledger: Ledger) -> None:
    new_job(ledger, dispatched=0)
    assert claim(ledger, "j", [2]).granted == [2]
    assert commit(ledger, "j", [2]) == 1


def test_an_expired_lease_is_granted_to_another_owner(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    claim(ledger, "j", [0], "a", lease_s=60)
    let_pass(client, 30, prefix=prefix)
    assert claim(ledger, "j", [0], "b").leased == [0]
    let_pass(client, 31, prefix=prefix)
    assert claim(ledger, "j", [0], "b").granted == [0]
    assert claim(ledger, "j", [0], "a").leased == [0]


def test_a_block_whose_leases_expire_is_exhausted_after_max_attempts(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    for run in range(3):
        assert claim(ledger, "j", [0], f"w{run}").granted == [0]
        let_pass(client, 61, prefix=prefix)
    assert claim(ledger, "j", [0], "w3").exhausted == [0]
    assert claim(ledger, "j", [0], "w4").exhausted == [0]
    assert ledger.unreceipted("j", FIRST, limit=9) == [0, 1, 2, 3]


def test_an_owner_that_claims_its_block_again_loses_an_attempt(ledger: Ledger) -> None:
    new_job(ledger)
    assert [claim(ledger, "j", [0], runs=3).granted for _ in range(4)] == [[0], [0], [0], []]
    assert claim(ledger, "j", [0], runs=3).exhausted == [0]
    assert claim(ledger, "j", [0], runs=4).granted == [0]


def test_a_release_counts_an_attempt_only_when_asked(ledger: Ledger) -> None:
    new_job(ledger)
    for _ in range(5):
        assert claim(ledger, "j", [0], runs=2).granted == [0]
        ledger.release("j", FIRST, places(0), owner="a", count_attempt=False)
    for _ in range(2):
        assert claim(ledger, "j", [0], "b", runs=2).granted == [0]
        ledger.release("j", FIRST, places(0, 1), owner="b", count_attempt=True)
    assert claim(ledger, "j", [0, 1], runs=2) == Claim(places(1), [], [], places(0), active=True)


def test_only_the_owner_can_release(ledger: Ledger) -> None:
    new_job(ledger)
    claim(ledger, "j", [0], "a")
    ledger.release("j", FIRST, places(0), owner="b", count_attempt=True)
    ledger.release("j", SECOND, places(0), owner="a", count_attempt=True)
    assert claim(ledger, "j", [0], "b").leased == [0]
    assert claim(ledger, "j", [0], "a", runs=2).granted == [0]


def test_a_receipt_forgets_lost_attempts(ledger: Ledger) -> None:
    new_job(ledger, blocks=1)
    claim(ledger, "j", [0], runs=2)
    claim(ledger, "j", [0], runs=2)
    commit(ledger, "j", [0])
    fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    assert fence is not None
    assert ledger.reopen("j", FIRST, places(0), fence=fence)
    assert [claim(ledger, "j", [0], runs=2).granted for _ in range(3)] == [[0], [0], []]


def test_renewing_keeps_leases_alive(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    claim(ledger, "j", [0], "a", lease_s=60)
    claim(ledger, "j", [1], "a", lease_s=60)
    claim(ledger, "j", [2], "b", lease_s=60)
    let_pass(client, 30, prefix=prefix)
    assert ledger.renew("j", FIRST, owner="a", lease_s=60)
    let_pass(client, 31, prefix=prefix)
    assert claim(ledger, "j", [2], "c").granted == [2]
    assert claim(ledger, "j", [0, 1], "c").leased == [0, 1]
    assert ledger.renew("j", FIRST, owner="holds nothing", lease_s=60)


def test_renewing_leaves_leases_alone_that_another_owner_took_over(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    claim(ledger, "j", [0, 1], "a", lease_s=60)
    let_pass(client, 61, prefix=prefix)
    assert claim(ledger, "j", [0], "b", lease_s=60).granted == [0]
    assert ledger.renew("j", FIRST, owner="a", lease_s=600)
    let_pass(client, 61, prefix=prefix)
    assert claim(ledger, "j", [0], "c").granted == [0]
    assert claim(ledger, "j", [1], "c").leased == [1]


def test_renewing_is_refused_outside_the_current_stage_of_a_running_job(ledger: Ledger) -> None:
    new_job(ledger)
    assert not ledger.renew("j", SECOND, owner="a", lease_s=60)
    commit(ledger, "j", [0, 1, 2, 3])
    assert merge(ledger, "j", following=FollowingStage(SECOND, 1))
    assert not ledger.renew("j", FIRST, owner="a", lease_s=60)
    assert ledger.renew("j", SECOND, owner="a", lease_s=60)
    ledger.cancel("j")
    assert not ledger.renew("j", SECOND, owner="a", lease_s=60)


def test_a_receipt_counts_once(ledger: Ledger) -> None:
    new_job(ledger)
    claim(ledger, "j", [0, 1])
    assert commit(ledger, "j", [0, 0, 1]) == 2
    assert commit(ledger, "j", [1, 2]) == 1
    assert commit(ledger, "j", [0, 1, 2], "b") == 0
    assert commit(ledger, "j", []) == 0
    assert ledger.info("j").blocks_done == 3


def test_a_late_receipt_counts_although_another_owner_has_the_lease(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    claim(ledger, "j", [0], "a", lease_s=60)
    let_pass(client, 61, prefix=prefix)
    assert claim(ledger, "j", [0], "b").granted == [0]
    assert commit(ledger, "j", [0], "a") == 1
    assert commit(ledger, "j", [0], "b") == 0
    assert claim(ledger, "j", [0], "c").done == [0]


def test_unreceipted_lists_dispatched_blocks_without_a_live_lease(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, blocks=40, dispatched=30)
    assert ledger.unreceipted("j", FIRST, limit=100) == list(range(30))
    commit(ledger, "j", list(range(20)))
    claim(ledger, "j", [21, 35], lease_s=600)
    claim(ledger, "j", [22], "b", lease_s=60)
    assert ledger.unreceipted("j", FIRST, limit=3) == [20, 23, 24]
    let_pass(client, 61, prefix=prefix)
    assert ledger.unreceipted("j", FIRST, limit=3) == [20, 22, 23]
    assert ledger.unreceipted("j", FIRST, limit=100) == [20, *range(22, 30)]
    assert ledger.unreceipted("j", FIRST, limit=0) == ledger.unreceipted("j", SECOND, limit=9) == []
    ledger.release("j", FIRST, places(21), owner="a", count_attempt=False)
    assert ledger.unreceipted("j", FIRST, limit=2) == [20, 21]


def test_unreceipted_finds_gaps_far_apart(ledger: Ledger) -> None:
    blocks = 100_003
    gaps = [0, 7, 8, 32_767, 32_768, 65_535, 99_999, 100_002]
    new_job(ledger, blocks=blocks)
    commit(ledger, "j", sorted(set(range(blocks)) - set(gaps)))
    assert ledger.unreceipted("j", FIRST, limit=100) == gaps
    assert ledger.unreceipted("j", FIRST, limit=3) == gaps[:3]


def test_a_slow_block_is_duplicated_once(ledger: Ledger) -> None:
    new_job(ledger, blocks=3)
    assert claim(ledger, "j", [0, 1], "slow").granted == [0, 1]
    assert ledger.duplicate_slow("j", FIRST, older_s=1000, limit=9) == []
    assert ledger.duplicate_slow("j", FIRST, older_s=0, limit=1) == [0]
    assert ledger.duplicate_slow("j", FIRST, older_s=0, limit=9) == [1]
    again = claim(ledger, "j", [0, 1], "quick")
    assert (again.granted, again.lost) == ([0, 1], {})  # no attempt is lost
    assert ledger.duplicate_slow("j", FIRST, older_s=0, limit=9) == []
    # both owners commit, and only the first receipt of a block counts
    assert commit(ledger, "j", [0], "slow") == 1
    assert commit(ledger, "j", [0, 1], "quick") == 1
    assert ledger.info("j").blocks_done == 2


def test_concurrent_claims_grant_each_block_once(ledger: Ledger) -> None:
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


def test_concurrent_receipts_count_once(ledger: Ledger) -> None:
    new_job(ledger, blocks=100)
    with ThreadPoolExecutor(8) as threads:
        fresh = list(threads.map(lambda n: commit(ledger, "j", list(range(100)), f"w{n}", runs=1), range(16)))
    assert sorted(fresh) == [0] * 15 + [100]
    assert ledger.info("j").blocks_done == 100
    assert ledger.info("j").stats == {"runs": 1}


def test_a_million_blocks_are_cheap(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    new_job(ledger, blocks=MILLION)
    took: dict[str, float] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        answer = call()
        took[name] = 1e3 * (time.perf_counter() - start)
        return answer

    timed("unreceipted(1000), no receipts", lambda: ledger.unreceipted("j", FIRST, limit=1000))
    for first in range(0, MILLION - 2000, 50_000):
        commit(ledger, "j", list(range(first, min(first + 50_000, MILLION - 2000))))
    part = list(range(MILLION - 2000, MILLION - 1900))
    timed("claim 100", lambda: claim(ledger, "j", part))
    timed("renew 100", lambda: ledger.renew("j", FIRST, owner="a", lease_s=60))
    timed("commit 100", lambda: commit(ledger, "j", part, seconds=1, pixels=1))
    part = list(range(MILLION - 1900, MILLION - 900))
    timed("claim 1000", lambda: claim(ledger, "j", part))
    timed("commit 1000", lambda: commit(ledger, "j", part))
    left = timed("unreceipted(1000), 900 left", lambda: ledger.unreceipted("j", FIRST, limit=1000))
    timed("info", lambda: ledger.info("j"))
    assert left == list(range(MILLION - 900, MILLION))
    commit(ledger, "j", left)
    assert timed("unreceipted(1000), none left", lambda: ledger.unreceipted("j", FIRST, limit=1000)) == []
    assert ledger.info("j").merging
    with capsys.disabled():
        figures = ", ".join(f"{name} {ms:.2f} ms" for name, ms in took.items())
        sys.stdout.write(f"\n{type(ledger).__name__}: {figures}\n")


def test_a_heartbeat_keeps_a_lease_beyond_its_duration(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, blocks=2)
    claim(ledger, "j", [0], "a", lease_s=60)
    claim(ledger, "j", [1], "not renewed", lease_s=60)
    renewed = threading.Event()

    def renew() -> bool:
        is_held = ledger.renew("j", FIRST, owner="a", lease_s=600)
        renewed.set()
        return is_held

    with heartbeat(renew, interval_s=0.02) as lost:
        assert renewed.wait(180)
        let_pass(client, 61, prefix=prefix)
        assert claim(ledger, "j", [1], "b").granted == [1]
        assert claim(ledger, "j", [0], "b").leased == [0]
        ledger.cancel("j")
        assert lost.wait(180)


def test_a_clock_set_back_by_an_hour_lengthens_no_lease(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, blocks=4)
    claim(ledger, "j", [0], owner="a", lease_s=60)
    claim(ledger, "j", [1], owner="b", lease_s=600)
    let_pass(client, -3600, prefix=prefix)
    assert ledger.reclaim("j", FIRST, limit=9).lost == []  # it lasts for as long as it was given
    assert claim(ledger, "j", [0], owner="c").leased == places(0)
    assert abs(ledger.info("j").updated_at - ledger.clock()) < 60
    let_pass(client, 61, prefix=prefix)
    assert ledger.reclaim("j", FIRST, limit=9).lost == places(0)
    assert claim(ledger, "j", [1], owner="c").leased == places(1)


def test_a_clock_set_back_by_an_hour_lengthens_no_merge(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, blocks=1)
    commit(ledger, "j", [0])
    assert ledger.begin_merge("j", FIRST, owner="a", lease_s=60) == 1
    let_pass(client, -3600, prefix=prefix)
    assert ledger.begin_merge("j", FIRST, owner="b", lease_s=60) is None
    let_pass(client, 61, prefix=prefix)
    assert ledger.begin_merge("j", FIRST, owner="b", lease_s=60) == 2


def test_a_clock_set_back_by_an_hour_lengthens_no_note_of_a_worker(ledger: Ledger, client: Any, prefix: str) -> None:
    ledger.serve("dead", ["batch"], slots=1, for_s=60)
    let_notes_pass(client, -3600, prefix=prefix)
    assert ledger.is_served("batch")
    let_notes_pass(client, 61, prefix=prefix)
    assert not ledger.is_served("batch")
    ledger.serve("alive", ["default"], slots=1, for_s=60)
    assert ledger.is_served("default")
    assert not ledger.is_served("batch")
    assert abs(client.zscore(f"{prefix}lanes", "@clock") - ledger.clock()) < 2
    ledger.serve("alive", ["default"], slots=1, for_s=0)
    assert not ledger.is_served("default")


def test_blocks_that_end_a_process_that_does_nothing_else_are_counted_until_they_are_received(ledger: Ledger) -> None:
    new_job(ledger, blocks=6)
    claim(ledger, "j", [0, 1, 2], owner="batch")
    assert ledger.end_owner("j", FIRST, owner="batch") == Losses(places(0, 1, 2), killers=0, done=0)
    for place in (0, 1):
        granted = claim(ledger, "j", [place], owner=f"alone {place}", runs=9)
        assert granted.lost == {Place(place): 1}
        assert ledger.end_owner("j", FIRST, owner=f"alone {place}") == Losses(places(place), killers=place + 1, done=0)
    commit(ledger, "j", [0, 5])
    assert ledger.end_owner("j", FIRST, owner="nobody") == Losses([], killers=1, done=2)
    claim(ledger, "j", [3, 4], owner="slow", runs=9)
    commit(ledger, "j", [4], owner="slow")
    assert ledger.end_owner("j", FIRST, owner="slow") == Losses(places(3), killers=2, done=3)  # it was at this block
    assert ledger.end_owner("j", SECOND, owner="slow") == Losses([], killers=0, done=0)
    assert ledger.fail("j", "because")
    assert ledger.end_owner("j", FIRST, owner="slow") == Losses([], killers=0, done=0)


def test_blocks_that_end_whole_workers_are_counted_the_second_time(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, blocks=6)
    claim(ledger, "j", [0], owner="a 1", lease_s=60)
    claim(ledger, "j", [1], owner="a 2", lease_s=60)
    claim(ledger, "j", [2, 3], owner="a 3", lease_s=60)
    let_pass(client, 61, prefix=prefix)
    assert ledger.reclaim("j", FIRST, limit=9) == Losses(
        places(0, 1, 2, 3), killers=0, done=0
    )  # it may have been stopped
    claim(ledger, "j", [0], owner="b 1", lease_s=60, runs=9)
    claim(ledger, "j", [2, 3], owner="b 2", lease_s=60, runs=9)
    commit(ledger, "j", [1], owner="b 3")
    let_pass(client, 61, prefix=prefix)
    assert ledger.reclaim("j", FIRST, limit=9) == Losses(places(0, 2, 3), killers=1, done=1)
    assert ledger.reclaim("j", FIRST, limit=9) == Losses([], killers=1, done=1)
    commit(ledger, "j", [0], owner="c")  # it was innocent
    assert ledger.end_owner("j", FIRST, owner="nobody").killers == 0
