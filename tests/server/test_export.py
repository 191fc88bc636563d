"""What `lepton autoscale --export` serves, and what it does not when the ledger does not answer."""

from __future__ import annotations

import json
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lepton_celery.errors import BrokerUnreachable, InputError
from lepton_celery.fleet.export import serve
from lepton_celery.fleet.policy import Limits
from lepton_celery.fleet.replicas import LaneFleet, Replicas
from lepton_celery.ledger import Ledger
from tests.acceptance.commands import lepton
from tests.server.ledgers import new_job

LIMITS = Limits(minimum=0, maximum=4, reserved=0, period_s=0.05, hold_s=0.05, stale_after_s=0.5)


def replicas_of(ledger: Ledger, limits: Limits = LIMITS) -> Replicas:
    """The desired workers of two lanes."""
    return Replicas(ledger, {lane: LaneFleet(limits, 10.0, startup_s=0.05) for lane in ("interactive", "batch")})


@contextmanager
def served(replicas: Replicas) -> Iterator[str]:
    """The address at which they are served."""
    server = serve(replicas, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get(url: str, method: str = "GET") -> tuple[int, Any]:
    """The status, and the document or the text."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=20) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read().decode()
    return status, json.loads(text) if text.startswith("{") else text


def metrics(url: str) -> dict[tuple[str, str], float]:
    """The samples by metric and lane, as Prometheus parses them."""
    status, text = get(f"{url}/metrics")
    assert status == 200
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, sample.labels.get("lane", "")): sample.value for sample in samples}


def test_outstanding_work_asks_for_workers_of_its_lane(ledger: Ledger) -> None:
    replicas = replicas_of(ledger)
    with served(replicas) as url:
        assert get(f"{url}/healthz")[0] == 503, "nothing is decided yet"
        replicas.decide()
        assert get(f"{url}/keda/batch")[1]["desired"] == 0
        job = new_job(ledger, blocks=1000)
        ledger.turns.enter("batch", job, tenant="", rank=0, waits=True, sent=4, block_s=0.1)
        replicas.decide()
        status, answer = get(f"{url}/keda/batch")
        assert (status, answer["desired"]) == (200, 4)
        assert "100 s of work" in answer["reason"]
        assert get(f"{url}/keda/interactive")[1]["desired"] == 0
        assert get(f"{url}/healthz") == (200, {"interactive": 0, "batch": 4})
        found = metrics(url)
        assert found["lepton_desired_workers", "batch"] == found["lepton_desired_slots", "batch"] == 4
        assert found["lepton_outstanding_blocks", "batch"] == 1000
        assert found["lepton_outstanding_work_seconds", "batch"] == pytest.approx(100)
        assert found["lepton_desired_workers", "interactive"] == 0
        assert found["lepton_ledger_up", ""] == 1
        latest, *_ = ledger.decisions.last(5)
        assert latest["by"].endswith("export of lane batch")
        assert (latest["desired"], latest["seen"]["ready"], latest["seen"]["busy"]) == (4, 0, 0)
        assert [lane["blocks"] for lane in latest["seen"]["lanes"]] == [1000]
        said = ledger.decisions.said()
        assert [each["desired"] for name, each in sorted(said.items())] == [4, 0], "what each lane has now"
    replicas.stop()
    assert ledger.decisions.said() == {}


def test_workers_of_several_slots_count_whole(ledger: Ledger) -> None:
    replicas = replicas_of(ledger, Limits(minimum=0, maximum=12, slots_per_worker=4, reserved=0))
    job = new_job(ledger, blocks=1)
    ledger.turns.enter("batch", job, tenant="", rank=0, waits=True, sent=1, block_s=0.1)
    replicas.decide()
    found = replicas.current()["batch"]
    assert (found.decision.desired, found.workers) == (4, 1)


def test_without_the_ledger_nobody_scales_by_old_figures(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = replicas_of(ledger)
    replicas.decide()

    def unreachable(*_: Any) -> Any:
        raise BrokerUnreachable("the ledger does not answer")

    with served(replicas) as url:
        assert get(f"{url}/keda/batch")[0] == 200
        with monkeypatch.context() as patch:
            patch.setattr(ledger.loads, "read", unreachable)
            replicas.decide()
            assert get(f"{url}/keda/batch") == (503, {"error": "the ledger does not answer"})
            assert get(f"{url}/healthz")[0] == 503
            found = metrics(url)
            assert found["lepton_ledger_up", ""] == 0
            assert ("lepton_desired_workers", "batch") in found, "it is not stale yet"
            patch.setattr(replicas, "_decided_at", -1e9)
            assert {name for name, _ in metrics(url)} == {"lepton_ledger_up"}
        replicas.decide()
        assert get(f"{url}/keda/batch")[0] == 200
        monkeypatch.setattr(replicas, "_decided_at", -1e9)  # the thread hangs
        assert get(f"{url}/keda/batch")[0] == 503


def test_the_thread_goes_on_after_an_error(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = replicas_of(ledger)
    calls = []
    decided = threading.Event()

    def decide() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise ValueError("odd")
        if len(calls) > 3:
            decided.set()

    monkeypatch.setattr(replicas, "decide", decide)
    replicas.start()
    assert decided.wait(180)
    replicas.stop()


@pytest.mark.parametrize(
    "path", ["/keda/urgent", "/keda/", "/keda/%22%0a%3cb%3e", "/", "/keda/batch/more", "/metrics/"]
)
def test_other_paths_are_not_found(ledger: Ledger, path: str) -> None:
    with served(replicas_of(ledger)) as url:
        status, answer = get(url + path)
    assert status == 404
    assert "there are" in answer["error"]


def test_nothing_can_be_written(ledger: Ledger) -> None:
    with served(replicas_of(ledger)) as url:
        assert get(f"{url}/keda/batch", "POST")[0] == 405


def test_addresses_and_missing_packages_are_named(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = replicas_of(ledger)
    with served(replicas) as url, pytest.raises(InputError, match="give another --port"):
        serve(replicas, "127.0.0.1", int(url.rpartition(":")[2]))
    with pytest.raises(InputError, match="an address of this machine as --bind"):
        serve(replicas, "192.0.2.1", 0)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(InputError, match=r"pip install 'lepton-celery\[metrics\]'"):
        serve(replicas, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--min", "9", "--max", "2"), "--min 9 is more than --max 2 for lane interactive"),
        (("--max", "8,batch=0"), "--max of lane batch is 0"),
        (("--min", "urgent=1"), "there is no such lane"),
        (("--max", "batch=many"), "is not understood; give a number"),
        (("--target-wait", "batch=soon"), "is no duration"),
        (("--target-wait", "urgent=1s"), "no lane"),
        (("--period", "0s"), "is no duration"),
    ],
)
def test_options_that_mean_nothing_are_refused(tmp_path: Any, options: tuple[str, ...], told: str) -> None:
    done = lepton("autoscale", "--export", *options, cwd=tmp_path, LEPTON_BROKER_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
