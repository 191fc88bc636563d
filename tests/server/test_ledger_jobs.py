"""Jobs in the ledger: created, listed, ended and forgotten, with their statistics and times."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lepton_celery.errors import BrokerUnreachable, InputError, JobError, JobNotFound
from lepton_celery.grid import Place
from lepton_celery.ledger import FollowingStage, JobState, Ledger, open_ledger
from lepton_celery.ledger.info import Attributes, Description
from tests.server.ledgers import (
    FIRST,
    SECOND,
    assert_takes_no_work,
    claim,
    commit,
    ended_jobs,
    let_pass,
    merge,
    new_job,
    places,
)


def test_a_new_job_runs_in_stage_zero(ledger: Ledger) -> None:
    before = time.time()
    about = Description("Zellen ü", "Ada Ü. <ada@example.org>")
    ledger.create(
        "j", {"graph": {"ö": [1, 2.5, None]}}, lane="fast", description=about, stages=[1.0, 1.0, 1.0], blocks=5
    )
    info = ledger.info("j")
    assert (info.job_id, info.state, info.lane, info.title) == ("j", JobState.RUNNING, "fast", "Zellen ü")
    assert info.owner == "Ada Ü. <ada@example.org>"
    assert (info.stage, info.stages, info.blocks_done, info.blocks_total, info.dispatched) == (0, 3, 0, 5, 0)
    assert (info.merging, info.finished_at, info.error, info.error_stage, info.error_place) == (
        (False, None, "", -1, -1)
    )
    assert (info.stats, info.stage_stats) == ({}, {})
    assert before - 1 < info.created_at == info.updated_at < time.time() + 1
    assert ledger.manifest("j") == {"graph": {"ö": [1, 2.5, None]}}
    assert ledger.result("j") is None


def test_a_job_begins_with_its_rank_its_tenant_and_its_notice(ledger: Ledger) -> None:
    given = Attributes(rank=7, tenant="ada", notifies=True)
    ledger.create("j", {}, lane="l", description=Description("t"), attributes=given, stages=[1.0], blocks=1)
    ledger.create("plain", {}, lane="l", description=Description("t"), stages=[1.0], blocks=1)
    info, plain = ledger.info("j"), ledger.info("plain")
    assert (info.rank, info.tenant, info.trace) == (7, "ada", "")
    assert (plain.rank, plain.tenant, plain.trace) == (0, "", "")
    assert ledger.cancel("j") and ledger.cancel("plain")
    notice = ledger.notice("j")
    assert notice is not None and notice.state == "cancelled"
    assert ledger.notice("plain") is None


def test_a_job_id_cannot_be_created_twice(ledger: Ledger) -> None:
    new_job(ledger)
    with pytest.raises(JobError, match="'j' exists already") as caught:
        ledger.create("j", {"other": 1}, lane="x", description=Description("x"), stages=[1.0] * 9, blocks=9)
    assert caught.value.job_id == "j"
    assert ledger.manifest("j") == {"graph": [1, 2]}
    assert ledger.info("j").stages == 2


def test_invalid_arguments_are_refused_and_change_nothing(ledger: Ledger) -> None:
    for job, stages, blocks in (("", 1, 1), ("j", 0, 1), ("j", 1, -1), ("j", 1, 2**32 + 1)):
        with pytest.raises(InputError):
            ledger.create(job, {}, lane="l", description=Description("t"), stages=[1.0] * stages, blocks=blocks)
    assert ledger.jobs() == []
    new_job(ledger)
    before = ledger.info("j")
    for call in (
        lambda: claim(ledger, "j", [-1]),
        lambda: claim(ledger, "j", [0, 4]),
        lambda: claim(ledger, "j", [0], lease_s=0),
        lambda: claim(ledger, "j", [0], runs=0),
        lambda: commit(ledger, "j", [0, 4]),
        lambda: ledger.jobs(limit=-1),
    ):
        with pytest.raises(InputError):
            call()
    assert ledger.info("j") == before
    assert claim(ledger, "j", [0], "other").granted == [0]


def test_an_unknown_job_is_not_found_by_readers(ledger: Ledger) -> None:
    for read in (ledger.manifest, ledger.info, ledger.result):
        with pytest.raises(JobNotFound, match="'nope'") as caught:
            read("nope")
        assert caught.value.job_id == "nope"


def test_moves_on_an_unknown_job_are_refused_without_an_error(ledger: Ledger) -> None:
    assert_takes_no_work(ledger, "nope", number=FIRST)
    assert ledger.dispatch("nope", FIRST, count=5) == (0, 0)
    assert not ledger.fail("nope", "x")
    assert not ledger.cancel("nope")
    ledger.forget("nope")
    assert ledger.jobs() == []


def test_jobs_are_listed_newest_first(ledger: Ledger) -> None:
    for n in range(5):
        new_job(ledger, f"j{n}")
    assert [info.job_id for info in ledger.jobs()] == ["j4", "j3", "j2", "j1", "j0"]
    assert [info.job_id for info in ledger.jobs(limit=2)] == ["j4", "j3"]
    assert ledger.jobs(limit=0) == []
    assert ledger.jobs()[0] == ledger.info("j4")


def test_only_running_jobs_are_active(ledger: Ledger) -> None:
    assert ledger.active() == []
    ended_jobs(ledger)
    new_job(ledger, "late")
    new_job(ledger, "later")
    assert ledger.active() == ["late", "later"]


def test_a_forgotten_job_is_gone(ledger: Ledger) -> None:
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


def test_statistics_are_summed_over_first_receipts(ledger: Ledger) -> None:
    new_job(ledger)
    commit(ledger, "j", [0, 1], seconds=0.5, pixels=1e12)
    commit(ledger, "j", [0, 1], seconds=100)
    commit(ledger, "j", [1, 2, 3], seconds=0.25)
    assert merge(ledger, "j", following=FollowingStage(SECOND, 1))
    ledger.commit("j", SECOND, places(0), owner="a", stats={"two words": 1e-7, "seconds": 1})
    info = ledger.info("j")
    assert info.stats == pytest.approx({"seconds": 1.75, "pixels": 1e12, "two words": 1e-7})
    assert info.stage_stats == {
        0: pytest.approx({"seconds": 0.75, "pixels": 1e12}),
        1: pytest.approx({"two words": 1e-7, "seconds": 1}),
    }


def test_a_reopened_block_adds_no_statistics_again(ledger: Ledger) -> None:
    new_job(ledger)
    commit(ledger, "j", [0, 1, 2, 3], seconds=1)
    fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    assert fence is not None
    assert ledger.reopen("j", FIRST, places(1, 2), fence=fence)
    assert commit(ledger, "j", [1, 2], seconds=7) == 2
    assert ledger.info("j").stats == {"seconds": 1}


def test_a_job_records_when_each_stage_began_was_received_and_ended(ledger: Ledger) -> None:
    new_job(ledger)
    assert set(ledger.info("j").stage_times) == {0}
    commit(ledger, "j", [0, 1, 2])
    assert ledger.info("j").stage_times[FIRST].received is None
    commit(ledger, "j", [3])
    assert merge(ledger, "j", following=FollowingStage(SECOND, 1))
    first, second = ledger.info("j").stage_times.values()
    assert first.began is not None and first.received is not None and first.ended is not None
    assert first.began <= first.received <= first.ended == second.began
    assert ledger.fill("j", SECOND, Place(0), reason="hopeless")
    assert merge(ledger, "j", number=SECOND)
    info = ledger.info("j")
    assert info.stage_times[SECOND].ended == info.finished_at


def test_a_job_that_is_created_paused_begins_when_it_is_resumed(ledger: Ledger) -> None:
    ledger.create(
        "j", {}, lane="l", description=Description("t"), attributes=Attributes(is_paused=True), stages=[1.0], blocks=1
    )
    assert ledger.info("j").stage_times == {}
    assert ledger.resume("j")
    assert ledger.info("j").stage_times[FIRST].began is not None


def test_cost_models_are_kept_by_profile(ledger: Ledger) -> None:
    assert ledger.costs("fast") is None
    ledger.keep_costs("fast", {"speed": 1.5})
    ledger.keep_costs("slow", {"speed": 3.0})
    ledger.keep_costs("fast", {"speed": 1.25})
    assert (ledger.costs("fast"), ledger.costs("slow")) == ({"speed": 1.25}, {"speed": 3.0})
    ledger.keep_costs("slow", None)
    assert ledger.costs("slow") is None
    assert ledger.jobs() == []


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_the_end_of_a_job_wakes_those_who_wait_for_it(ledger: Ledger, end: str) -> None:
    new_job(ledger, blocks=0)
    moves: dict[str, Callable[[Ledger, str], bool]] = {
        "done": merge,
        "failed": lambda at, job: at.fail(job, ""),
        "cancelled": lambda at, job: at.cancel(job),
    }
    begun = time.monotonic()
    with ledger.end_signal("j") as wait, ThreadPoolExecutor(1) as pool:
        wait(0.01)
        pool.submit(moves[end], ledger, "j")
        while ledger.info("j").state is JobState.RUNNING:
            wait(200.0)  # far longer than the move takes
    assert ledger.info("j").state == end
    assert time.monotonic() - begun < 150.0


def test_a_failed_job_keeps_its_first_error(ledger: Ledger) -> None:
    new_job(ledger)
    commit(ledger, "j", [0])
    assert ledger.fail("j", "block 3: disk full", number=FIRST, place=Place(3))
    assert not ledger.fail("j", "another", number=SECOND, place=Place(1))
    assert not ledger.cancel("j")
    info = ledger.info("j")
    assert (info.state, info.error, info.error_stage, info.error_place) == (
        (JobState.FAILED, "block 3: disk full", 0, 3)
    )
    assert info.finished_at == info.updated_at
    assert info.blocks_done == 1


def test_a_cancelled_job_has_no_error(ledger: Ledger) -> None:
    new_job(ledger)
    assert ledger.cancel("j")
    assert not ledger.cancel("j")
    assert not ledger.fail("j", "late")
    info = ledger.info("j")
    assert (info.state, info.error, info.error_stage) == (JobState.CANCELLED, "", -1)
    assert info.finished_at is not None


def test_a_cancelled_job_leaves_no_receipts(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, blocks=9)
    claim(ledger, "j", [0, 1, 2, 3])
    commit(ledger, "j", [0, 1], seconds=1)
    ledger.release("j", FIRST, [Place(2)], owner="a", count_attempt=True, reason="bad pixel")
    assert ledger.cancel("j")
    left = {f"{prefix}{{j}}:{name}" for name in ("job", "manifest", "stats")}
    assert set(client.scan_iter(f"{prefix}{{j}}:*")) == left
    assert_takes_no_work(ledger, "j", number=FIRST)  # what arrives late leaves nothing either
    assert set(client.scan_iter(f"{prefix}{{j}}:*")) == left
    ledger.forget("j")
    assert set(client.scan_iter(f"{prefix}*j*")) <= {prefix + "jobs"}


def test_an_ended_job_takes_no_work(ledger: Ledger) -> None:
    for job in ended_jobs(ledger):
        before = ledger.info(job)
        assert_takes_no_work(ledger, job, number=FIRST)
        assert ledger.dispatch(job, FIRST, count=9) == (4, 4)
        assert ledger.info(job) == before
        assert ledger.result(job) is None


def test_every_move_advances_updated_at(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, dispatched=0)
    fence = 0

    def begin() -> None:
        nonlocal fence
        fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60) or 0

    for move in (
        lambda: ledger.dispatch("j", FIRST, count=4),
        lambda: claim(ledger, "j", [0]),
        lambda: commit(ledger, "j", [0, 1, 2, 3]),
        begin,
        lambda: ledger.commit_merge("j", FIRST, fence=fence, following=FollowingStage(SECOND, 1)),
        lambda: ledger.cancel("j"),
    ):
        let_pass(client, 1, prefix=prefix)
        before = ledger.info("j")
        move()
        assert ledger.info("j").updated_at > before.updated_at


def test_the_ledger_answers_pings(ledger: Ledger) -> None:
    ledger.ping()
    with pytest.raises(BrokerUnreachable):
        open_ledger("redis://127.0.0.1:1/0").ping()


def test_the_spans_of_a_job_are_exported_once_each_time_that_it_ends(ledger: Ledger) -> None:
    traced = Attributes(trace="00-1-2-01 key=value")
    ledger.create("j", {}, lane="l", description=Description("t"), attributes=traced, stages=[1.0], blocks=1)
    assert ledger.info("j").trace == "00-1-2-01 key=value"
    assert not ledger.take_trace("j"), "it runs"
    for run in range(3):
        assert ledger.info("j").resumed == run
        assert ledger.fail("j", "no reason")
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(ledger.take_trace, ["j"] * 8)) == 1
        before = ledger.info("j").finished_at
        assert before is not None and ledger.resume("j")
        resumed = ledger.info("j").resumed_at
        assert resumed is not None and resumed >= before
    assert ledger.pause("j") and ledger.resume("j")
    assert ledger.info("j").resumed == 3, "a pause is no failure"
    ledger.forget("j")
    assert not ledger.take_trace("j") and ledger.jobs() == []
