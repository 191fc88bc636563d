"""What the ledger tells the policy of the autoscaler: outstanding blocks, who works on them, and how long they wait."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lepton_celery import __version__
from lepton_celery.errors import InputError
from lepton_celery.fleet.load import LaneLoad
from lepton_celery.fleet.observe import kept_for_the_first, observe, of_another_release
from lepton_celery.ledger import FollowingStage, Ledger
from lepton_celery.ledger.lanes import ServingWorker
from lepton_celery.ledger.loads import SAMPLE
from tests.server.ledgers import FIRST, SECOND, claim, commit, let_pass, new_job

BATCH = {"batch": 60.0}


def enter(ledger: Ledger, job: str, block_s: float, *, sent: int = 0) -> None:
    ledger.turns.enter("batch", job, tenant="", rank=0, waits=True, sent=sent, block_s=block_s)


def batch(ledger: Ledger) -> LaneLoad:
    [load] = observe(ledger, BATCH).lanes
    return load


def test_an_empty_ledger_has_no_work_and_no_slots(ledger: Ledger) -> None:
    seen = observe(ledger)
    assert [load.lane for load in seen.lanes] == ["interactive", "default", "batch"]
    assert all(load.blocks == load.work_s == load.busy_slots == load.oldest_s == 0 for load in seen.lanes)
    assert seen.ready == 0
    assert abs(seen.at - ledger.clock()) < 60


def test_blocks_count_until_they_have_a_receipt(ledger: Ledger) -> None:
    job = new_job(ledger, blocks=40, dispatched=10)
    enter(ledger, job, 0.5, sent=10)
    load = batch(ledger)
    assert (load.blocks, load.batches, load.busy_slots) == (40, 20, 0)
    assert load.work_s == pytest.approx(20)
    assert 0 < load.oldest_s < 60
    claim(ledger, job, [0, 1], "a")
    claim(ledger, job, [2, 3], "b")
    load = batch(ledger)
    assert (load.blocks, load.batches, load.busy_slots) == (40, 20, 2)
    commit(ledger, job, [0, 1], "a")
    load = batch(ledger)
    assert (load.blocks, load.batches, load.busy_slots) == (38, 19, 1)
    assert 18 < load.work_s <= 19


def test_of_running_batches_the_rest_counts(ledger: Ledger, client: Any, prefix: str) -> None:
    job = new_job(ledger, blocks=4)
    enter(ledger, job, 10.0)
    claim(ledger, job, [0], lease_s=100)
    let_pass(client, 4, prefix=prefix)
    assert batch(ledger).work_s == pytest.approx(36, abs=0.5)
    let_pass(client, 90, prefix=prefix)  # it takes longer than was predicted
    assert batch(ledger).work_s == pytest.approx(30)


def test_a_lease_that_has_ended_occupies_no_slot(ledger: Ledger, client: Any, prefix: str) -> None:
    job = new_job(ledger)
    enter(ledger, job, 1.0)
    claim(ledger, job, [0, 1], lease_s=5)
    assert batch(ledger).busy_slots == 1
    let_pass(client, 6, prefix=prefix)
    assert batch(ledger).busy_slots == 0
    ledger.reclaim(job, FIRST, limit=9)
    load = batch(ledger)
    assert (load.blocks, load.busy_slots) == (4, 0)


def test_a_merge_that_waits_needs_a_slot_and_a_running_one_has_it(ledger: Ledger) -> None:
    job = new_job(ledger)
    enter(ledger, job, 1.0)
    claim(ledger, job, [0, 1, 2, 3])
    commit(ledger, job, [0, 1, 2, 3])
    load = batch(ledger)
    assert (load.blocks, load.batches, load.busy_slots) == (0, 1, 0)
    assert load.work_s > 0
    fence = ledger.begin_merge(job, FIRST, owner="m", lease_s=60)
    load = batch(ledger)
    assert (load.blocks, load.busy_slots, load.work_s) == (0, 1, 0)
    assert fence is not None
    assert ledger.commit_merge(job, FIRST, fence=fence, following=FollowingStage(SECOND, 7))
    assert batch(ledger).blocks == 7


def test_a_paused_job_waits_for_nothing_and_an_ended_one_has_gone(ledger: Ledger) -> None:
    job = new_job(ledger)
    enter(ledger, job, 1.0)
    claim(ledger, job, [0])
    assert ledger.pause(job)
    load = batch(ledger)
    assert (load.blocks, load.busy_slots, load.oldest_s) == (1, 1, 0)
    assert ledger.cancel(job)
    assert batch(ledger) == LaneLoad("batch", 60.0)


def test_of_jobs_that_share_a_lane_each_does_as_much_as_the_oldest_before_that_is_done(
    ledger: Ledger, client: Any, prefix: str
) -> None:
    for name, blocks in (("old", 5), ("large", 100), ("small", 2)):
        enter(ledger, new_job(ledger, name, blocks=blocks), 1.0)
    client.hset(f"{prefix}{{old}}:stats", "0 @began", f"{ledger.clock() - 30:.6f}")
    load = batch(ledger)
    assert load.oldest_s == pytest.approx(30, abs=2)
    assert load.work_s == pytest.approx(107)
    assert load.oldest_work_s == pytest.approx(5 + 5 + 2)


def test_slots_are_those_of_the_workers_that_serve_the_lanes(ledger: Ledger) -> None:
    ledger.serve("one@host", ["interactive", "batch"], slots=3, for_s=60)
    ledger.serve("two@host", ["interactive"], slots=2, for_s=60)
    assert observe(ledger).ready == 5
    assert observe(ledger, BATCH).ready == 3
    ledger.serve("one@host", ["interactive", "batch"], slots=5, for_s=90)  # its pool has grown
    assert observe(ledger).ready == 7
    ledger.serve("two@host", ["interactive"], slots=2, for_s=0)
    assert observe(ledger).ready == 5


def test_a_worker_that_has_changed_is_known_as_it_is_now(ledger: Ledger, client: Any, prefix: str) -> None:
    ledger.serve("one two@host", ["batch"], slots=1, for_s=90, limits=(1, 4), release="0.1 beta")
    ledger.serve("one two@host", ["batch"], slots=3, for_s=60, limits=(1, 4), release="0.1 beta")
    assert ledger.workers() == {"one two@host": ServingWorker(3, ("batch",), 1, 4, "0.1beta")}
    ledger.serve("two@host", ["batch"], slots=2, for_s=60)
    ledger.serve("one two@host", ["batch"], slots=1, for_s=0, limits=(1, 4), release="0.1 beta")
    assert ledger.workers() == {"two@host": ServingWorker(2, ("batch",), 2, 2)}
    client.zadd(f"{prefix}lanes", {"junk": 9e9, "batch x 1 1 - odd@host": 9e9, "batch 1 1": 9e9})
    assert list(ledger.workers()) == ["two@host"]


def test_workers_of_another_release_do_not_count_and_are_told_of(ledger: Ledger) -> None:
    ledger.serve("own@host", ["interactive"], slots=1, for_s=60, release=__version__)
    ledger.serve("old@host", ["batch", "interactive"], slots=4, for_s=60, release="0.0.9")
    assert observe(ledger).ready == 1
    assert kept_for_the_first(ledger.workers(), ["interactive", "batch"]) == 1
    [told] = of_another_release(ledger.workers(), ["batch"])
    assert told.startswith(f"old@host runs release 0.0.9 and not {__version__}")
    assert of_another_release(ledger.workers(), ["default"]) == []


def test_damage_is_no_work(ledger: Ledger, client: Any, prefix: str) -> None:
    job = new_job(ledger)
    enter(ledger, job, 1.0)
    client.set(f"{prefix}{{broken}}:job", "no hash")
    client.zadd(f"{prefix}active", {"broken": 1, "gone": 2})
    client.hset(f"{prefix}{{lane batch}}:jobs", "odd", "no entry")
    assert batch(ledger).blocks == 4


@pytest.mark.parametrize("targets", [{"urgent": 1.0}, {}, {"batch": 0.0}, {"batch": float("inf")}])
def test_targets_are_checked(ledger: Ledger, targets: dict[str, float]) -> None:
    with pytest.raises(InputError, match="give"):
        observe(ledger, targets)


def test_many_jobs_are_judged_by_a_sample(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, blocks=4)
    entry = client.hgetall(f"{prefix}{{j}}:job")
    jobs = [f"job-{number}" for number in range(10_000)]
    pipeline = client.pipeline(transaction=False)
    for number, job in enumerate(jobs):
        pipeline.hset(f"{prefix}{{{job}}}:job", mapping=entry)
        pipeline.zadd(f"{prefix}active", {job: number})
        pipeline.hset(f"{prefix}{{lane batch}}:jobs", job, "1 0 0.5 0.0 0 ")
    pipeline.execute()
    began = time.process_time()
    load = batch(ledger)
    assert time.process_time() - began < 1
    assert load.blocks == pytest.approx(40_000, rel=0.02)
    assert load.work_s == pytest.approx(20_000, rel=0.02)
    assert len(ledger.loads.read(["batch"])["batch"].jobs) <= SAMPLE
