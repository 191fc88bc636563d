"""Ledger URLs."""

from __future__ import annotations

import subprocess
import sys
import traceback

import pytest

from lepton_celery.errors import InputError
from lepton_celery.ledger.address import redis_py_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host", "redis://host?db=0"),
        ("redis://host:6380/3", "redis://host:6380?db=3"),
        ("redis://:p%40ss@host/1", "redis://:p%40ss@host?db=1"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379?db=0"),
        ("rediss://host/2?ssl_cert_reqs=CERT_NONE", "rediss://host?ssl_cert_reqs=none&db=2"),
        ("redis+socket:///tmp/r.sock?virtual_host=5", "unix:///tmp/r.sock?db=5"),
        ("redis+socket:///tmp/r.sock?virtual_host=/5", "unix:///tmp/r.sock?db=5"),
        ("redis+socket:///tmp/r.sock", "unix:///tmp/r.sock"),
        ("unix:///tmp/r.sock?db=1&password=x%20y", "unix:///tmp/r.sock?db=1&password=x%20y"),
    ],
)
def test_celerys_urls_are_understood(url: str, expected: str) -> None:
    assert redis_py_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "amqp://host",
        "memory://",
        "host:6379",
        "redis://host:port/0",
        "redis://host/name",
        "redis+socket://",
        "redis://[::1",
    ],
)
def test_other_urls_are_refused_with_what_is_accepted(url: str) -> None:
    with pytest.raises(
        InputError,
        match=r"use redis://host:6379/0, rediss://host:6379/0 or redis\+socket:///path/to/socket\?virtual_host=0",
    ):
        redis_py_url(url)


def test_a_refusal_does_not_show_the_password() -> None:
    with pytest.raises(InputError) as caught:
        redis_py_url("amqp://me:s3cret@host//")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["redis://:s3cret#more@host/0", "redis://:12#s3cret@host/0", "redis://:12?s3cret@host/0", "redis://me:s3cret@[::1"],
)
def test_a_password_that_was_not_escaped_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InputError, match="write # as %23") as caught:
        redis_py_url(url)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_importing_the_ledger_imports_neither_celery_nor_redis() -> None:
    program = "import sys, lepton_celery.ledger; assert not {'celery', 'kombu', 'redis'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
