"""Ledger URLs: reading them, and showing them without passwords."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from lepton_celery.errors import InputError

ACCEPTED = "redis://host:6379/0, rediss://host:6379/0 or redis+socket:///path/to/socket?virtual_host=0"
"""Forms of URL, for messages."""

_REQUIREMENTS = ("required", "optional", "none")
"""Values of redis-py's `ssl_cert_reqs`."""


def masked(url: str) -> str:
    """The URL with its passwords replaced by `***`, for messages and logs."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return "***"
    netloc = parts.netloc
    if password is not None:
        user, _, host = netloc.rpartition("@")
        netloc = f"{user.partition(':')[0]}:***@{host}"
    query = urlencode(
        [
            (name, "***" if "password" in name else value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        ],
        safe="*/:",
    )
    return _joined_url(parts.scheme, netloc, parts.path, query)


def redis_py_url(url: str) -> str:
    """A Redis URL in Celery's form as redis-py takes it.

    Raises:
        InputError: the URL is not understood; the message says which are.
    """
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        _ = parts.port
    except ValueError as error:
        raise InputError(f"ledger URL {masked(url)!r} cannot be read: {error}; use {ACCEPTED}") from error
    if parts.scheme in ("redis+socket", "unix"):
        if not parts.path:
            raise InputError(f"ledger URL {masked(url)!r} names no socket; use {ACCEPTED}")
        database = options.pop("virtual_host", None)
        if database is not None:
            options["db"] = database.strip("/")
        scheme = "unix"
    elif parts.scheme in ("redis", "rediss"):
        # redis-py would silently take database 0 for a path that is no number.
        options.setdefault("db", parts.path.strip("/") or "0")
        scheme = parts.scheme
    else:
        raise InputError(f"ledger URL {masked(url)!r} is not understood; use {ACCEPTED}")
    if not options.get("db", "0").isdigit():
        raise InputError(f"ledger URL {masked(url)!r} has no database number; use {ACCEPTED}")
    if scheme != "rediss" and any(name.startswith("ssl_") for name in options):
        raise InputError(f"ledger URL {masked(url)!r} has options of TLS but does not ask for it; write rediss://")
    requirement = options.get("ssl_cert_reqs")
    if requirement is not None:  # Celery takes the names of the ssl module, redis-py their ends in lower case
        options["ssl_cert_reqs"] = requirement.removeprefix("CERT_").lower()
        if options["ssl_cert_reqs"] not in _REQUIREMENTS:
            raise InputError(
                f"ledger URL {masked(url)!r} has ssl_cert_reqs={requirement}; give one of {', '.join(_REQUIREMENTS)}"
            )
    path = parts.path if scheme == "unix" else ""
    return _joined_url(scheme, parts.netloc, path, urlencode(options, quote_via=quote))


def with_certificate_check(url: str) -> str:
    """A URL that Celery's Redis backend takes, which for TLS must say whether the server's certificate is checked.

    It is checked unless the URL says otherwise, as the broker and the ledger do without being told.
    """
    parts = urlsplit(url)
    if parts.scheme != "rediss" or "ssl_cert_reqs" in dict(parse_qsl(parts.query)):
        return url
    return f"{url}{'&' if parts.query else '?'}ssl_cert_reqs=required"


def _joined_url(scheme: str, netloc: str, path: str, query: str) -> str:
    # Not by urlunsplit: for a scheme it does not know it drops the empty host of redis+socket:///path.
    return f"{scheme}://{netloc}{path}" + (f"?{query}" if query else "")
