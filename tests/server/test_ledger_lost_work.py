"""How the ledger finds lost work, and forgets jobs that ended long ago."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lepton_celery.errors import JobNotFound
from lepton_celery.ledger import FollowingStage, JobState, Ledger
from tests.server.ledgers import FIRST, SECOND, claim, commit, ended_jobs, let_pass, merge, new_job, places


def check(ledger: Ledger, job: str = "j", *, quiet_s: float = 0.0, busy_s: float = 1000.0) -> int | None:
    return ledger.begin_check(job, FIRST, quiet_s=quiet_s, busy_s=busy_s)


# ------------------------------------------------------------------------------------------------ checks


def test_a_check_is_for_the_blocks_that_were_sent_before_it(ledger: Ledger) -> None:
    new_job(ledger, blocks=8, dispatched=5)
    assert check(ledger) == 5
    claim(ledger, "j", [0, 1])
    commit(ledger, "j", [0])
    ledger.dispatch("j", FIRST, count=3)
    assert ledger.end_check("j", FIRST)
    assert ledger.unreceipted("j", FIRST, limit=9, below=places(5)[0]) == [2, 3, 4]
    assert ledger.unreceipted("j", FIRST, limit=9) == [2, 3, 4, 5, 6, 7]


def test_a_check_leaves_alone_what_was_released_behind_it(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    claim(ledger, "j", [0, 1, 2])
    ledger.release("j", FIRST, places(0), owner="a", count_attempt=False)
    assert check(ledger) == 4  # block 0 was sent before it
    ledger.release("j", FIRST, places(1), owner="a", count_attempt=False)
    assert ledger.end_check("j", FIRST)
    assert ledger.unreceipted("j", FIRST, limit=9, below=places(4)[0]) == [0, 3]
    assert ledger.unreceipted("j", FIRST, limit=9) == [0, 1, 3]
    assert ledger.begin_check("j", FIRST, quiet_s=0, busy_s=0) == 4  # its message is before the next one, or lost
    assert ledger.unreceipted("j", FIRST, limit=9, below=places(4)[0]) == [0, 1, 3]
    assert client.zcard(f"{prefix}{{j}}:released") == 0  # no more is kept than checks need


def test_of_several_checks_in_a_lane_the_first_one_counts(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    claim(ledger, "j", [1, 2])
    let_pass(client, 11, prefix=prefix)
    assert check(ledger, quiet_s=10) == 4
    ledger.release("j", FIRST, places(1), owner="a", count_attempt=False)
    let_pass(client, 21, prefix=prefix)
    assert check(ledger, quiet_s=10) == 4  # a second one, as the first may be lost
    assert 1 not in ledger.unreceipted("j", FIRST, limit=9, below=places(4)[0])
    ledger.end_check("j", FIRST)
    let_pass(client, 11, prefix=prefix)
    assert check(ledger, quiet_s=10) == 4
    assert 1 in ledger.unreceipted("j", FIRST, limit=9, below=places(4)[0])


def test_one_caller_checks_and_the_next_one_waits(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    let_pass(client, 11, prefix=prefix)
    assert check(ledger, quiet_s=10) == 4
    assert check(ledger, quiet_s=10) is None
    let_pass(client, 21, prefix=prefix)  # it was not taken in time, and may be lost
    assert check(ledger, quiet_s=10) == 4
    let_pass(client, 21, prefix=prefix)
    assert check(ledger, quiet_s=10) is None  # the lane may be long
    ledger.end_check("j", FIRST)
    assert check(ledger, quiet_s=10) == 4


def test_a_busy_job_is_checked_more_rarely(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    assert check(ledger, quiet_s=1000, busy_s=100) is None  # the time begins
    let_pass(client, 60, prefix=prefix)
    assert check(ledger, quiet_s=1000, busy_s=100) is None
    let_pass(client, 60, prefix=prefix)
    assert check(ledger, quiet_s=1000, busy_s=100) == 4


def test_no_check_is_due_while_every_block_that_is_left_is_worked_on(ledger: Ledger) -> None:
    new_job(ledger)
    commit(ledger, "j", [0])
    claim(ledger, "j", [1, 2, 3])
    assert check(ledger) is None
    ledger.release("j", FIRST, places(2), owner="a", count_attempt=False)
    assert check(ledger) == 4


def test_a_merge_is_looked_for_unless_it_is_held(ledger: Ledger) -> None:
    new_job(ledger)
    commit(ledger, "j", [0, 1, 2, 3])
    fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    assert fence is not None
    assert check(ledger) is None
    ledger.release_merge("j", FIRST, fence=fence)
    assert check(ledger) == 4


def test_a_stage_is_checked_whatever_happened_in_the_one_before(ledger: Ledger) -> None:
    new_job(ledger)
    assert check(ledger) == 4
    commit(ledger, "j", [0, 1, 2, 3])
    merge(ledger, "j", following=FollowingStage(SECOND, 2))
    assert ledger.begin_check("j", FIRST, quiet_s=0, busy_s=0) is None
    assert ledger.begin_check("j", SECOND, quiet_s=0, busy_s=0) == 0
    assert not ledger.end_check("j", FIRST)


def test_blocks_that_wait_for_their_next_try_are_not_looked_for(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    ledger.postpone_checks("j", FIRST, for_s=30)
    assert check(ledger) is None
    client.hset(f"{prefix}{{j}}:job", "retry_at", time.time() + 10**6)  # the server's clock was set back
    assert check(ledger) == 4


def test_a_dispatch_count_that_cannot_be_costs_no_time(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    for count in (10**12, "inf", "1e300", -5):
        client.hset(f"{prefix}{{j}}:job", "dispatched", count)
        began = time.monotonic()
        assert ledger.unreceipted("j", FIRST, limit=9) == ([0, 1, 2, 3] if count != -5 else [])
        assert time.monotonic() - began < 30  # counting so far would take hours


# ------------------------------------------------------------------------------------------------ forgetting


def test_ended_jobs_are_taken_once_and_again_later(ledger: Ledger, client: Any, prefix: str) -> None:
    jobs = ended_jobs(ledger)
    assert ledger.take_ended(before_s=1000, count=9, again_s=60) == []
    assert ledger.take_ended(before_s=0, count=2, again_s=60) == jobs[:2]
    assert ledger.take_ended(before_s=0, count=9, again_s=60) == jobs[2:]
    assert ledger.take_ended(before_s=0, count=9, again_s=60) == []
    for job in jobs:
        client.zincrby(f"{prefix}ended", -61, job)
    assert sorted(ledger.take_ended(before_s=0, count=9, again_s=60)) == sorted(jobs)


def test_only_what_has_ended_is_forgotten(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, "running")
    new_job(ledger, "paused")
    ledger.pause("paused")
    new_job(ledger, "resumed")
    ledger.fail("resumed", "because")
    ledger.resume("resumed")
    for job in ("running", "paused", "resumed"):
        before = ledger.info(job)
        assert not ledger.expire(job, older_s=0)
        assert not ledger.forget_ended(job)
        assert ledger.info(job) == before
    jobs = ended_jobs(ledger)
    assert not ledger.forget_ended("failed")  # it may be resumed
    for job in jobs:
        assert ledger.expire(job, older_s=1000) == (job == "cancelled")
        assert ledger.expire(job, older_s=0)
        assert not ledger.resume(job)
        assert ledger.info(job).state in (JobState.DONE, JobState.CANCELLED)
        assert ledger.forget_ended(job)
        with pytest.raises(JobNotFound):
            ledger.info(job)
        assert list(client.scan_iter(match=f"{prefix}{{{job}}}*")) == []
    assert ledger.take_ended(before_s=-10, count=9, again_s=1) == []


def test_an_entry_of_the_index_without_a_job_goes_too(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    ledger.cancel("j")
    client.delete(f"{prefix}{{j}}:job")  # as a process leaves it that dies while it forgets the job
    assert ledger.expire("j", older_s=1000)
    assert ledger.forget_ended("j")
    assert ledger.take_ended(before_s=-10, count=9, again_s=1) == []


def test_a_late_note_of_an_end_does_not_hide_a_job_that_was_resumed(ledger: Ledger) -> None:
    """A worker is frozen between the end of a job and the note of it in the index; the job is resumed meanwhile."""
    new_job(ledger)
    ledger._run("finish", "j", "failed", "because", FIRST, -1, "call")
    assert ledger.resume("j")
    ledger._index.end("j")
    assert ledger.active() == ["j"]
    assert ledger.take_ended(before_s=-10, count=9, again_s=1) == []


def test_a_running_job_that_the_index_lost_is_listed_again(ledger: Ledger, client: Any, prefix: str) -> None:
    for job in ("running", "other"):
        new_job(ledger, job)
    jobs = ended_jobs(ledger)
    client.zrem(f"{prefix}active", "running", *jobs)
    ledger.relist(["running", *jobs])
    assert sorted(ledger.active()) == ["other", "running"]
