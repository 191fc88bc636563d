"""Advice for errors of a Redis or Valkey server."""

from __future__ import annotations

import redis

_NO_TLS_ADVICE = "check that a Redis or Valkey server listens there; one that speaks TLS wants rediss://"
_CLIENT_CERTIFICATE_ADVICE = "if it requires a client certificate, add ssl_certfile and ssl_keyfile to the URL"
_ADVICE = {
    "certificate is not valid for": "give the server by a name that its certificate holds",
    "certificate_verify_failed": (
        "its certificate is signed by an unknown authority: add ?ssl_ca_certs=/path/to/ca.pem to the URL"
    ),
    "certificate required": _CLIENT_CERTIFICATE_ADVICE,
    "eof occurred in violation of protocol": f"see the server's log; {_CLIENT_CERTIFICATE_ADVICE}",
    "no_certificate_or_crl_found": "ssl_ca_certs in the URL must name a file with certificates in PEM",
    "no such file or directory": "check the files that the URL names: the socket, ssl_ca_certs, ssl_certfile, ssl_keyfile",
    "[ssl": "check that this port speaks TLS; if it does not, the URL begins with redis://",
    "connection reset by peer": _NO_TLS_ADVICE,
    "connection closed by server": _NO_TLS_ADVICE,
    "timeout reading": (
        "something accepts connections there and says nothing: check that it is a Redis or Valkey server, and that the "
        "machine is not overloaded"
    ),
    "timeout connecting": "check that this machine may reach it, and that it speaks TLS if the URL begins with rediss://",
}
"""The advice for connection errors, by a fragment of their text in lower case; the most specific fragments come first."""

_REFUSALS = {
    "MISCONF": "see its log and free its disk: it cannot save what it is told, and refuses all that it would have to save",
    "NOREPLICAS": "connect its replicas, or lower min-replicas-to-write",
}
"""The advice for a server that refuses to write for the time being, by the first word of its error."""


def remedy(error: redis.exceptions.RedisError) -> str | None:
    """The advice for an error; None if this program is to blame."""
    text = str(error)
    match error:
        case redis.exceptions.AuthenticationError():
            return "check the user name and the password in the URL"
        case redis.exceptions.BusyLoadingError():
            return "wait until the server has loaded its data"
        case redis.exceptions.ConnectionError() | redis.exceptions.TimeoutError():
            fitting = (advice for fragment, advice in _ADVICE.items() if fragment in text.lower())
            return next(fitting, "check that a Redis or Valkey server runs there and that this machine may reach it")
        case redis.exceptions.ReadOnlyError():
            return "give the URL of the primary, not of a replica"
        case redis.exceptions.OutOfMemoryError():
            return "give the server more memory (maxmemory)"
        case (
            redis.exceptions.ClusterDownError() | redis.exceptions.MasterDownError() | redis.exceptions.TryAgainError()
        ):
            return "wait until the server's cluster is whole again"
    if advice := _REFUSALS.get(text.partition(" ")[0]):
        return advice
    forbidden = any(fragment in text for fragment in ("can't run this command", "NOPERM", "ACL failure"))
    if forbidden or isinstance(error, redis.exceptions.NoPermissionError):
        return "let its user run Lua scripts and the commands in them (ACL: +@scripting +@read +@write +time)"
    return None
