"""Flower with our configuration, on a real broker with real jobs: what it shows, and what it must not show."""

from __future__ import annotations

import base64
import json
import os
import re
import runpy
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import flower.options
import numpy as np
import pytest
from playwright.sync_api import Page
from skimage import data

import lepton_celery as lepton
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters, measure
from tests.stacks import short_lived
from tests.waiting import eventually
from tests.worker.browser import chromium, shot
from tests.worker.conftest import app_of

pytestmark = pytest.mark.worker

CONFIG = Path(__file__).parents[2] / "settings" / "flower.py"
PREFIX = "flower"
AUTH = "someone:it's a; secret, really"
TABLE = "draw=1&start=0&length=100&search[value]=&order[0][column]=0&columns[0][data]=name&order[0][dir]=asc"


@dataclass
class Flowers:
    """Two Flowers on one broker, configured as on a laptop and as on a server, and a job that they have seen."""

    local: str
    server: str
    secret: str
    """The broker's password."""
    job_id: str
    logs: list[Path]


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flowers]:
    folder = tmp_path_factory.mktemp("flower")
    unchecked = {"LEPTON_SWEEP_S": "30", "LEPTON_LEASE_S": "60"}  # no messages but those of the job
    unchecked["LEPTON_TASK_EVENTS"] = "1"
    with short_lived(LocalStack(folder / "local", workers=2, project=Project(settings="test", env=unchecked))) as stack:
        secret = urlsplit(stack.broker_url).password
        assert secret
        assert stack.flower_url
        with short_lived(server(folder / "server", stack.broker_url)) as other:
            assert other.flower_url
            worker_names(stack.flower_url)  # Flower counts tasks only once it listens
            image = lepton.open(np.tile(data.camera(), (1, 2)))
            smooth = filters.gaussian(image, sigma=2)
            labels = measure.label(smooth > filters.threshold_otsu(smooth))
            job = lepton.submit({str(folder / "labels.zarr"): labels}, app=app_of(stack), block_shape=(64, 64))
            job.wait(180)
            logs = [*stack.logs.iterdir(), *other.logs.iterdir()]
            yield Flowers(stack.flower_url, f"{other.flower_url}/{PREFIX}", secret, job.id, logs)


def server(folder: Path, broker_url: str) -> LocalStack:
    """Flower without workers, configured as on a server."""
    environment = {"LEPTON_FLOWER_AUTH": AUTH, "FLOWER_URL_PREFIX": PREFIX}
    return LocalStack(folder, workers=0, broker_url=broker_url, project=Project(settings="production", env=environment))


