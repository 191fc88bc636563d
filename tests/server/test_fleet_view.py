"""The view of the fleet: lanes, workers with their busy slots, and autoscalers."""

from __future__ import annotations

import os
import time
from typing import Any

import psutil
import pytest

from lepton_celery.config import Settings
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.lanes import WorkerProcesses
from lepton_celery.ledger.processes import resident_bytes
from lepton_celery.views.fleet import fleet_view
from tests.server.ledgers import FIRST, claim, commit, new_job
from tests.server.server import Server


def test_busy_slots_are_those_of_the_only_worker_of_a_machine(ledger: Ledger, server: Server) -> None:
    for name in ("a@one", "b@two", "c@two"):
        ledger.serve(name, ["batch", "default"], slots=2, for_s=60)
    ledger.serve("old@three", ["batch"], slots=1, for_s=60, release="0.0.9")
    new_job(ledger)
    claim(ledger, "j", [0], owner="x1 one 12")
    claim(ledger, "j", [1], owner="x2 two 13")
    view = fleet_view(ledger, Settings(broker_url=server.url, target_wait=("batch=42s",)))
    assert {worker.worker: worker.busy_slots for worker in view.workers} == {
        "a@one": 1,
        "b@two": None,
        "c@two": None,
        "old@three": 0,
    }
    assert (view.slots, view.busy_slots) == (6, 2)
    [one] = view.workers[0].current
    assert (one.job, one.stage, one.blocks) == ("j", 1, 1)
    assert one.for_s is not None and 0 <= one.for_s < 60
    assert view.workers[0].memory_bytes is None
    [told] = view.other_releases
    assert "old@three runs release 0.0.9" in told
    [batch] = [lane for lane in view.lanes if lane.lane == "batch"]
    assert (batch.blocks, batch.busy_slots, batch.target_wait_s) == (4, 2, 42.0)


def test_autoscalers_are_read_from_what_anybody_may_have_written(ledger: Ledger, server: Server) -> None:
    now = ledger.clock()
    seen = {"lanes": [{"lane": "batch", "target_wait_s": 7}, {"lane": "x", "target_wait_s": 7}, 3], "ready": "many"}
    workers = [{"name": "w@h", "pid": 5, "state": "ready"}, 7]
    ledger.decisions.say("a", {"until": now + 60, "desired": True, "pid": 3, "seen": seen, "workers": workers})
    ledger.decisions.say("b", {"until": now + 60, "at": "soon", "workers": 3, "seen": [], "reason": None})
    ledger.decisions.say("gone", {"until": now - 1})
    view = fleet_view(ledger, Settings(broker_url=server.url))
    first, second = view.autoscalers
    assert (first.name, first.pid, first.desired, first.workers[0].name) == ("a", 3, None, "w@h")
    assert (second.at, second.workers) == (0.0, ())
    assert {lane.lane: lane.target_wait_s for lane in view.lanes}["batch"] == 7


def test_workers_of_one_machine_are_told_apart_by_their_processes(
    ledger: Ledger, server: Server, client: Any, prefix: str
) -> None:
    for name, pids in (("b@two", (13, 14)), ("c@another-name", (15,))):
        processes = WorkerProcesses("two", pids, 10**9)
        ledger.serve(name, ["batch"], slots=len(pids), for_s=60, processes=processes)
    ledger.serve("d@two", ["batch"], slots=1, for_s=60)
    new_job(ledger, stages=1)
    claim(ledger, "j", [0, 2], owner="x1 two 13")
    claim(ledger, "j", [1], owner="x2 two 15")
    commit(ledger, "j", [3])
    settings = Settings(broker_url=server.url)
    workers = {worker.worker: worker for worker in fleet_view(ledger, settings).workers}
    assert {name: worker.busy_slots for name, worker in workers.items()} == {
        "b@two": 1,
        "c@another-name": 1,
        "d@two": None,
    }
    assert [(one.job, one.blocks) for one in workers["b@two"].current] == [("j", 2)]
    assert [worker.memory_bytes for worker in workers.values()] == [10**9, 10**9, None]
    assert not any(worker.current for worker in fleet_view(ledger, settings, shows_jobs=False).workers)
    commit(ledger, "j", [0, 1, 2])
    assert ledger.begin_merge("j", FIRST, owner="x3 two 14", lease_s=60) is not None
    [worker] = [worker for worker in fleet_view(ledger, settings).workers if worker.worker == "b@two"]
    assert [(one.blocks, one.for_s) for one in worker.current] == [(0, None)]

    client.set(f"{prefix}worker:b@two", '{"host": 3}')
    client.set(f"{prefix}worker:c@another-name", "x")
    assert ledger.processes(["b@two", "c@another-name", "none"]) == {}
    ledger.serve("b@two", ["batch"], slots=2, for_s=0, processes=WorkerProcesses("two", (13,), 1))
    time.sleep(0.05)
    assert not client.exists(f"{prefix}worker:b@two")


def test_memory_is_that_of_a_process() -> None:
    assert resident_bytes(os.getpid()) == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert resident_bytes(2**22 + 1) == 0
