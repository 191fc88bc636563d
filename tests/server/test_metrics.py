"""Metrics of jobs: what they count, how few series they are, and what happens while the ledger does not answer."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from lepton_celery.grid import Place
from lepton_celery.ledger import FollowingStage, Ledger, open_ledger
from lepton_celery.views.metrics import JobMetrics
from tests.server.ledgers import FIRST, SECOND, claim, new_job, places

STATS = {"blocks": 4, "compute_s": 2.0, "batch_s": 3.5, "read_bytes": 100.0, "write_bytes": 50.0}


class Scraped:
    """The samples of a collector, as Prometheus reads them."""

    def __init__(self, ledger: Ledger, *, read_every_s: float = 0.0) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(JobMetrics(ledger, read_every_s=read_every_s))

    def samples(self) -> dict[tuple[str, ...], float]:
        text = generate_latest(self._registry).decode()
        families = text_string_to_metric_families(text)
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_what_happens_is_counted_once_and_kept(ledger: Ledger) -> None:
    new_job(ledger, "before")
    ledger.commit("before", FIRST, places(0, 1, 2, 3), owner="w", stats=STATS)
    scraped = Scraped(ledger)
    first = scraped.samples()
    assert first["lepton_jobs", "batch", "running"] == 1
    assert first["lepton_blocks_done_total", "batch"] == 0, "it counts what happens from now on"
    new_job(ledger, "j")
    claim(ledger, "j", [0], owner="w")
    ledger.release("j", FIRST, places(0), owner="w", count_attempt=True)
    ledger.commit("j", FIRST, places(0, 1, 2, 3), owner="w", stats=STATS)
    fence = ledger.begin_merge("j", FIRST, owner="w", lease_s=9)
    assert fence is not None
    ledger.commit_merge("j", FIRST, fence=fence, following=FollowingStage(SECOND, 1))
    ledger.fail("j", "it rained")
    for _ in range(2):
        found = scraped.samples()
    assert found["lepton_jobs", "batch", "failed"] == found["lepton_jobs", "batch", "running"] == 1
    assert found["lepton_jobs_ended_total", "batch", "failed"] == 1
    assert found["lepton_blocks_done_total", "batch"] == 4
    assert found["lepton_computing_seconds_total", "batch"] == 2.0
    assert found["lepton_other_work_seconds_total", "batch"] == 1.5
    assert found["lepton_read_bytes_total", "batch"] == 100
    assert found["lepton_written_bytes_total", "batch"] == 50
    assert found["lepton_lost_attempts_total", "batch"] == 1
    assert found["lepton_stage_seconds_count", "batch"] == 1
    assert found["lepton_stage_seconds_bucket", "batch", "+Inf"] == 1
    assert 0 < found["lepton_ledger_ping_seconds",] < 10
    ledger.forget("j")
    found = scraped.samples()
    assert found["lepton_jobs", "batch", "failed"] == 0
    assert found["lepton_blocks_done_total", "batch"] == 4


def test_recoveries_and_repairs_are_counted_by_their_causes(ledger: Ledger) -> None:
    scraped = Scraped(ledger)
    scraped.samples()
    new_job(ledger, "j")
    ledger.dispatch("j", FIRST, count=4)
    claim(ledger, "j", [0], owner="w")
    ledger.release("j", FIRST, places(0), owner="w", count_attempt=True)  # its function failed
    claim(ledger, "j", [1], owner="dead")
    ledger.end_owner("j", FIRST, owner="dead")
    ledger.claim("j", FIRST, places(2), owner="silent", lease_s=0.01, max_attempts=3)
    time.sleep(0.05)
    ledger.reclaim("j", FIRST, limit=9)
    claim(ledger, "j", [3], owner="slow")
    assert ledger.duplicate_slow("j", FIRST, older_s=0, limit=9) == [3]
    assert ledger.unreceipted("j", FIRST, limit=9, below=Place(3)) == [1, 2], "block 0 was released"
    assert ledger.unreceipted("j", FIRST, limit=9) == [0, 1, 2, 3], "somebody only looks"
    found = scraped.samples()
    assert found["lepton_lost_attempts_total", "batch"] == 3
    assert found["lepton_recovered_attempts_total", "batch"] == 2
    repairs = {"silent_worker": 1, "slow_worker": 1, "lost_message": 2}
    assert {kind: found["lepton_repairs_total", kind, "batch"] for kind in repairs} == repairs


def test_there_are_few_series_however_many_jobs_there_are(ledger: Ledger) -> None:
    scraped = Scraped(ledger)
    before = set(scraped.samples())
    for number in range(30):
        new_job(ledger, f"j{number}")
        ledger.commit(f"j{number}", FIRST, places(0), owner="w", stats=STATS | {"other": 1.0})
    assert set(scraped.samples()) == before
    assert len(before) < 120
    assert not any("tenant" in part or "j1" in part for name in before for part in name)


def test_the_ledger_is_read_once_in_a_while(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    scraped, asked = Scraped(ledger, read_every_s=60), []
    monkeypatch.setattr(ledger, "ping", lambda: asked.append(1))
    for _ in range(5):
        scraped.samples()
    assert len(asked) == 1


def test_a_ledger_that_does_not_answer_leaves_them_out() -> None:
    assert Scraped(open_ledger("redis://127.0.0.1:1/0")).samples() == {}
