"""The view of the fleet: lanes, workers with their busy slots, and autoscalers."""

from __future__ import annotations

from lepton_celery.config import Settings
from lepton_celery.ledger import Ledger
from lepton_celery.views.fleet import fleet_view
from tests.server.ledgers import claim, new_job
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
