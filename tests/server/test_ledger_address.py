"""Opening a ledger by its URL, which does not connect to the server."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from lepton_celery.errors import InputError
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.ledger.address import redis_py_url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("redis://host", {"host": "host", "db": 0}),
        ("redis://:p%40ss@host/1", {"host": "host", "db": 1, "password": "p@ss"}),
        ("rediss://host/2?ssl_cert_reqs=CERT_NONE", {"host": "host", "db": 2, "ssl_cert_reqs": "none"}),
        ("redis+socket:///tmp/r.sock?virtual_host=5", {"path": "/tmp/r.sock", "db": 5}),
        ("unix:///tmp/r.sock?db=1&password=x%20y", {"path": "/tmp/r.sock", "db": 1, "password": "x y"}),
    ],
)
def test_urls_of_every_form_are_opened(url: str, parts: dict[str, Any]) -> None:
    assert isinstance(open_ledger(url), Ledger)
    understood = redis.ConnectionPool.from_url(redis_py_url(url)).connection_kwargs
    assert {name: understood[name] for name in parts} == parts


def test_other_urls_are_refused() -> None:
    with pytest.raises(InputError, match="use redis://host:6379/0"):
        open_ledger("amqp://host")


def test_a_url_has_one_ledger() -> None:
    assert open_ledger("redis://host:1/0") is open_ledger("redis://host:1/0")
    assert open_ledger("redis://host:1/0") is not open_ledger("redis://host:1/1")
