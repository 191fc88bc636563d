"""Signed jobs on real workers: unsigned messages and manifests are refused, and damaged entries harm nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from celery import Celery

import lepton_celery as lepton
from lepton_celery import create_app
from lepton_celery.config import Settings, load_settings
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.engines.celery.sending.publisher import publisher_of
from lepton_celery.errors import InputError, JobError, JobFailed
from lepton_celery.grid import Place
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.ledger.info import Description, JobState
from lepton_celery.local.stack import LocalStack
from tests.stacks import some_workers
from tests.waiting import eventually

pytestmark = pytest.mark.worker

OLD, NEW = "the key of last year is long", "the key of this year is long"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A worker that accepts two keys."""
    env = {"LEPTON_SECRET_KEY": f"{NEW},{OLD}", "LEPTON_ALLOWED_FUNCTIONS": ""}
    with some_workers(tmp_path_factory.mktemp("signed"), env=env) as stack:
        yield stack


def settings_for(stack: LocalStack, *keys: str) -> Settings:
    settings = load_settings({"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": stack.broker_url})
    return replace(settings, secret_key=keys)


def submit(folder: Path, app: Celery) -> lepton.Job:
    folder.mkdir(exist_ok=True)
    np.save(folder / "in.npy", np.arange(4096, dtype=np.uint8).reshape(64, 64))
    return lepton.submit({str(folder / "o.npy"): lepton.open(folder / "in.npy") + 1}, app=app, block_shape=(16, 16))


def has_failed(ledger: Ledger, job_id: str) -> bool:
    return ledger.info(job_id).state is JobState.FAILED


def logs(stack: LocalStack) -> str:
    return "".join(path.read_text() for path in sorted(stack.directory.rglob("*.log")))


@pytest.mark.parametrize("keys", [(NEW,), (OLD,), (OLD, NEW)])
def test_a_job_signed_with_one_of_the_keys_is_done(stack: LocalStack, tmp_path: Path, keys: tuple[str, ...]) -> None:
    job = submit(tmp_path, create_app(settings_for(stack, *keys)))
    job.wait(180)
    expected = np.load(tmp_path / "in.npy") + 1
    assert np.array_equal(np.load(tmp_path / "o.npy"), expected)
    assert b"signature" not in (tmp_path / "o.npy").read_bytes()


@pytest.mark.parametrize("keys", [(), ("the key of somebody else",)])
def test_nothing_is_done_that_none_of_the_keys_signed(stack: LocalStack, tmp_path: Path, keys: tuple[str, ...]) -> None:
    job = submit(tmp_path, create_app(settings_for(stack, *keys)))
    eventually(lambda: "none of this worker's keys has signed it" in logs(stack))
    submit(tmp_path / "signed", create_app(settings_for(stack, NEW))).wait(180)
    with pytest.raises(JobFailed, match=r"manifest (has no signature|was signed with another key).*LEPTON_SECRET_KEY"):
        job.wait(180)
    assert job.info().blocks_done == 0
    assert not (tmp_path / "o.npy").exists()
    assert logs(stack).count("a message for lepton.process is refused") == 1
    with pytest.raises(InputError, match="LEPTON_SECRET_KEY"):
        lepton.get_job(job.id, settings=settings_for(stack, NEW)).manifest()
    job.forget()


def test_messages_of_wrong_arguments_are_refused_and_the_worker_lives(stack: LocalStack, tmp_path: Path) -> None:
    app = create_app(settings_for(stack, NEW))
    publisher = publisher_of(app)
    hostile: tuple[tuple[str, list[Any]], ...] = (
        ("lepton.process", ["j", 0, "0-99999999999"]),
        ("lepton.process", ["../..", 0, "0"]),
        ("lepton.process", [None, {}, []]),
        ("lepton.process", []),
        ("lepton.process", ["j", 0, "0", "x", "y"]),
        ("lepton.close", ["j", -1]),
        ("lepton.close", ["j", 10**30]),
        ("lepton.tidy", ["../../etc"]),
        ("lepton.tidy", [["j"]]),
    )
    for task, arguments in hostile:
        publisher.signature(task, args=arguments, immutable=True, options={"queue": "lepton.default"}).apply_async()
    submit(tmp_path, app).wait(180)
    eventually(lambda: "a message for lepton.tidy is refused" in logs(stack))
    assert "Traceback" not in logs(stack)


def test_damaged_manifests_fail_their_jobs_and_can_be_removed(stack: LocalStack, tmp_path: Path) -> None:
    app = create_app(settings_for(stack, NEW))
    settings = settings_for(stack, NEW)
    ledger = open_ledger(settings.ledger)
    client = redis.Redis.from_url(settings.ledger, decode_responses=True)
    hostile = {
        "nothing": "{}",
        "no-json": "not json",
        "deep": "[" * 100_000,
        "null": json.dumps({"plan": None, "version": 4}),
    }
    for job_id, text in hostile.items():
        ledger.create(job_id, {}, lane="default", description=Description("[red]x[/]"), stages=[1.0], blocks=4)
        (key,) = client.keys(f"*{{{job_id}}}:manifest")
        client.set(key, text)
        canvas.send_alone(app, ledger.info(job_id), [Place(0)])
    submit(tmp_path, app).wait(180)
    for job_id in hostile:
        eventually(partial(has_failed, ledger, job_id))
        assert "manifest" in ledger.info(job_id).error
        job = lepton.get_job(job_id, settings=settings)
        with pytest.warns(UserWarning, match="were not removed"):
            job.forget()
        with pytest.raises(JobError, match="knows no job"):
            ledger.info(job_id)
