"""Nobody has more open jobs than the settings allow, however many are submitted at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

import lepton_celery as lepton
from lepton_celery.config import Settings
from lepton_celery.errors import QueueFull
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.ledger.index import GRACE_S
from tests.server.ledgers import FIRST, commit
from tests.server.server import Server

COUNTS = "lepton:{open}:counts"


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    url = f"redis://127.0.0.1:{server.port}/6"
    with redis.Redis.from_url(url) as broker:
        broker.flushdb()
        yield url
        broker.flushdb()


@pytest.fixture
def ledger(url: str) -> Ledger:
    return open_ledger(url)


@pytest.fixture
def broker(url: str) -> Iterator[Any]:
    with redis.Redis.from_url(url, decode_responses=True) as broker:
        yield broker


class Submitter:
    """Submits jobs with distinct outputs."""

    def __init__(self, url: str, folder: Path, **limits: Any) -> None:
        self.app = lepton.create_app(Settings(broker_url=url, **limits))
        self._folder = folder
        self._source = folder / "input.npy"
        np.save(self._source, np.zeros((9, 9), np.uint8))

    def __call__(self, name: object, **options: Any) -> lepton.Job:
        return lepton.submit({str(self._folder / f"{name}.npy"): ~lepton.open(self._source)}, app=self.app, **options)


def at_once(submit: Submitter, count: int, **options: Any) -> list[lepton.Job]:
    """Submit as many jobs at the same time; those that were taken."""

    def one(number: int) -> lepton.Job | None:
        try:
            return submit(number, **options)
        except QueueFull:
            return None

    with ThreadPoolExecutor(count) as pool:
        return [job for job in pool.map(one, range(count)) if job is not None]


def test_twenty_requests_at_once_do_not_exceed_the_limit_of_their_owner(url: str, broker: Any, tmp_path: Path) -> None:
    submit = Submitter(url, tmp_path, max_open_jobs_of_owner=5)
    jobs = at_once(submit, 20, owner="ada")
    assert len(jobs) == 5
    assert broker.hgetall(COUNTS) == {"tenant default ": "5", "owner ada": "5"}
    with pytest.raises(
        QueueFull, match=r"owner 'ada' has 5 open jobs, and max_open_jobs_of_owner is 5: .* LEPTON_MAX_OPEN_"
    ):
        submit("more", owner="ada", priority="batch")  # in all lanes together
    submit("other", owner="bob")
    submit("none")
    jobs[0].cancel()
    submit("more", owner="ada")
    for job in (*jobs, *(lepton.Job(info.job_id, open_ledger(url)) for info in open_ledger(url).jobs())):
        job.cancel()
    assert broker.hgetall(COUNTS) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input.npy"]


def test_nor_that_of_their_tenant_in_the_lane(url: str, broker: Any, tmp_path: Path) -> None:
    submit = Submitter(url, tmp_path, max_open_jobs=4)
    assert len(at_once(submit, 20, tenant="lab")) == 4
    with pytest.raises(QueueFull, match=r"tenant 'lab' has 4 open jobs in the lane 'default', and max_open_jobs is 4"):
        submit("more", tenant="lab")
    submit("more", tenant="lab", priority="interactive").reprioritize("batch")
    assert broker.hgetall(COUNTS) == {"tenant default lab": "4", "tenant batch lab": "1"}


def test_paused_jobs_count_and_so_do_resumed_ones(url: str, ledger: Ledger, broker: Any, tmp_path: Path) -> None:
    submit = Submitter(url, tmp_path, max_open_jobs=1)
    job = submit("o")
    job.pause()
    with pytest.raises(QueueFull, match="there are 1 open jobs"):
        submit("p")
    ledger.fail(job.id, "a bright pixel")
    assert broker.hgetall(COUNTS) == {}
    lepton.resume(job.id, app=submit.app)
    assert broker.hgetall(COUNTS) == {"tenant default ": "1"}


def test_a_job_that_is_done_counts_no_more(url: str, ledger: Ledger, broker: Any, tmp_path: Path) -> None:
    job = Submitter(url, tmp_path)("o")
    commit(ledger, job.id, [0])
    fence = ledger.begin_merge(job.id, FIRST, owner="a", lease_s=9.0)
    assert fence is not None
    assert ledger.commit_merge(job.id, FIRST, fence=fence, following=None)
    assert broker.hgetall(COUNTS) == {}


def test_a_submitter_that_dies_holds_a_place_for_an_hour_at_most(ledger: Ledger, broker: Any) -> None:
    assert ledger.admit("j", {"owner ada": 1}) is None
    assert ledger.admit("k", {"owner ada": 1}) == ("owner ada", 1)
    broker.zincrby("lepton:active", -GRACE_S - 1, "j")
    broker.zincrby("lepton:jobs", -GRACE_S - 1, "j")
    ledger.active()
    assert broker.hgetall(COUNTS) == {}


def test_damage_of_the_counts_stops_nobody(url: str, broker: Any, tmp_path: Path) -> None:
    submit = Submitter(url, tmp_path, max_open_jobs=2)
    for key, name in ((COUNTS, "a"), ("lepton:{open}:jobs", "b")):
        broker.delete(key)
        broker.set(key, "no hash")
        submit(name).cancel()
    job = submit("c")
    broker.hset("lepton:{open}:jobs", job.id, "no JSON")
    broker.hset(COUNTS, "tenant default ", "no number")
    job.cancel()
    submit("d")
