"""What a sweep sends, and that the damage of one job is its own."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from celery import Celery

from lepton_celery import create_app
from lepton_celery.config import Settings
from lepton_celery.engines.celery.worker.sweeper import Sweeper
from lepton_celery.errors import BrokerUnreachable
from lepton_celery.grid import Place
from lepton_celery.ledger import JobState, Ledger, open_ledger
from lepton_celery.priority import Priority
from tests.faults.damage import DAMAGES, damage
from tests.server.ledgers import FIRST, claim, commit, let_pass, new_job
from tests.server.server import Server

LANE = "lepton.batch"
"""The lane of the jobs here."""
CONTROL = "lepton.control"


@dataclass
class Swept:
    """A server on which this test alone sweeps."""

    app: Celery
    ledger: Ledger
    broker: Any
    settings: Settings

    def sweeper(self) -> Sweeper:
        return Sweeper(self.app, self.ledger, self.settings)

    def sent(self, lane: str = LANE) -> list[tuple[str, list[Any]]]:
        """The messages that wait in a lane, in the order in which workers take them: the task and its arguments."""
        messages = [json.loads(text) for text in reversed(self.broker.lrange(lane, 0, -1))]
        return [(message["headers"]["task"], json.loads(message["body"])[0]) for message in messages]


@pytest.fixture
def swept(server: Server) -> Iterator[Swept]:
    url = f"redis://127.0.0.1:{server.port}/9"
    settings = Settings(broker_url=url, sweep_s=10.0, lease_s=60.0, retention_s=1000.0)
    with redis.Redis.from_url(url, decode_responses=True) as broker:
        broker.flushdb()
        yield Swept(create_app(settings), open_ledger(url), broker, settings)
        broker.flushdb()


def test_jobs_are_forgotten_also_after_the_clock_was_set_back(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    sweeper = swept.sweeper()
    real = swept.ledger.clock
    monkeypatch.setattr(swept.ledger, "clock", lambda: real() + 3600)
    sweeper.sweep()
    monkeypatch.setattr(swept.ledger, "clock", real)
    new_job(swept.ledger)
    swept.ledger.cancel("j")
    swept.broker.zadd("lepton:ended", {"j": real() - 2000})
    monotonic = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 100)  # the time when it looks for such jobs again
    sweeper.sweep()
    assert ("lepton.tidy", ["j"]) in swept.sent(CONTROL)


# ------------------------------------------------------------------------------------------------ what is sent


def test_blocks_of_expired_leases_are_sent_before_all_that_waits(swept: Swept) -> None:
    new_job(swept.ledger)
    claim(swept.ledger, "j", [1, 2], lease_s=10)
    swept.broker.lpush(LANE, json.dumps({"headers": {"task": "waits"}, "body": "[[]]"}))
    let_pass(swept.broker, 11)
    swept.sweeper().sweep()
    sent = swept.sent()
    assert sorted(sent[:2]) == [("lepton.process", ["j", 0, "1"]), ("lepton.process", ["j", 0, "2"])]
    assert sent[2] == ("waits", [])


def test_a_merge_that_nobody_holds_is_sent_before_all_that_waits(swept: Swept) -> None:
    new_job(swept.ledger)
    commit(swept.ledger, "j", [0, 1, 2, 3])
    swept.broker.lpush(LANE, json.dumps({"headers": {"task": "waits"}, "body": "[[]]"}))
    let_pass(swept.broker, 11)
    swept.broker.lpush(CONTROL, json.dumps({"headers": {"task": "waits"}, "body": "[[]]"}))
    sweeper = swept.sweeper()
    for _ in range(3):
        sweeper.sweep()
    assert swept.sent(CONTROL) == [("lepton.close", ["j", 0]), ("waits", [])]
    assert swept.sent() == [("waits", [])]


def test_a_merge_of_an_interactive_job_stays_in_its_lane(swept: Swept) -> None:
    new_job(swept.ledger)
    swept.ledger.prioritize("j", Priority("interactive"))
    commit(swept.ledger, "j", [0, 1, 2, 3])
    let_pass(swept.broker, 11)
    sweeper = swept.sweeper()
    for _ in range(3):
        sweeper.sweep()
    assert swept.sent("lepton.interactive") == [("lepton.close", ["j", 0])]
    assert swept.sent(CONTROL) == []


def test_a_job_whose_messages_may_be_lost_is_checked_behind_all_that_waits(swept: Swept) -> None:
    new_job(swept.ledger)
    swept.broker.lpush(LANE, json.dumps({"headers": {"task": "waits"}, "body": "[[]]"}))
    let_pass(swept.broker, 11)
    for sweeper in [swept.sweeper() for _ in range(5)]:
        sweeper.sweep()
    assert swept.sent() == [("waits", []), ("lepton.close", ["j", 0, 4])]  # one check, however many sweepers there are


def test_ended_jobs_are_forgotten_by_one_message_for_many(swept: Swept) -> None:
    names = [f"j{number}" for number in range(150)]
    for name in names:
        new_job(swept.ledger, name)
        swept.ledger.cancel(name)
    for name in swept.broker.zrange("lepton:ended", 0, -1):
        swept.broker.zadd("lepton:ended", {name: time.time() - 2000})
    for sweeper in [swept.sweeper() for _ in range(3)]:
        sweeper.sweep()
    sent = swept.sent(CONTROL)
    assert [task for task, _ in sent] == ["lepton.tidy"] * 5
    assert sorted(job_id for _, (text,) in sent for job_id in text.split(",")) == sorted(names)


@pytest.mark.parametrize(
    ("served", "queue"),
    [
        (["lepton.interactive", "lepton.default"], CONTROL),
        (["lepton.interactive"], "lepton.interactive"),
        ([CONTROL], CONTROL),
    ],
)
def test_jobs_are_forgotten_through_a_queue_that_this_worker_serves(
    swept: Swept, served: list[str], queue: str
) -> None:
    swept.app.amqp.queues.select(served)
    new_job(swept.ledger)
    swept.ledger.cancel("j")
    swept.broker.zadd("lepton:ended", {"j": 1})
    swept.sweeper().sweep()
    assert swept.sent(queue) == [("lepton.tidy", ["j"])]


# ------------------------------------------------------------------------------------------------ damage


def test_a_damaged_job_holds_up_no_other(swept: Swept, caplog: pytest.LogCaptureFixture) -> None:
    for number, kind in enumerate(DAMAGES):
        new_job(swept.ledger, f"damaged{number}")
        damage(swept.broker, f"damaged{number}", kind)
    new_job(swept.ledger, "honest")  # the youngest
    claim(swept.ledger, "honest", [3], lease_s=10)
    let_pass(swept.broker, 11, job="honest")
    sweeper = swept.sweeper()
    with caplog.at_level(logging.WARNING):
        sweeper.sweep()  # one sweep reaches all of them
        assert ("lepton.process", ["honest", 0, "3"]) in swept.sent()
        for _ in range(9):
            let_pass(swept.broker, 11, job="honest")
            sweeper.sweep()
    assert ("lepton.close", ["honest", 0, 4]) in swept.sent()
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == len(set(told))  # once for each job and reason
    assert any("its lane is 'motorway'" in text for text in told)
    lanes = {name for name in swept.broker.keys("lepton.*") if swept.broker.type(name) == "list"}
    assert lanes == {LANE}
    assert len(swept.sent()) < 3 * len(DAMAGES)


def test_a_sweep_goes_on_where_the_last_one_had_no_time(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        new_job(swept.ledger, name)
        claim(swept.ledger, name, [0], lease_s=10)
        let_pass(swept.broker, 10.5, job=name)  # its lease is over, and no check is due
    info, clock = swept.ledger.info, time.monotonic
    seconds = iter(range(6, 1000, 6))  # more than half of the time between two sweeps for each job

    def slow(job_id: str) -> Any:
        passed = next(seconds)
        monkeypatch.setattr(time, "monotonic", lambda: clock() + passed)
        return info(job_id)

    monkeypatch.setattr(swept.ledger, "info", slow)
    sweeper = swept.sweeper()
    sweeper.sweep()
    assert {arguments[0] for _, arguments in swept.sent()} == {"a"}
    sweeper.sweep()
    sweeper.sweep()
    assert {arguments[0] for _, arguments in swept.sent()} == {"a", "b", "c"}


def test_a_broker_that_does_not_answer_ends_the_sweep_for_all_jobs(
    swept: Swept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Trying it for each job would hold up the worker for many times the timeout."""
    tried = []

    def unreachable(job_id: str, *_: Any, **__: Any) -> list[Place]:
        tried.append(job_id)
        raise BrokerUnreachable("nobody answers")

    for name in "abc":
        new_job(swept.ledger, name)
    monkeypatch.setattr(swept.ledger, "reclaim", unreachable)
    swept.sweeper().sweep()
    assert tried == ["a"]
    assert "sweep postponed: nobody answers" in caplog.text


def test_a_full_server_is_no_damage_of_a_job(swept: Swept, caplog: pytest.LogCaptureFixture) -> None:
    new_job(swept.ledger)
    let_pass(swept.broker, 11)
    before = swept.broker.config_get("maxmemory")["maxmemory"]
    swept.broker.config_set("maxmemory", 1)
    try:
        swept.sweeper().sweep()
    finally:
        swept.broker.config_set("maxmemory", before)
    assert "sweep postponed" in caplog.text
    assert swept.ledger.info("j").state is JobState.RUNNING
    assert FIRST == 0
