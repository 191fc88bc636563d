"""Real workers on a real server, with hostile messages beside an honest job."""

from __future__ import annotations

import base64
import gzip
import json
import random
import time
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
from lepton_celery.config import load_settings
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters
from tests.hostile import messages
from tests.waiting import eventually

pytestmark = pytest.mark.worker

LANE = "lepton.default"
MAX_GROWTH_BYTES = 400 << 20
"""Largest growth of all processes of the workers together while hostile messages arrive."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with LocalStack(
        tmp_path_factory.mktemp("hostile"), workers=2, flower=False, project=Project(settings="test")
    ) as stack:
        yield stack


@pytest.fixture(scope="module")
def app(stack: LocalStack) -> Celery:
    return create_app(load_settings({"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": stack.broker_url}))


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


def push(client: Any, items: list[bytes]) -> None:
    for item in items:
        client.lpush(LANE, item)


def test_hostile_messages_harm_no_worker_and_no_honest_job(
    stack: LocalStack, app: Celery, client: Any, tmp_path: Path
) -> None:
    (tmp_path / "before").mkdir()
    honest_job(tmp_path / "before", app).wait(60)  # libraries are loaded, and memory is as it will stay
    before, living = memory_bytes(stack), set(processes(stack))
    hostile = [item for _, item in messages.hostile(1)] + [item for _, item in messages.unchecked_by_main_process(1)]
    random.Random(1).shuffle(hostile)
    began = time.monotonic()
    push(client, hostile[: len(hostile) // 2])
    job = honest_job(tmp_path, app)
    push(client, hostile[len(hostile) // 2 :])
    job.wait(60)
    assert is_right(tmp_path)
    eventually(lambda: client.llen(LANE) == 0, timeout_s=30)
    assert time.monotonic() - began < 60
    assert set(processes(stack)) == living, "a worker or a process of its pool has ended"
    assert memory_bytes(stack) - before < MAX_GROWTH_BYTES
    eventually(lambda: client.hlen("unacked") == 0, timeout_s=10)
    text = logs(stack)
    assert "a message in lepton.default is refused: " in text
    assert "Traceback" not in text
    assert "\x1b[2J" not in text and "\nforged" not in text and "s3cret" not in text
    assert len([line for line in text.splitlines() if "refused" in line]) < 100


def test_a_large_bomb_and_long_arguments_are_not_unpacked(
    stack: LocalStack, app: Celery, client: Any, tmp_path: Path
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
    peak, deadline = before, time.monotonic() + 4
    while time.monotonic() < deadline:
        peak = max(peak, memory_bytes(stack))
    assert client.llen(LANE) == 0
    honest_job(tmp_path, app).wait(60)
    assert is_right(tmp_path)
    assert set(processes(stack)) == living
    assert peak - before < MAX_GROWTH_BYTES
    eventually(lambda: memory_bytes(stack) - before < 60 << 20, "the memory of the messages", timeout_s=20)
