"""The Redis or Valkey server behind the broker and the ledger: does it answer, keep what it is told, and drop nothing?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lepton_celery.doctor.finding import OK, PROBLEM, WARNING, Case, Check, Finding, run
from lepton_celery.errors import InputError
from lepton_celery.ledger.address import masked, redis_py_url
from lepton_celery.ledger.remedies import remedy

GROUP = "server"

OLDEST = (6, 2)
"""The oldest version of Redis that kombu works with."""
SLOW_S = 0.05
"""A slower answer gets a warning: a batch makes three calls, which then cost a third of its time."""
NEARLY_FULL = 0.8
"""Share of the memory limit from which the server counts as nearly full."""
CLOCKS_APART_S = 2.0
"""Clocks that differ by more get a warning."""
SCHEMES = ("redis://", "rediss://", "redis+socket://", "unix://")
"""Schemes of the URLs that this module can ask."""

_TIMEOUT_S = 3.0
_PINGS = 5


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself."""

    address: str
    """Its URL without passwords."""
    latency_s: float
    """The fastest of a few round trips."""
    clock_ahead_s: float
    """How far its clock is ahead of this machine's, beyond what the round trip explains; negative if it is behind."""
    info: Mapping[str, object] = field(default_factory=dict)
    """The answer to INFO; empty when this user may not ask."""

    @property
    def version(self) -> tuple[int, ...]:
        """The version of Redis that it is, or is compatible with."""
        numbers = self.text("redis_version", "0").split(".")[:2]
        return tuple(int(number) if number.isdigit() else 0 for number in numbers)

    def text(self, name: str, default: str = "") -> str:
        """A field of INFO."""
        return str(self.info.get(name, default))

    def number(self, name: str) -> int:
        """A number from INFO; 0 when it is not there."""
        value = self.info.get(name, 0)
        return int(value) if isinstance(value, int | float) else 0


def ask_server(url: str) -> ServerFacts:
    """Ask a server what it is.

    Raises:
        InputError: the URL is not understood.
        RedisError: the server does not answer.
    """
    client = redis.Redis.from_url(
        redis_py_url(url),
        decode_responses=True,
        socket_connect_timeout=_TIMEOUT_S,
        socket_timeout=_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    with client:
        client.ping()
        latency = min(_timed_ping(client) for _ in range(_PINGS))
        before = time.time()
        seconds, micros = client.time()
        ahead = beyond(seconds + micros / 1e6, before, time.time())
        try:
            info: Mapping[str, object] = client.info()
        except redis.exceptions.NoPermissionError:
            info = {}
    return ServerFacts(masked(url), latency, ahead, info)


def beyond(moment: float, first: float, last: float) -> float:
    """How far `moment` is after `last`, or before `first` (negative); 0 between them."""
    return max(0.0, moment - last) + min(0.0, moment - first)


def _timed_ping(client: redis.Redis) -> float:
    started = time.perf_counter()
    client.ping()
    return time.perf_counter() - started


def check_server(url: str, name: str) -> tuple[bool, list[Finding]]:
    """Whether a server answers, and the findings about it.

    Args:
        url: a Redis URL.
        name: what the server is used for: broker, ledger.
    """
    try:
        return True, check_facts(ask_server(url), name)
    except InputError as error:
        found, advice = str(error), "correct the URL in the settings"
    except redis.exceptions.RedisError as error:
        found, advice = f"{masked(url)} does not answer: {error}", remedy(error) or "see the server's log"
    return False, [Finding(GROUP, name, PROBLEM, found, advice)]


def check_facts(facts: ServerFacts, name: str) -> list[Finding]:
    """The findings about a server that answers."""
    return run(GROUP, [_answer(name), *(_INFO if facts.info else [_NO_INFO]), _CLOCK], facts)


def server_warnings(url: str) -> list[str]:
    """What a worker logs about its ledger's server when it starts; nothing when all is well."""
    _, findings = check_server(url, "ledger")
    return [f"{finding.name}: {finding.found}; {finding.advice}" for finding in findings if finding.verdict is not OK]


def _product(facts: ServerFacts) -> str:
    valkey = facts.text("valkey_version")
    return f"Valkey {valkey}" if valkey else f"Redis {facts.text('redis_version', 'of unknown version')}"


def _memory(facts: ServerFacts) -> str:
    used, limit = facts.number("used_memory") / 1e6, facts.number("maxmemory") / 1e6
    share = f"{used:,.0f} MB of {limit:,.0f} MB" if limit else f"{used:,.0f} MB"
    return f"{share}, maxmemory-policy {facts.text('maxmemory_policy', 'unknown')}"


def _evicts(facts: ServerFacts) -> bool:
    return facts.text("maxmemory_policy", "unknown") != "noeviction"


def _clock(facts: ServerFacts) -> str:
    if abs(facts.clock_ahead_s) <= CLOCKS_APART_S:
        return "as this machine's"
    return f"{abs(facts.clock_ahead_s):,.0f} s {'ahead of' if facts.clock_ahead_s > 0 else 'behind'} this machine's"


def _answer(name: str) -> Check[ServerFacts]:
    return Check(
        name,
        lambda facts: f"{facts.address} answers in {facts.latency_s * 1000:.1f} ms",
        "move it nearer to the workers: every batch asks it three times",
        Case(WARNING, "", lambda facts: facts.latency_s >= SLOW_S),
    )


_NO_INFO: Check[ServerFacts] = Check(
    "configuration",
    lambda facts: "its user may not run INFO, so version, persistence and memory are unknown",
    "let it (ACL: +info); Celery's broker needs that too",
    Case(WARNING),
)

_INFO: tuple[Check[ServerFacts], ...] = (
    Check(
        "version",
        _product,
        f"use Redis {'.'.join(map(str, OLDEST))} or later, or Valkey: kombu needs it",
        Case(PROBLEM, "", lambda facts: facts.version < OLDEST),
    ),
    Check(
        "role",
        lambda facts: "replica" if facts.text("role") == "slave" else "primary",
        "give the URL of the primary",
        Case(PROBLEM, "it takes no writes", lambda facts: facts.text("role") == "slave"),
    ),
    Check(
        "persistence",
        lambda facts: "append-only file" if facts.number("aof_enabled") else "appendonly no",
        "see the server's log; its disk may be full",
        Case(
            WARNING,
            "a restart of the server forgets every job that runs",
            lambda facts: not facts.number("aof_enabled"),
            "set appendonly yes, or in redis-cli: config set appendonly yes",
        ),
        Case(PROBLEM, "it could not be written", lambda facts: "ok" not in facts.text("aof_last_write_status", "ok")),
    ),
    Check(
        "memory",
        _memory,
        "set maxmemory-policy noeviction, or in redis-cli: config set maxmemory-policy noeviction",
        Case(PROBLEM, "a full server drops tasks and receipts", lambda s: _evicts(s) and s.number("maxmemory")),
        Case(WARNING, "with a limit of memory it would drop tasks", _evicts),
        Case(
            WARNING,
            "it will soon refuse to take more",
            lambda facts: facts.number("used_memory") > NEARLY_FULL * facts.number("maxmemory") > 0,
            "raise maxmemory, or give Celery a server of its own",
        ),
    ),
)

_CLOCK: Check[ServerFacts] = Check(
    "clock",
    _clock,
    "let all machines keep time (chrony, systemd-timesyncd); leases follow the server's, so no work is lost",
    Case(WARNING, "", lambda facts: abs(facts.clock_ahead_s) > CLOCKS_APART_S),
)
