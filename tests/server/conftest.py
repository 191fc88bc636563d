"""One server for the tests of this folder, and a ledger on it for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import settings

from lepton_celery.ledger import Ledger, open_ledger
from tests.server.server import Server, running_server

# no time limit on single examples, which would fail on a busy machine; in CI the same examples each time
settings.register_profile("default", deadline=None, max_examples=30)
settings.register_profile("ci", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that stays for all tests."""
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """The key prefix of a test's ledger."""
    return f"{request.node.name}:"


@pytest.fixture
def ledger(server: Server, prefix: str) -> Ledger:
    """A ledger of the test's own."""
    return open_ledger(server.url, prefix=prefix)


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    """A plain Redis client of the server."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        yield client
