"""Nothing waits without a word: lanes that nobody serves, servers that do not answer, ports that speak TLS."""

from __future__ import annotations

import socket
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery, _state

import lepton_celery as lepton
from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending import publisher
from lepton_celery.errors import BrokerUnreachable, JobError, WaitingWarning, WaitTimeout
from lepton_celery.jobs import unserved
from lepton_celery.ledger import Ledger, connection, open_ledger
from tests.server.ledgers import let_notes_pass
from tests.server.server import Server


@pytest.fixture
def app(server: Server) -> Celery[Any]:
    """An application with a broker and without workers."""
    return lepton.create_app(Settings(broker_url=server.url))


@pytest.fixture
def mute() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []

        def accept() -> None:
            while True:
                try:
                    held.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


def submit(app: Celery, tmp_path: Path) -> lepton.Job:
    image = lepton.open(np.zeros((64, 64), np.uint8))
    return lepton.submit({str(tmp_path / "o.npy"): ~image}, app=app, priority="interactive")


# ------------------------------------------------------------------------------------------------ lanes


def test_lanes_are_served_while_the_notes_of_their_workers_are_valid(ledger: Ledger, client: Any, prefix: str) -> None:
    assert not ledger.is_served("batch")
    ledger.serve("a@host", ["batch", "default"], slots=1, for_s=60)
    ledger.serve("b@host", ["batch"], slots=1, for_s=60)
    assert ledger.is_served("batch")
    assert ledger.is_served("default")
    assert not ledger.is_served("interactive")
    ledger.serve("a@host", ["batch", "default"], slots=1, for_s=0)
    assert ledger.is_served("batch")
    assert not ledger.is_served("default")
    let_notes_pass(client, 61, prefix=prefix)
    assert not ledger.is_served("batch")


def test_submit_and_wait_warn_and_the_timeout_says_that_nobody_serves_the_lane(
    app: Celery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.warns(WaitingWarning, match=r"no worker serves the lane 'interactive'.*-Q lepton.interactive") as told:
        job = submit(app, tmp_path)
    assert told[0].filename == __file__
    assert unserved.WARN_AFTER_S == 2.0
    monkeypatch.setattr(unserved, "WARN_AFTER_S", 0.05)
    with (
        pytest.warns(WaitingWarning, match=f"job {job.id} waits: no worker serves the lane") as told,
        pytest.raises(WaitTimeout, match=r"goes on \(no worker serves the lane 'interactive'"),
    ):
        job.wait(1.0)
    assert len(told) == 1
    monkeypatch.setattr(unserved, "WARN_AFTER_S", 60.0)
    with pytest.raises(WaitTimeout), warnings.catch_warnings(action="error"):
        job.wait(0.1)  # not yet
    job.cancel()


def test_a_wait_without_a_limit_ends_if_no_worker_comes(
    app: Celery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unserved.GIVE_UP_AFTER_S == 30.0
    monkeypatch.setattr(unserved, "WARN_AFTER_S", 0.05)
    monkeypatch.setattr(unserved, "GIVE_UP_AFTER_S", 0.2)
    job = submit(app, tmp_path)
    with pytest.raises(WaitTimeout, match="it begins when one does"):
        job.wait()
    job.cancel()


@pytest.mark.filterwarnings("error")
def test_nothing_is_said_while_a_worker_serves_the_lane(
    app: Celery, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unserved, "WARN_AFTER_S", 0.05)
    open_ledger(server.url).serve("w@host", ["interactive"], slots=1, for_s=60)
    job = submit(app, tmp_path)
    with pytest.raises(WaitTimeout, match="goes on; wait again"):
        job.wait(0.7)
    job.cancel()
    open_ledger(server.url).serve("w@host", ["interactive"], slots=1, for_s=0)


def test_a_task_does_not_wait_for_a_job(app: Celery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from celery.result import allow_join_result

    job = submit(app, tmp_path)
    monkeypatch.setattr(_state, "_task_join_will_block", True)  # as in a worker's pool process
    with pytest.raises(JobError, match="must not wait"):
        job.wait(1.0)
    with pytest.raises(RuntimeError, match="must not wait"):
        job.result(1.0)
    with allow_join_result(), pytest.raises(WaitTimeout):
        job.wait(0.1)
    job.cancel()
    with pytest.raises(lepton.LeptonError, match="was cancelled"):
        job.wait(0.1)  # it has ended, so this does not block


# ------------------------------------------------------------------------------------------------ servers


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_ledger_that_does_not_answer_is_told_and_given_up(
    mute: int, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connection.CONNECT_TIMEOUT_S + connection.REPLY_TIMEOUT_S < 10
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(connection, "REPLY_TIMEOUT_S", 0.3)
    with (
        pytest.warns(WaitingWarning, match="does not answer: .*; trying again") as told,
        pytest.raises(BrokerUnreachable, match="Timeout"),
    ):
        Ledger(f"{scheme}://127.0.0.1:{mute}/0", "lepton:").ping()
    assert len(told) == 1


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_does_not_answer_is_given_up(
    mute: int, server: Server, tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publisher._TIMEOUTS["socket_connect_timeout"] + publisher._TIMEOUTS["socket_timeout"] < 10
    monkeypatch.setitem(publisher._TIMEOUTS, "socket_timeout", 0.5)
    broker = f"{scheme}://127.0.0.1:{mute}/{'0' if scheme == 'redis' else '/'}"
    app = lepton.create_app(Settings(broker_url=broker, result_backend=server.url))
    assert app.conf.broker_connection_timeout < 10
    app.conf.broker_connection_timeout = 0.5
    with pytest.raises(BrokerUnreachable, match="the broker does not answer"):
        submit(app, tmp_path)
    assert list(tmp_path.iterdir()) == []
