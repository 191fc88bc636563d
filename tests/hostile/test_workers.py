"""Real workers on a real server, with hostile messages beside an honest job."""

from __future__ import annotations

import base64
import gzip
import json
import random
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import redis
from celery import Celery
from skimage import data
from skimage import filters as sk_filters

import lepton_celery as lepton
from lepton_celery import create_app
from lepton_celery.cli.jobs import as_table
from lepton_celery.config import load_settings
from lepton_celery.errors import LeptonError
from lepton_celery.local.stack import LocalStack
from lepton_celery.skimage import filters
from lepton_celery.text import password_of
from lepton_celery.views.listing import row_of
from tests.hostile import documents, messages
from tests.stacks import some_workers
from tests.waiting import eventually, sweeps

pytestmark = pytest.mark.worker

LANE = "lepton.default"
MAX_GROWTH_BYTES = 400 << 20
"""Largest growth of all processes of the workers together while hostile messages arrive."""


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The only folder that workers and clients may use."""
    return tmp_path_factory.mktemp("inside")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, inside: Path) -> Iterator[LocalStack]:
    with some_workers(tmp_path_factory.mktemp("hostile"), 2, env={"LEPTON_ALLOWED_ROOTS": str(inside)}) as stack:
        yield stack


@pytest.fixture(scope="module")
def app(stack: LocalStack, inside: Path) -> Celery:
    named = {"LEPTON_BROKER_URL": stack.broker_url, "LEPTON_ALLOWED_ROOTS": str(inside)}
    return create_app(load_settings({"LEPTON_SETTINGS": "test", **named}))


@pytest.fixture
def folder(inside: Path, request: pytest.FixtureRequest) -> Path:
    """A folder of the test's own that workers may use."""
    folder: Path = inside / str(request.node.name)
    folder.mkdir()
    return folder


@pytest.fixture
def client(stack: LocalStack) -> Iterator[Any]:
    with redis.Redis.from_url(stack.broker_url) as client:
        yield client


def processes(stack: LocalStack) -> dict[int, psutil.Process]:
    """The processes of the workers, with those of their pools."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if "worker" in " ".join(process.cmdline()):
                found[process.pid] = process
    return found


def memory_bytes(stack: LocalStack) -> int:
    return sum(process.memory_info().rss for process in processes(stack).values())


def honest_job(folder: Path, app: Celery) -> lepton.Job:
    image = lepton.open(np.tile(data.camera(), (2, 2)))
    return lepton.submit({str(folder / "smooth.npy"): filters.gaussian(image, 2)}, app=app, block_shape=(128, 128))


def is_right(folder: Path) -> bool:
    return np.array_equal(np.load(folder / "smooth.npy"), sk_filters.gaussian(np.tile(data.camera(), (2, 2)), 2))


def logs(stack: LocalStack) -> str:
    return "".join(path.read_text(errors="replace") for path in sorted(stack.logs.glob("worker*.log")))


def received(stack: LocalStack) -> int:
    """Number of messages that workers have taken and not refused at once."""
    return logs(stack).count("] received")


def push(client: Any, items: list[bytes]) -> None:
    for item in items:
        client.lpush(LANE, item)


def test_hostile_messages_harm_no_worker_and_no_honest_job(
    stack: LocalStack, app: Celery, client: Any, folder: Path
) -> None:
    (folder / "before").mkdir()
    honest_job(folder / "before", app).wait(180)  # libraries are loaded, and memory is as it will stay
    before, living = memory_bytes(stack), set(processes(stack))
    hostile = [item for _, item in messages.hostile(1)] + [item for _, item in messages.unchecked_by_main_process(1)]
    random.Random(1).shuffle(hostile)
    push(client, hostile[: len(hostile) // 2])
    job = honest_job(folder, app)
    push(client, hostile[len(hostile) // 2 :])
    job.wait(180)
    assert is_right(folder)
    eventually(lambda: client.llen(LANE) == 0)
    assert set(processes(stack)) == living, "a worker or a process of its pool has ended"
    assert memory_bytes(stack) - before < MAX_GROWTH_BYTES
    eventually(lambda: client.hlen("unacked") == 0)
    text = logs(stack)
    assert "a message in lepton.default is refused: " in text
    assert "Flower's user" not in text
    assert "Traceback" not in text
    assert "\x1b[2J" not in text and "\nforged" not in text and "s3cret" not in text
    assert len([line for line in text.splitlines() if "refused" in line]) < 100


def test_hostile_remote_control_ends_no_worker(stack: LocalStack, app: Celery, client: Any, folder: Path) -> None:
    before, living = memory_bytes(stack), set(processes(stack))
    for _, item in messages.remote_control():
        # Celery subscribes anew after a command that it does not understand
        eventually(lambda item=item: client.publish("/0.celery.pidbox", item) == 2, "both workers")  # type: ignore[misc]
    job = honest_job(folder, app)
    job.wait(180)
    assert is_right(folder)
    eventually(lambda: len(app.control.ping(timeout=1) or ()) == 2, "answers of both workers")
    assert set(processes(stack)) == living
    assert memory_bytes(stack) - before < MAX_GROWTH_BYTES // 4
    assert "a message in" in logs(stack) and "it is compressed, which no command of remote control is" in logs(stack)


def test_a_large_bomb_and_long_arguments_are_not_unpacked(
    stack: LocalStack, app: Celery, client: Any, folder: Path
) -> None:
    before, living = memory_bytes(stack), set(processes(stack))
    message = messages.honest()
    message["headers"]["compression"] = "gzip"
    message["properties"]["body_encoding"] = "base64"
    zeros = gzip.compress(bytes(1 << 20))
    message["body"] = base64.b64encode(zeros * 1024).decode()  # a gigabyte in several members
    long = messages.honest()
    long["body"] = json.dumps([["a" * 100_000_000, 0, "0"], {}, {}])
    push(client, [messages.stored(message), messages.stored(long)])
    peak = before

    def is_refused() -> bool:
        nonlocal peak
        peak = max(peak, memory_bytes(stack))
        return not client.llen(LANE) and not client.hlen("unacked")

    eventually(is_refused, "the end of both messages")
    honest_job(folder, app).wait(180)
    assert is_right(folder)
    assert set(processes(stack)) == living
    assert peak - before < MAX_GROWTH_BYTES
    eventually(lambda: memory_bytes(stack) - before < 60 << 20, "the memory of the messages")


def write_job(
    client: Any, template: tuple[str, dict[str, str]], job_id: str, text: str, fields: dict[str, str]
) -> None:
    """Write a job into the ledger as whoever has the password of Redis can."""
    key, honest = template
    prefix = key.partition("{")[0]
    entry = {**honest, "state": "running", "done": "0", "dispatched": "0", "stage": "0", "finished": "", **fields}
    client.hset(f"{prefix}{{{job_id}}}:job", mapping={name: value for name, value in entry.items() if value != ""})
    client.set(f"{prefix}{{{job_id}}}:manifest", text)
    now = time.time()
    for index in ("jobs", "active"):
        client.zadd(f"{prefix}{index}", {job_id: now})
    for task, arguments in (("process", [job_id, 0, "0-3"]), ("close", [job_id, 0])):
        message = messages.honest()
        message["headers"]["task"] = f"lepton.{task}"
        message["body"] = [arguments, {}, {}]
        client.lpush(LANE, messages.stored(message))


def hostile_jobs(manifest: dict[str, Any], outside: Path) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Ids, manifests and fields of hostile jobs."""
    number = 0

    def named() -> tuple[str, dict[str, Any]]:
        nonlocal number
        number += 1
        job_id = f"hostile{number:04}"
        return job_id, json.loads(json.dumps(manifest).replace(manifest["job_id"], job_id))

    for _, document in documents.elsewhere(manifest, "hostile-elsewhere", outside):
        job_id, _ = named()
        yield job_id, json.dumps(document).replace("hostile-elsewhere", job_id), {}
    for seed in range(40):
        job_id, own = named()
        ((_, document),) = documents.mutations(own, seed, 1)
        yield job_id, json.dumps(document), {}
    for _, text in documents.no_documents():
        yield named()[0], text, {}
    for name, values in documents.FIELDS.items():
        for value in values:
            job_id, own = named()
            yield job_id, json.dumps(own), {name: value}
    for job_id in ("../..", "..", "a/b", "\x1b[2J", "x" * 300, "*", "{x}"):
        yield job_id, json.dumps(manifest).replace(manifest["job_id"], json.dumps(job_id)[1:-1]), {}