def get(url: str, auth: str | None = None, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(url, method=method, data=b"" if method == "POST" else None)
    if auth is not None:
        request.add_header("Authorization", f"Basic {base64.b64encode(auth.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=180) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def worker_names(url: str) -> list[str]:
    """The names of both workers, once Flower has seen them."""

    def names() -> list[str]:
        return [worker["hostname"] for worker in json.loads(get(f"{url}/workers?json=1")[1])["data"]]

    eventually(lambda: len(names()) == 2, "both workers on Flower's page")
    return names()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield browser.new_page(viewport={"width": 1400, "height": 900})


def test_the_tasks_page_says_job_stage_and_blocks(flowers: Flowers, page: Page) -> None:
    page.goto(f"{flowers.local}/tasks", wait_until="domcontentloaded")
    page.get_by_text(re.compile(rf"job {flowers.job_id} stage \d/\d")).first.wait_for(timeout=180_000)
    heads = [text.strip() for text in page.locator("#tasks-table thead th").all_inner_texts() if text.strip()]
    shot(page, "tasks")
    assert [head.lower() for head in heads] == ["name", "args", "state", "received", "runtime", "worker", "retries"]
    rows = page.locator("#tasks-table tbody tr").all_inner_texts()
    assert len(rows) >= 10
    assert all("SUCCESS" in row and f"job {flowers.job_id} stage" in row for row in rows), rows


def test_a_task_page_and_the_workers_page_show(flowers: Flowers, page: Page) -> None:
    found = json.loads(get(f"{flowers.local}/tasks/datatable?{TABLE}")[1])["data"]
    batch = next(task for task in found if task["name"] == "lepton.process")
    page.goto(f"{flowers.local}/task/{quote(batch['uuid'])}", wait_until="domcontentloaded")
    page.get_by_text(batch["args"]).first.wait_for(timeout=180_000)
    shot(page, "task")
    names = worker_names(flowers.local)
    page.goto(f"{flowers.local}/workers", wait_until="domcontentloaded")
    for name in names:
        page.get_by_text(name).first.wait_for(timeout=180_000)
    shot(page, "workers")
    page.goto(f"{flowers.local}/worker/{quote(names[0])}", wait_until="domcontentloaded")
    page.get_by_text("Max concurrency").first.wait_for(timeout=180_000)
    shot(page, "worker")


def test_messages_carry_texts_and_no_payload(flowers: Flowers) -> None:
    found = json.loads(get(f"{flowers.local}/tasks/datatable?{TABLE}")[1])["data"]
    assert {"lepton.process"} <= {task["name"] for task in found} <= {"lepton.process", "lepton.close"}
    for task in found:
        if task["name"] == "lepton.close":
            assert re.fullmatch(rf"job {flowers.job_id} stage \d/\d close wave", task["args"])
            continue
        assert re.fullmatch(rf"job {flowers.job_id} stage \d/\d blocks [\d,. -]+", task["args"])
        assert task["kwargs"] == ""
        assert task["result"] in ("", None)  # the last tasks may still run when the job is done


def test_no_password_is_shown_anywhere(flowers: Flowers) -> None:
    [name, _] = worker_names(flowers.local)
    pages = [
        *("workers", "workers?json=1", f"worker/{quote(name)}", "broker", "tasks", f"tasks/datatable?{TABLE}"),
        *("api/workers?refresh=1", "api/workers?refresh=1&status=1", "api/tasks", "api/task/types"),
        *("api/queues/length", "metrics", "healthcheck", "nowhere", "task/none"),
    ]
    job = f"jobs/{flowers.job_id}"
    pages += ["jobs", f"job/{flowers.job_id}", "fleet", *(f"lepton/v1/{path}" for path in ("jobs", job, "fleet"))]
    pages += [f"api/lepton/v1/{job}{path}" for path in ("", "/blocks", "/block", "/timeline")]
    found = json.loads(get(f"{flowers.server}/api/tasks", AUTH)[1])
    pages += [f"api/task/info/{next(iter(found))}", f"task/{next(iter(found))}"]
    shown = {path: get(f"{flowers.server}/{path}", AUTH) for path in pages}
    for path, (status, text) in shown.items():
        assert status == (404 if path in ("nowhere", "task/none") else 200), (path, status)
        assert flowers.secret not in text, path
        assert AUTH.partition(":")[2] not in text, path
    # the pages do show the broker that the password belongs to
    assert "Settings(allowed_roots=" in shown[f"worker/{quote(name)}"][1]
    assert "redis://" in shown[f"worker/{quote(name)}"][1]
    assert "redis://" in shown["broker"][1]
    assert "lepton.interactive" in shown["api/workers?refresh=1"][1]
    for log in flowers.logs:
        assert flowers.secret not in log.read_text(), log


def test_on_a_server_flower_requires_a_password_and_is_read_only(flowers: Flowers) -> None:
    [name, _] = worker_names(flowers.local)
    for path in ("", "workers", "tasks", "broker", "api/workers", "api/tasks"):
        assert get(f"{flowers.server}/{path}")[0] == 401, path
        assert get(f"{flowers.server}/{path}", "someone:wrong")[0] == 401, path
        assert get(f"{flowers.server}/{path}", AUTH)[0] == 200, path
    assert get(f"{flowers.server.removesuffix(PREFIX)}tasks", AUTH)[0] == 404
    for path in (f"worker/shutdown/{name}", f"worker/pool/grow/{name}?n=1", "task/send-task/lepton.close"):
        assert get(f"{flowers.server}/api/{path}", None, "POST")[0] == 401, path
        assert get(f"{flowers.server}/api/{path}", AUTH, "POST")[0] in (401, 403), path


def test_on_a_laptop_flower_needs_no_password_and_is_read_only(flowers: Flowers) -> None:
    assert get(f"{flowers.local}/tasks")[0] == 200
    assert get(f"{flowers.local}/api/worker/shutdown/{worker_names(flowers.local)[0]}", None, "POST")[0] == 401


def configuration(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, Any]:
    """The options that the configuration file sets in this environment."""
    for name in [name for name in os.environ if name.startswith("LEPTON_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(CONFIG))


@pytest.mark.parametrize("settings", ["local", "test", "production", ""])
def test_who_may_look_may_act_only_on_a_laptop_with_a_password(monkeypatch: pytest.MonkeyPatch, settings: str) -> None:
    given = {"LEPTON_SETTINGS": settings} if settings else {}
    assert configuration(monkeypatch, **given)["read_only"]
    with_password = configuration(monkeypatch, **given, LEPTON_FLOWER_AUTH=AUTH)
    assert with_password["read_only"] == (settings not in ("local", "test"))


def test_each_name_is_an_option_of_flower(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower ignores misspelt names, and takes any name that happens to be an option."""
    set_here = set(re.findall(r"^ *([a-z]\w*) = ", CONFIG.read_text(), flags=re.MULTILINE))
    known = {name for name in configuration(monkeypatch, LEPTON_SETTINGS="local") if name in flower.options.options}
    assert known == set_here | {"format_task"}
