"""Merges in the ledger: fences, following stages, and reopened blocks."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lepton_celery.errors import InputError
from lepton_celery.grid import Place
from lepton_celery.ledger import Claim, FollowingStage, JobState, Ledger
from tests.server.ledgers import (
    FIRST,
    INACTIVE,
    SECOND,
    assert_takes_no_work,
    claim,
    commit,
    let_pass,
    merge,
    new_job,
    places,
)


def test_a_merge_waits_for_every_receipt(ledger: Ledger) -> None:
    new_job(ledger)
    commit(ledger, "j", [0, 1, 2])
    assert ledger.begin_merge("j", FIRST, owner="m", lease_s=60) is None
    assert not ledger.info("j").merging
    commit(ledger, "j", [3])
    assert ledger.info("j").merging
    assert ledger.begin_merge("j", SECOND, owner="m", lease_s=60) is None
    assert ledger.begin_merge("j", FIRST, owner="m", lease_s=60) is not None


def test_a_merging_stage_grants_nothing(ledger: Ledger) -> None:
    new_job(ledger)
    commit(ledger, "j", [0, 1, 2, 3])
    assert claim(ledger, "j", [0]) == INACTIVE
    assert ledger.renew("j", FIRST, owner="a", lease_s=1)


def test_a_stage_without_blocks_goes_straight_to_its_merge(ledger: Ledger) -> None:
    new_job(ledger, blocks=0)
    assert ledger.info("j").merging
    assert claim(ledger, "j", []) == INACTIVE
    assert ledger.dispatch("j", FIRST, count=1) == (0, 0)
    assert merge(ledger, "j", following=FollowingStage(SECOND, 0))
    assert merge(ledger, "j", number=SECOND)
    assert ledger.info("j").state is JobState.DONE


def test_fences_grow_over_the_whole_job(ledger: Ledger) -> None:
    new_job(ledger, blocks=0)
    fences = [ledger.begin_merge("j", FIRST, owner="m", lease_s=60) for _ in range(3)]
    assert ledger.commit_merge("j", FIRST, fence=fences[-1] or 0, following=FollowingStage(SECOND, 0))
    fences.append(ledger.begin_merge("j", SECOND, owner="other", lease_s=60))
    assert None not in fences
    assert all(a < b for a, b in itertools.pairwise(map(int, filter(None, fences))))


def test_one_owner_merges_at_a_time(ledger: Ledger) -> None:
    new_job(ledger, blocks=0)
    first = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    assert first is not None
    assert ledger.begin_merge("j", FIRST, owner="n", lease_s=60) is None
    ledger.release_merge("j", FIRST, fence=first + 1)
    assert ledger.begin_merge("j", FIRST, owner="n", lease_s=60) is None
    ledger.release_merge("j", FIRST, fence=first)
    assert not ledger.commit_merge("j", FIRST, fence=first, following=None)
    assert ledger.begin_merge("j", FIRST, owner="n", lease_s=60) is not None


def test_a_merge_lease_expires_unless_it_is_renewed(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, blocks=0)
    assert ledger.begin_merge("j", FIRST, owner="m", lease_s=60) is not None
    let_pass(client, 50, prefix=prefix)
    assert ledger.renew("j", FIRST, owner="m", lease_s=60)
    let_pass(client, 50, prefix=prefix)
    assert ledger.begin_merge("j", FIRST, owner="n", lease_s=60) is None
    let_pass(client, 11, prefix=prefix)
    assert ledger.begin_merge("j", FIRST, owner="n", lease_s=60) is not None
    assert ledger.renew("j", FIRST, owner="m", lease_s=1)  # does not renew the merge, which "n" holds
    let_pass(client, 10, prefix=prefix)
    assert ledger.begin_merge("j", FIRST, owner="o", lease_s=60) is None


def test_a_merge_whose_lease_expired_commits_if_no_other_merge_began(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, blocks=0)
    fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    let_pass(client, 61, prefix=prefix)
    assert ledger.commit_merge("j", FIRST, fence=fence or 0, following=None)


def test_a_stale_fence_changes_nothing(ledger: Ledger) -> None:
    new_job(ledger)
    commit(ledger, "j", [0, 1, 2, 3])
    stale = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    current = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    assert stale is not None
    assert current is not None
    before = ledger.info("j")
    for fence in (stale, current + 1, 0, -1):
        assert not ledger.commit_merge("j", FIRST, fence=fence, following=FollowingStage(SECOND, 3))
        assert not ledger.commit_merge("j", FIRST, fence=fence, following=None, result={"x": 1})
        assert not ledger.reopen("j", FIRST, places(0), fence=fence)
        ledger.release_merge("j", FIRST, fence=fence)
        assert ledger.info("j") == before
    assert not ledger.commit_merge("j", SECOND, fence=current, following=None)
    assert ledger.info("j") == before
    assert ledger.commit_merge("j", FIRST, fence=current, following=FollowingStage(SECOND, 3))


def test_a_committed_merge_opens_the_next_stage_once(ledger: Ledger) -> None:
    new_job(ledger)
    claim(ledger, "j", [0, 1, 2, 3])
    commit(ledger, "j", [0, 1, 2, 3])
    fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    assert fence is not None
    assert ledger.commit_merge("j", FIRST, fence=fence, following=FollowingStage(SECOND, 7))
    assert not ledger.commit_merge("j", FIRST, fence=fence, following=FollowingStage(SECOND, 9))
    info = ledger.info("j")
    assert (info.stage, info.blocks_total, info.blocks_done, info.dispatched) == (1, 7, 0, 0)
    assert not info.merging
    assert_takes_no_work(ledger, "j", number=FIRST)
    assert claim(ledger, "j", [0, 6], number=SECOND) == Claim([Place(0), Place(6)], [], [], [], active=True)


def test_the_last_merge_ends_the_job_with_its_result(ledger: Ledger) -> None:
    new_job(ledger, stages=1)
    commit(ledger, "j", [0, 1, 2, 3])
    fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    assert fence is not None
    assert ledger.commit_merge("j", FIRST, fence=fence, following=None, result={"threshold": 0.25})
    assert not ledger.commit_merge("j", FIRST, fence=fence, following=None, result={"threshold": 9})
    info = ledger.info("j")
    assert (info.state, info.blocks_done, info.blocks_total, info.merging) == (JobState.DONE, 4, 4, False)
    assert info.finished_at == info.updated_at
    assert ledger.result("j") == {"threshold": 0.25}
    assert not ledger.fail("j", "too late")
    assert not ledger.cancel("j")


def test_an_invalid_following_stage_is_refused(ledger: Ledger) -> None:
    new_job(ledger, stages=1, blocks=0)
    fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60) or 0
    with pytest.raises(InputError, match="-1 blocks"):
        ledger.commit_merge("j", FIRST, fence=fence, following=FollowingStage(SECOND, -1))
    assert ledger.commit_merge("j", FIRST, fence=fence, following=None)


def test_a_merge_can_reopen_blocks_that_it_misses(ledger: Ledger) -> None:
    new_job(ledger)
    commit(ledger, "j", [0, 1, 2, 3])
    fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    assert fence is not None
    with pytest.raises(InputError, match="place 4"):
        ledger.reopen("j", FIRST, places(4), fence=fence)
    assert ledger.reopen("j", FIRST, places(1, 3, 1), fence=fence)
    info = ledger.info("j")
    assert (info.blocks_done, info.merging) == (2, False)
    assert ledger.unreceipted("j", FIRST, limit=9) == [1, 3]
    assert not ledger.commit_merge("j", FIRST, fence=fence, following=None)
    assert ledger.begin_merge("j", FIRST, owner="n", lease_s=60) is None
    assert claim(ledger, "j", [0, 1, 3], "b") == Claim([Place(1), Place(3)], [], [Place(0)], [], active=True)
    assert commit(ledger, "j", [1, 3], "b") == 2
    assert (ledger.begin_merge("j", FIRST, owner="n", lease_s=60) or 0) > fence


def test_a_filled_block_that_is_reopened_and_filled_again_counts_once(ledger: Ledger) -> None:
    new_job(ledger, blocks=1)
    assert ledger.fill("j", FIRST, Place(0), reason="because")
    fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    assert fence is not None and ledger.reopen("j", FIRST, places(0), fence=fence)
    assert ledger.fill("j", FIRST, Place(0), reason="again")
    assert ledger.info("j").filled == len(ledger.filled_blocks("j")) == 1


def test_one_of_many_concurrent_merges_commits(ledger: Ledger) -> None:
    new_job(ledger, blocks=0)

    def try_to_merge(n: int) -> bool:
        fence = ledger.begin_merge("j", FIRST, owner=f"m{n % 2}", lease_s=60)
        return fence is not None and ledger.commit_merge("j", FIRST, fence=fence, following=FollowingStage(SECOND, 1))

    with ThreadPoolExecutor(8) as threads:
        committed = sum(threads.map(try_to_merge, range(50)))
    info = ledger.info("j")
    assert committed == info.stage <= 1