def listed(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_size) for path in [folder, *folder.rglob("*")])


def test_hostile_jobs_harm_no_worker_no_honest_job_and_no_file(
    stack: LocalStack, app: Celery, client: Any, folder: Path, inside: Path, tmp_path: Path
) -> None:
    settings = app.conf["lepton"]
    for name in ("first", "beside", "after"):
        (folder / name).mkdir()
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "kept.npy", np.zeros((9, 9)))
    (tmp_path / "folder" / "file").write_text("kept")
    canary = listed(tmp_path)
    first = honest_job(folder / "first", app)
    first.wait(180)
    [key] = [name.decode() for name in client.keys(f"*{{{first.id}}}:job")]
    fields = {name.decode(): value.decode() for name, value in client.hgetall(key).items()}
    manifest = json.loads(client.get(key.removesuffix("job") + "manifest"))
    mains = {process.pid for process in stack.processes if process.name.startswith("worker")}
    before, earlier = memory_bytes(stack), received(stack)

    ids = []
    for job_id, text, changes in hostile_jobs(manifest, tmp_path):
        write_job(client, (key, fields), job_id, text, changes)
        ids.append(job_id)
    assert len(ids) > 120
    beside = honest_job(folder / "beside", app)
    beside.wait(180)
    worked_on = received(stack) - earlier
    assert is_right(folder / "beside")
    # its messages waited for those that were before them, once: `benchmarks.damaged` measures the time
    assert worked_on <= 3 * len(ids), "the honest job waits for hostile ones"
    eventually(lambda: client.llen(LANE) == 0, "the messages")
    sweeps(stack.directory / "alive", 8)  # four of each worker

    found = lepton.list_jobs(limit=1000, settings=settings)
    assert {beside.id, first.id} <= {info.job_id for info in found}
    assert as_table([row_of(info) for info in found])
    for job_id in ids:
        for action in ("cancel", "forget"):
            with suppress(LeptonError), warnings.catch_warnings(action="ignore"):
                getattr(lepton.get_job(job_id, settings=settings), action)()
    honest_job(folder / "after", app).wait(180)
    assert is_right(folder / "after") and is_right(folder / "first") and is_right(folder / "beside")
    assert listed(tmp_path) == canary, "something outside the roots was touched"
    assert all(psutil.pid_exists(pid) for pid in mains if pid)
    assert memory_bytes(stack) - before < MAX_GROWTH_BYTES
    text = logs(stack)
    assert "\x1b[2J" not in text and "\n[ERROR] forged" not in text
    assert password_of(stack.broker_url) not in text
