"""Parses ledger URLs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from lepton_celery.errors import InputError
from lepton_celery.text import masked

ACCEPTED = "redis://host:6379/0, rediss://host:6379/0 or redis+socket:///path/to/socket?virtual_host=0"
"""The accepted forms of URL, for error messages."""

_REQUIREMENTS = ("required", "optional", "none")
"""Values of redis-py's `ssl_cert_reqs`."""


def redis_py_url(url: str) -> str:
    """Convert a Redis URL from Celery's form to redis-py's.

    Raises:
        InputError: the URL is malformed or of another kind; the message lists the accepted forms.
    """
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        _ = parts.port
    except ValueError:
        raise _unreadable(url) from None
    if parts.fragment or "@" in parts.query.partition("=")[0]:  # the rest of a password that ended the host
        raise _unreadable(url)
    if parts.scheme in ("redis+socket", "unix"):
        if not parts.path:
            raise InputError(f"ledger URL {masked(url)!r} names no socket; use {ACCEPTED}")
        database = options.pop("virtual_host", None)
        if database is not None:
            options["db"] = database.strip("/")
        scheme = "unix"
    elif parts.scheme in ("redis", "rediss"):
        # redis-py would silently use database 0 for a path that is not a number
        options.setdefault("db", parts.path.strip("/") or "0")
        scheme = parts.scheme
    else:
        raise InputError(f"ledger URL {masked(url)!r} is not understood; use {ACCEPTED}")
    if not options.get("db", "0").isdigit():
        raise InputError(f"ledger URL {masked(url)!r} has no database number; use {ACCEPTED}")
    if scheme != "rediss" and any(name.startswith("ssl_") for name in options):
        raise InputError(f"ledger URL {masked(url)!r} has TLS options but not the scheme of TLS; write rediss://")
    requirement = options.get("ssl_cert_reqs")
    if requirement is not None:  # Celery writes CERT_NONE, redis-py writes none
        options["ssl_cert_reqs"] = requirement.removeprefix("CERT_").lower()
        if options["ssl_cert_reqs"] not in _REQUIREMENTS:
            raise InputError(
                f"ledger URL {masked(url)!r} has ssl_cert_reqs={requirement}; give one of {', '.join(_REQUIREMENTS)}"
            )
    path = parts.path if scheme == "unix" else ""
    return _joined_url(scheme, parts.netloc, path, urlencode(options, quote_via=quote))


def database_of(options: Mapping[str, Any]) -> tuple[object, ...]:
    """What tells a database of Redis from others, of the options of a connection: where it is, and as whom it is used."""
    host = (options.get("host") or "127.0.0.1", int(options.get("port") or 6379))
    where = options.get("path") or host
    return where, int(options.get("db") or 0), options.get("username") or None


def is_redis(url: str) -> bool:
    """Whether `redis_py_url` understands a URL."""
    try:
        redis_py_url(url)
    except InputError:
        return False
    return True


def with_tls(url: str, options: Mapping[str, Any] | None) -> str:
    """A Redis URL with the TLS options of Celery's `broker_use_ssl` or `redis_backend_use_ssl`, if there are any."""
    parts = _split(url)
    if not options or parts.scheme not in ("redis", "rediss"):
        return url
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    # Celery takes the constants of the module ssl, such as CERT_REQUIRED
    texts = {name: str(getattr(value, "name", value)) for name, value in options.items() if name.startswith("ssl_")}
    return _joined_url("rediss", parts.netloc, parts.path, urlencode({**texts, **given}, quote_via=quote))


def celery_backend_url(url: str) -> str:
    """Convert a Redis URL of any accepted form to the one that Celery's Redis backend understands."""
    parts = _split(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme in ("redis+socket", "unix"):  # Celery reads the database of a socket from `virtual_host` alone
        options.setdefault("virtual_host", options.pop("db", "0"))
        return _joined_url("socket", parts.netloc, parts.path, urlencode(options, quote_via=quote))
    return with_certificate_check(url)


def with_certificate_check(url: str) -> str:
    """Add `ssl_cert_reqs=required`, redis-py's default, to a TLS URL without it, which Celery's Redis backend refuses."""
    parts = _split(url)
    if parts.scheme != "rediss" or "ssl_cert_reqs" in dict(parse_qsl(parts.query)):
        return url
    return f"{url}{'&' if parts.query else '?'}ssl_cert_reqs=required"


def _split(url: str) -> SplitResult:
    """The parts of a URL; InputError if it has none."""
    try:
        return urlsplit(url)
    except ValueError:
        raise _unreadable(url) from None


def _unreadable(url: str) -> InputError:
    """The error for a URL without a host; Python's own would show a part of the password."""
    return InputError(
        f"URL {masked(url)!r} cannot be read: what should be its host or its port is neither; in a password, write # as "
        f"%23, / as %2F, ? as %3F, @ as %40; use {ACCEPTED}"
    )


def _joined_url(scheme: str, netloc: str, path: str, query: str) -> str:
    # urlunsplit would drop the empty host of redis+socket:///path, because it does not know the scheme
    return f"{scheme}://{netloc}{path}" + (f"?{query}" if query else "")
