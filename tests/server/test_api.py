"""The HTTP API: what it answers, and how it refuses."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery
from jsonschema import Draft202012Validator

import lepton_celery as lepton
from lepton_celery.api.answers import Request
from lepton_celery.api.openapi import document
from lepton_celery.api.routes import ROUTES
from lepton_celery.api.service import Api
from lepton_celery.config import Settings
from lepton_celery.ledger import open_ledger
from lepton_celery.priority import Priority
from lepton_celery.views.blocks import BlockState
from lepton_celery.views.scope import ALL, Scope
from tests.server.ledgers import new_job
from tests.server.server import Server


@pytest.fixture(scope="module")
def app(server: Server) -> Celery:
    return lepton.create_app(Settings(broker_url=server.url))


@pytest.fixture
def api(app: Celery, server: Server) -> Iterator[Api]:
    _forget_all(server)
    yield Api(app)
    _forget_all(server)  # other tests use the same ids


def _forget_all(server: Server) -> None:
    ledger = open_ledger(server.url)
    for info in ledger.jobs():
        if info.state.is_open:
            ledger.cancel(info.job_id)
        ledger.forget(info.job_id)


def ask(api: Api, path: str, method: str = "GET", *, may_change: bool = False, scope: Scope = ALL, **query: Any) -> Any:
    texts = {
        name: [str(one) for one in (value if isinstance(value, list) else [value])] for name, value in query.items()
    }
    answer = api.answer(Request(method, path, texts, may_change=may_change, tenant=scope.tenant, owner=scope.owner))
    return answer.status, json.loads(answer.body)


def test_jobs_are_listed_in_pages(api: Api, server: Server) -> None:
    ledger = open_ledger(server.url)
    for number in range(5):
        new_job(ledger, f"j{number}")
    status, page = ask(api, "/jobs", count=2, start=1)
    assert status == 200
    assert ([row["job"] for row in page["jobs"]], page["count"]) == (["j3", "j2"], 5)
    assert ask(api, "/jobs", state=["done", "failed"])[1]["count"] == 0
    assert [row["job"] for row in ask(api, "/jobs", text="J4")[1]["jobs"]] == ["j4"]


def test_a_tenant_sees_no_job_of_another(api: Api, server: Server) -> None:
    ledger = open_ledger(server.url)
    new_job(ledger, "mine")
    ledger.prioritize("mine", Priority(), tenant="me")
    assert ask(api, "/jobs", scope=Scope(tenant="me"))[1]["count"] == 1
    assert ask(api, "/jobs", scope=Scope(tenant="you"))[1]["count"] == 0
    status, refused = ask(api, "/jobs/mine/cancel", "POST", may_change=True, scope=Scope(tenant="you"))
    assert (status, refused["error"]["status"]) == (404, 404)
    assert ledger.info("mine").state.is_open


def test_an_owner_sees_no_job_of_another(api: Api, server: Server) -> None:
    ledger = open_ledger(server.url)
    for job, owner in (("mine", "ada"), ("yours", "bob"), ("also-yours", "bob"), ("nobodys", "")):
        new_job(ledger, job, owner=owner)
    status, page = ask(api, "/jobs")
    assert (status, page["owners"]) == (200, {"bob": 2, "ada": 1, "": 1})
    assert [row["job"] for row in ask(api, "/jobs", owner="bob", sort="title")[1]["jobs"]] == ["also-yours", "yours"]
    assert [row["job"] for row in ask(api, "/jobs", owner="")[1]["jobs"]] == ["nobodys"]
    ledger.prioritize("yours", Priority(), tenant="secret")
    mine = ask(api, "/jobs", scope=Scope(owner="ada"))[1]
    assert (mine["count"], mine["owners"], mine["states"]) == (1, {"ada": 1}, {"running": 1})
    assert (mine["tenants"], mine["jobs"][0]["owner"]) == ([""], "ada")
    assert ask(api, "/jobs", scope=Scope(owner="ada"), owner="bob")[1]["count"] == 0
    for path, method in (("", "GET"), ("/blocks", "GET"), ("/block", "GET"), ("/timeline", "GET"), ("/cancel", "POST")):
        missing = ask(api, f"/jobs/none{path}", method, may_change=True, scope=Scope(owner="ada"))
        others = ask(api, f"/jobs/yours{path}", method, may_change=True, scope=Scope(owner="ada"))
        assert others[0] == missing[0] == 404
        assert others[1]["error"]["message"].replace("yours", "none") == missing[1]["error"]["message"]
    assert ledger.info("yours").state.is_open
    assert ask(api, "/jobs/mine/pause", "POST", may_change=True, scope=Scope("", "ada"))[0] == 200


@pytest.mark.parametrize(
    ("path", "method", "query", "status", "says"),
    [
        ("/jobs/unknown", "GET", {}, 404, "knows no job"),
        ("/jobs/unknown/blocks", "GET", {}, 404, "knows no job"),
        ("/nowhere", "GET", {}, 404, "openapi.json"),
        ("/jobs/../../etc/passwd", "GET", {}, 404, "no such path"),
        ("/jobs", "DELETE", {}, 405, "GET"),
        ("/jobs", "GET", {"count": "many"}, 400, "count is 'many'; give a whole number from 1 to 500"),
        ("/jobs", "GET", {"count": 0}, 400, "count"),
        ("/jobs", "GET", {"count": [1, 2]}, 400, "2 times"),
        ("/jobs", "GET", {"sort": "colour"}, 400, "sort is 'colour'; give one of created, title"),
        ("/jobs", "GET", {"state": "asleep"}, 400, "state is 'asleep'; give one of running, paused"),
        ("/jobs", "GET", {"lane": "fast"}, 400, "lane is 'fast'; give one of interactive, default"),
        ("/jobs", "GET", {"colour": "red"}, 400, "no parameter 'colour'"),
        ("/jobs", "GET", {"text": "x" * 1001}, 400, "1,001 characters"),
        ("/fleet", "GET", {"decisions": -1}, 400, "decisions"),
        ("/jobs/j/cancel", "POST", {}, 403, "not change"),
        ("/jobs/j/cancel", "GET", {}, 405, "POST"),
    ],
)
def test_what_is_refused_says_why(
    api: Api, path: str, method: str, query: dict[str, Any], status: int, says: str
) -> None:
    found, refused = ask(api, path, method, **query)
    assert (found, refused["error"]["status"]) == (status, status)
    assert says in refused["error"]["message"]


def test_jobs_are_paused_and_cancelled_by_whoever_may(api: Api, server: Server) -> None:
    ledger = open_ledger(server.url)
    new_job(ledger, "j")
    assert ask(api, "/jobs/j/priority", "POST", may_change=True, priority="batch:4") == (
        200,
        {"job": "j", "state": "running", "priority": "batch:4"},
    )
    assert ask(api, "/jobs/j/pause", "POST", may_change=True)[1]["state"] == "paused"
    ledger.cancel("j")
    status, refused = ask(api, "/jobs/j/pause", "POST", may_change=True)
    assert status == 409 and "it is cancelled already" in refused["error"]["message"]
    status, refused = ask(api, "/jobs/j/priority", "POST", may_change=True, priority="soon")
    assert status == 400 and "soon" in refused["error"]["message"]


def test_a_job_that_no_worker_took_up_has_no_block_done(api: Api, app: Celery, tmp_path: Path) -> None:
    image = lepton.open(np.zeros((800, 800), np.uint8))
    job = lepton.submit({str(tmp_path / "o.npy"): image + 1}, app=app, block_shape=(8, 8))
    for _ in range(3):
        np.ones(100 * 100, np.uint8)  # leaves memory that is not zero to whoever takes it up next
        status, found = ask(api, f"/jobs/{job.id}/blocks", layer="states")
        assert (status, found["counts"]["done"], found["attempts"]) == (200, 0, "")
        assert set(base64.b64decode(found["states"])) <= {BlockState.WAITS, BlockState.SENT}
    assert ask(api, f"/jobs/{job.id}/blocks", layer="colours")[0] == 400


def test_a_ledger_that_does_not_answer_is_an_answer() -> None:
    api = Api(lepton.create_app(Settings(broker_url="redis://127.0.0.1:1/0")))
    status, refused = ask(api, "/jobs")
    assert status == 503
    assert "does not answer" in refused["error"]["message"]


def test_the_course_of_the_fleet_is_what_autoscalers_noted(api: Api, server: Server) -> None:
    ledger = open_ledger(server.url)
    for at, blocks in ((1e9 + 60, 5), (1e9, 9)):
        lanes = [{"lane": "batch", "blocks": blocks, "oldest_s": 2.5}, {"lane": 3}, "none"]
        ledger.decisions.note({"at": at, "desired": 4, "seen": {"ready": 2, "busy": "all", "lanes": lanes}})
    for damaged in ({"at": "soon"}, {"at": 1e9 + 99, "seen": 7, "desired": []}):
        ledger.decisions.note(damaged)
    status, found = ask(api, "/fleet/course")
    times = found["times"]
    assert status == 200 and times == sorted(times)
    first, last = times.index(1e9), times.index(1e9 + 99)
    assert [found[name][first : first + 2] for name in ("ready", "busy", "desired")] == [[2, 2], [None, None], [4, 4]]
    [batch] = found["lanes"]
    assert (batch["lane"], batch["blocks"][first : first + 2], batch["blocks"][last]) == ("batch", [9, 5], None)
    assert (batch["oldest_s"][first], found["ready"][last]) == (2.5, None)


def test_the_fleet_is_seen(api: Api, server: Server) -> None:
    ledger = open_ledger(server.url)
    new_job(ledger, "j")
    ledger.decisions.note({"at": 1e9, "by": "<b>", "desired": "many", "reason": 3, "seen": [], "events": "none"})
    status, fleet = ask(api, "/fleet")
    assert status == 200
    assert [lane["lane"] for lane in fleet["lanes"]] == ["interactive", "default", "batch"]
    assert fleet["decisions"][0]["by"] == "<b>" and fleet["decisions"][0]["desired"] is None


def test_the_document_describes_what_is_answered(api: Api, server: Server) -> None:
    described = document(ROUTES)
    new_job(open_ledger(server.url), "j")
    assert {(path, method.upper()) for path, one in described["paths"].items() for method in one} == {
        (route.path, route.method) for route in ROUTES
    }
    for path, answered in (("/jobs", ask(api, "/jobs")), ("/fleet", ask(api, "/fleet"))):
        content = described["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        schema = {**content, "components": described["components"]}
        Draft202012Validator(schema).validate(answered[1])
    assert ask(api, "/openapi.json") == (200, described)


def test_it_needs_no_web_framework() -> None:
    code = "import sys, lepton_celery.api.service; print({'flask', 'tornado', 'flower'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
