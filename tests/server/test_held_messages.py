"""Entries among the messages that workers hold that are none: the doctor names them, and workers restore past them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from kombu import Connection

from lepton_celery.cli import lepton as lepton_command
from lepton_celery.doctor.finding import Verdict
from lepton_celery.doctor.held import check_held
from lepton_celery.engines.celery.worker.restoring import guard_restoring
from tests.hostile import messages
from tests.server.server import Server

LANE = "lepton.default"
GARBAGE = [b"\xff no json", b"null", b"[1, 2]", b"[" * 100_000, b""]
"""What kombu ends with an error on."""


@pytest.fixture
def url(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}/11"


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield client
        client.flushdb()


def hold(client: Any, tag: str, entry: bytes | str, at: float) -> None:
    client.hset("unacked", tag, entry)
    client.zadd("unacked_index", {tag: at})


def test_messages_of_lost_workers_come_back_past_entries_that_are_none(
    client: Any, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number, entry in enumerate(GARBAGE):
        hold(client, f"garbage{number}", entry, at=1 + number)
    hold(client, "lost", json.dumps([messages.honest(), "", LANE]), at=0.5)  # the last one that is restored
    with Connection(url) as connection:
        early: Any = connection.channel()
        with pytest.raises((ValueError, TypeError, RecursionError)):
            early.qos.restore_visible(num=10, interval=1)
        guard_restoring(connection.transport)
        with caplog.at_level(logging.WARNING):
            later: Any = connection.channel()
            for channel in (early, later):
                channel.qos.restore_visible(num=10, interval=1)
    assert client.llen(LANE) == 1
    assert client.hlen("unacked") == client.zcard("unacked_index") == 0
    assert caplog.text.count("is no message of Celery") >= len(GARBAGE) - 1  # an empty one is left out by kombu


def test_the_doctor_names_them_and_says_how_to_remove_them(client: Any, url: str, tmp_path: Any) -> None:
    with Connection(url) as connection:
        hold(client, "honest", json.dumps([messages.honest(), "", LANE]), at=1)
        assert [finding.verdict for finding in check_held(connection.default_channel)] == [Verdict.OK]
    for number, entry in enumerate(GARBAGE):
        hold(client, f"garbage{number}", entry, at=2 + number)
    environment = {"LEPTON_BROKER_URL": url, "LEPTON_STATE": str(tmp_path)}
    done = CliRunner(env=environment).invoke(lepton_command, ["doctor", "--timeout=0.2"])
    assert done.exit_code == 1, done.output
    assert "unacked has entries that are no messages ('garbage0', 'garbage1', 'garbage2' and 2 more)" in done.output
    assert "redis-cli zrem unacked_index garbage0" in done.output
