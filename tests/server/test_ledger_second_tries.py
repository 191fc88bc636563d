"""Filled blocks are done after all, exactly as long as nothing has used them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from lepton_celery.grid import Place
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.info import Filling, FollowingStage
from tests.server.ledgers import FIRST, SECOND, claim, commit, merge, new_job, places


def exhaust(ledger: Ledger, place: int) -> None:
    """Lose all three attempts at a block, and fill it."""
    for _ in range(3):
        claim(ledger, "j", [place])
        ledger.release("j", FIRST, places(place), owner="a", count_attempt=True, reason="poison")
    assert claim(ledger, "j", [place]).exhausted == places(place)
    assert ledger.fill("j", FIRST, Place(place), reason="poison") is Filling.FILLED


def test_filled_blocks_are_done_after_all_with_all_their_attempts(ledger: Ledger) -> None:
    new_job(ledger)
    exhaust(ledger, 2)
    commit(ledger, "j", [0])
    assert ledger.retry_filled("j") == (places(2), "")
    info = ledger.info("j")
    assert (info.blocks_done, info.filled, ledger.filled_blocks("j"), ledger.open_blocks("j").reasons) == (1, 0, [], {})
    assert ledger.unreceipted("j", FIRST, limit=9) == [1, 2, 3]
    for _ in range(3):
        assert claim(ledger, "j", [2]).granted == places(2)
        ledger.release("j", FIRST, places(2), owner="a", count_attempt=True)
    assert claim(ledger, "j", [2]).exhausted == places(2)
    assert ledger.retry_filled("j") == ([], "none")


def test_a_late_receipt_of_a_block_that_is_tried_again_counts_once(ledger: Ledger) -> None:
    new_job(ledger)
    exhaust(ledger, 2)
    ledger.retry_filled("j")
    assert claim(ledger, "j", [2], "b").granted == places(2)
    assert commit(ledger, "j", [2], "a") == 1  # who was thought dead: the pixels are the same
    assert commit(ledger, "j", [2], "b") == 0
    assert ledger.info("j").blocks_done == 1


def test_a_late_fill_over_a_done_block_has_it_done_again(ledger: Ledger) -> None:
    new_job(ledger)
    exhaust(ledger, 2)
    assert ledger.fill("j", FIRST, Place(2), reason="another worker's, with the same pixels") is Filling.KNOWN
    ledger.retry_filled("j")
    commit(ledger, "j", [0, 1, 2, 3], batches=1.0)
    assert ledger.fill("j", FIRST, Place(2), reason="late") is Filling.SPOILT
    assert ledger.unreceipted("j", FIRST, limit=9) == [2]
    assert ledger.begin_merge("j", FIRST, owner="m", lease_s=60) is None
    commit(ledger, "j", [2], batches=1.0)
    assert ledger.info("j").stats == {"batches": 1.0}
    assert ledger.begin_merge("j", FIRST, owner="m", lease_s=60) is not None
    assert ledger.fill("j", FIRST, Place(2), reason="too late") is Filling.TOO_LATE
    assert ledger.info("j").blocks_done == 4


def test_nothing_that_was_used_is_tried_again(ledger: Ledger) -> None:
    new_job(ledger)
    commit(ledger, "j", [0, 1, 3])
    exhaust(ledger, 2)
    fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    assert fence is not None
    assert ledger.retry_filled("j") == ([], "merging")
    ledger.release_merge("j", FIRST, fence=fence)
    ledger.pause("j")
    ledger.resume("j")  # a merge that was overtaken may go on
    assert ledger.info("j").blocks_done == 3
    ledger.fill("j", FIRST, Place(2), reason="again")
    assert ledger.retry_filled("j") == ([], "merging")
    assert merge(ledger, "j", following=FollowingStage(SECOND, 4))
    assert ledger.retry_filled("j") == ([], "none")
    assert ledger.fill("j", SECOND, Place(1), reason="poison") is Filling.FILLED
    assert ledger.retry_filled("j") == (places(1), "")
    assert [(one.stage, one.place) for one in ledger.filled_blocks("j")] == [(FIRST, 2)]


def test_a_stage_is_closed_or_its_blocks_are_tried_again_but_not_both(ledger: Ledger) -> None:
    for number in range(40):
        job = new_job(ledger, f"race-{number}")
        commit(ledger, job, [0, 1, 2])
        ledger.fill(job, FIRST, Place(3), reason="poison")
        with ThreadPoolExecutor(2) as threads:
            fence = threads.submit(ledger.begin_merge, job, FIRST, owner="m", lease_s=60)
            again = threads.submit(ledger.retry_filled, job)
            assert (fence.result() is None) == (again.result() == (places(3), "")), (fence.result(), again.result())
        ledger.forget(job)


def test_one_job_at_a_time_does_a_job_again(ledger: Ledger) -> None:
    assert ledger.note_successor("j", "new", instead_of="") == ""
    new_job(ledger)
    with ThreadPoolExecutor(8) as threads:
        noted = list(threads.map(lambda n: ledger.note_successor("j", f"new{n}", instead_of=""), range(20)))
    assert len(set(noted)) == 1
    assert ledger.info("j").retried_as == noted[0]
    assert ledger.note_successor("j", "newer", instead_of=noted[0]) == "newer"
    assert ledger.note_successor("j", "newest", instead_of=noted[0]) == "newer"
