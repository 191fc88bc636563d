"""A job that is prepared and sent later leaves nothing until then, and notices what has changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from celery import Celery

import lepton_celery as lepton
from lepton_celery.config import Settings
from lepton_celery.errors import BrokerUnreachable, InputError, JobNotFound, OutputExists, QueueFull
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.ledger.info import JobState
from tests.server.server import Server


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    url = f"redis://127.0.0.1:{server.port}/7"
    with redis.Redis.from_url(url) as broker:
        broker.flushdb()
        yield url
        broker.flushdb()


@pytest.fixture
def app(url: str) -> Celery[Any]:
    return lepton.create_app(Settings(broker_url=url, max_open_jobs=3))


@pytest.fixture
def ledger(url: str) -> Ledger:
    return open_ledger(url)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    np.save(tmp_path / "input.npy", np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
    return tmp_path / "input.npy"


def prepare(app: Celery[Any], source: Any, folder: Path, **options: Any) -> lepton.PreparedJob:
    return lepton.prepare({str(folder / "o.npy"): ~lepton.open(source)}, app=app, **options)


def test_nothing_is_left_of_a_job_that_is_never_sent(
    app: Celery[Any], url: str, ledger: Ledger, source: Path, tmp_path: Path
) -> None:
    prepared = prepare(app, source, tmp_path)
    with pytest.raises(JobNotFound):
        ledger.info(prepared.id)
    assert [path.name for path in tmp_path.iterdir()] == ["input.npy"]
    with redis.Redis.from_url(url) as broker:
        assert broker.keys("*") == []
    assert repr(prepared) == f"<PreparedJob {prepared.id}, not sent>"


def test_it_is_sent_once_however_often_and_from_however_many_threads(
    app: Celery[Any], ledger: Ledger, source: Path, tmp_path: Path
) -> None:
    prepared = prepare(app, source, tmp_path, owner="ada", title="inverted")
    jobs: list[lepton.Job] = []
    threads = [threading.Thread(target=lambda: jobs.append(prepared.send())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {job.id for job in jobs} == {prepared.id}
    [info] = ledger.jobs()
    assert (info.job_id, info.state, info.owner, info.title) == (prepared.id, JobState.RUNNING, "ada", "inverted")
    prepared.send().cancel()
    prepared.send()
    assert ledger.info(prepared.id).state is JobState.CANCELLED


def test_what_is_refused_is_refused_when_it_is_prepared(app: Celery[Any], source: Path, tmp_path: Path) -> None:
    (tmp_path / "o.npy").touch()
    with pytest.raises(OutputExists):
        prepare(app, source, tmp_path)
    (tmp_path / "o.npy").unlink()
    with pytest.raises(InputError, match="there is no such option"):
        prepare(app, source, tmp_path, colour="red")
    away = lepton.create_app(Settings(broker_url="redis://127.0.0.1:1/0"))
    with pytest.raises(BrokerUnreachable):
        prepare(away, source, tmp_path)


def test_what_changes_in_between_is_noticed(app: Celery[Any], ledger: Ledger, source: Path, tmp_path: Path) -> None:
    prepared = prepare(app, source, tmp_path)
    np.save(source, np.zeros((64, 64), np.uint16))
    with pytest.raises(InputError, match="has changed since"):
        prepared.send()

    pixels = np.zeros((9, 9), np.uint8)
    prepared = prepare(app, pixels, tmp_path)
    pixels[3, 3] = 1
    with pytest.raises(InputError, match=r"array of \(9, 9\) pixels .* has changed"):
        prepared.send()

    prepared = prepare(app, source, tmp_path)
    (tmp_path / "o.npy").touch()
    with pytest.raises(OutputExists):
        prepared.send()
    assert ledger.jobs() == []


def test_the_queue_may_be_full_by_then(app: Celery[Any], ledger: Ledger, source: Path, tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    prepared = [prepare(app, source, folder) for folder in folders]
    for one in prepared[:3]:
        one.send()
    with pytest.raises(QueueFull):
        prepared[3].send()
    ledger.cancel(prepared[0].id)
    prepared[3].send()


def test_sending_may_be_tried_again(
    app: Celery[Any], ledger: Ledger, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(app, source, tmp_path)

    def fails(*_: Any) -> None:
        raise BrokerUnreachable("down")

    with monkeypatch.context() as patch, pytest.raises(BrokerUnreachable):
        patch.setattr("lepton_celery.jobs.submit.turns.send_first_turns", fails)
        patch.setattr(Ledger, "forget", fails)  # so it stays in the ledger
        prepared.send()
    assert ledger.info(prepared.id).state is JobState.RUNNING
    assert prepared.send().info().state is JobState.RUNNING
    assert len(ledger.jobs()) == 1


def test_an_eager_application_does_it_when_it_is_sent(source: Path, tmp_path: Path) -> None:
    app: Celery[Any] = Celery("eager", broker="memory://", set_as_current=False)
    app.conf.task_always_eager = True
    lepton.configure(app, Settings())
    prepared = prepare(app, source, tmp_path)
    assert not (tmp_path / "o.npy").exists()
    assert prepared.send().info().state is JobState.DONE
    assert prepared.send().id == prepared.id
    assert np.array_equal(np.load(tmp_path / "o.npy"), ~np.load(source))
