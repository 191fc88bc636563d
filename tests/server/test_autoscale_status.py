"""`lepton autoscale status` and what is printed meanwhile: with and without an autoscaler, and with damaged entries."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from lepton_celery.cli import lepton as lepton_command
from lepton_celery.cli.autoscale_fleet import _Changes
from lepton_celery.fleet.policy import Decision, PolicyState
from lepton_celery.fleet.telling import Telling
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.decisions import KEPT
from lepton_celery.local.fleet import Step
from tests.server.server import Server


def status(server: Server, *arguments: str) -> str:
    done = CliRunner(env={"LEPTON_BROKER_URL": server.url}).invoke(lepton_command, ["autoscale", "status", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(autouse=True)
def _clean(server: Server) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.delete("lepton:decisions", "lepton:scalers")


def test_without_an_autoscaler_it_shows_the_work(server: Server) -> None:
    shown = status(server)
    assert "0 slots (worker processes) take work; busy: 0" in shown
    assert "no autoscaler runs; start one with lepton autoscale" in shown


def test_it_shows_what_was_decided_and_why(server: Server) -> None:
    ledger = open_ledger(server.url)
    now = ledger.clock()
    decision: dict[str, Any] = {"at": now, "by": "host:/folder", "desired": 3, "reason": "1 → 3 slots", "events": []}
    ledger.decisions.note({**decision, "seen": {"busy": 1, "ready": 1}})
    limits = {"minimum": 1, "maximum": 4, "seen": {"lanes": [{"lane": "batch", "target_wait_s": 42.0}, 7]}}
    workers = [{"name": "fleet-1@host", "pid": 7, "state": "starting"}]
    ledger.decisions.say("host:/folder", {**decision, "until": now + 60, "pid": 5, **limits, "workers": workers})
    ledger.decisions.say("gone:/folder", {**decision, "until": now - 1})
    shown = status(server)
    assert "host:/folder (process 5) wanted 3 slots, of 1 to 4 allowed, 0 s ago" in shown
    assert "fleet-1@host  process 7  starting" in shown
    assert "1 → 3 slots" in shown and "gone:" not in shown
    assert "42s" in shown, "the target that the autoscaler was given"
    document = json.loads(status(server, "--json"))
    assert list(document["autoscalers"]) == ["host:/folder"]
    assert document["decisions"][0]["desired"] == 3


def test_workers_of_another_release_are_named(server: Server) -> None:
    ledger = open_ledger(server.url)
    ledger.serve("old@host", ["batch"], slots=4, for_s=60, release="0.0.9")
    try:
        shown = status(server)
    finally:
        ledger.serve("old@host", ["batch"], slots=4, for_s=0, release="0.0.9")
    assert "0 slots (worker processes) take work" in shown
    assert "old@host runs release 0.0.9 and not" in shown and "run one release on all machines" in shown


def test_several_autoscalers_are_told_apart_in_the_history(server: Server) -> None:
    ledger = open_ledger(server.url)
    for by, desired in (("a: export of lane batch", 2), ("b:/folder", 1)):
        entry = {"at": ledger.clock(), "by": by, "desired": desired, "reason": f"{desired} slots", "events": ["x"]}
        ledger.decisions.note({**entry, "seen": {"busy": 1, "ready": desired}})
    shown = status(server)
    assert "a: export of lane batch: 2 slots; x" in shown and "1 of 2" in shown
    assert "b:/folder: 1 slots; x" in shown


def test_autoscalers_that_ended_without_a_word_are_forgotten(server: Server) -> None:
    ledger = open_ledger(server.url)
    now = ledger.clock()
    for name, until in (("gone", now - 3700), ("late", now - 60), ("odd", "x")):
        ledger.decisions.say(name, {"until": until})
    Telling(ledger, "new", 5.0).tell(Decision(1, "1 slot", PolicyState()), None, {})
    assert set(ledger.decisions.said()) == {"late", "new"}


def test_damaged_entries_are_left_out(server: Server) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.rpush(
            "lepton:decisions", "junk", "[1]", json.dumps({"at": "soon", "seen": 7, "events": None}), "9" * 50_000
        )
        client.hset(
            "lepton:scalers",
            mapping={
                "a": "junk",
                "b": json.dumps({"until": "later"}),
                "c": json.dumps({"until": 9e10, "workers": [1]}),
            },
        )
        client.lpush("lepton:decisions", json.dumps({"at": 1e300, "seen": []}))
    assert "c (process None) wanted None slots" in status(server)


def test_the_last_decisions_are_kept(server: Server) -> None:
    ledger = open_ledger(server.url)
    for number in range(KEPT + 20):
        ledger.decisions.note({"desired": number})
    kept = ledger.decisions.last(10**6)
    assert len(kept) == KEPT
    assert kept[0] == {"desired": KEPT + 19}


def test_what_lasts_is_said_once() -> None:
    told: list[str] = []
    changes = _Changes(told.append)
    step = Step(Decision(2, "held at 2 slots: nothing could be observed", PolicyState()), None, ["the ledger is gone"])
    for _ in range(3):
        changes.tell(step)
    assert told == ["held at 2 slots: nothing could be observed", "the ledger is gone"]
