"""Opening a ledger by its URL, which does not connect to the server."""

from __future__ import annotations

import pytest

from lepton_celery.errors import InputError
from lepton_celery.ledger import open_ledger


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://:p%40ss@host/1",
        "rediss://host/2?ssl_cert_reqs=CERT_NONE",
        "redis+socket:///tmp/r.sock?virtual_host=5",
        "unix:///tmp/r.sock?db=1&password=x%20y",
    ],
)
def test_urls_of_every_form_are_opened(url: str) -> None:
    open_ledger(url)


def test_other_urls_are_refused() -> None:
    with pytest.raises(InputError, match="use redis://host:6379/0"):
        open_ledger("amqp://host")


def test_a_url_has_one_ledger() -> None:
    assert open_ledger("redis://host:1/0") is open_ledger("redis://host:1/0")
    assert open_ledger("redis://host:1/0") is not open_ledger("redis://host:1/1")
