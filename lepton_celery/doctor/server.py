"""Checks whether the Redis or Valkey server of the broker and the ledger answers, and keeps all data."""

from __future__ import annotations

import time
import timeit
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import redis

from lepton_celery.doctor.finding import OK, PROBLEM, WARNING, Case, Finding, judge
from lepton_celery.errors import InputError
from lepton_celery.ledger.address import redis_py_url
from lepton_celery.ledger.remedies import remedy
from lepton_celery.text import masked

GROUP = "server"
_judge = partial(judge, GROUP)

OLDEST = (6, 2)
"""The oldest version of Redis that kombu supports."""
SLOW_S = 0.05
"""A slower answer gets a warning: the three calls for each batch would take a third of the batch's time."""
NEARLY_FULL = 0.8
"""Share of the memory limit above which there is a warning."""
CLOCKS_APART_S = 2.0
"""Clocks that differ by more seconds get a warning."""
SCHEMES = ("redis://", "rediss://", "redis+socket://", "unix://")
"""URL schemes of Redis and Valkey servers."""

_TIMEOUT_S = 3.0
_PINGS = 5


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The answers of a server."""

    address: str
    """Its URL without passwords."""
    latency_s: float
    """The fastest of `_PINGS` round trips."""
    clock_ahead_s: float
    """Seconds by which its clock is ahead of this machine's, without the round trip; negative if it is behind."""
    info: Mapping[str, object] = field(default_factory=dict)
    """The answer to INFO; empty if this user may not run it."""

    @property
    def version(self) -> tuple[int, ...]:
        """The version of Redis that the server is compatible with."""
        numbers = self.text("redis_version", "0").split(".")[:2]
        return tuple(int(number) if number.isdigit() else 0 for number in numbers)

    def text(self, name: str, default: str = "") -> str:
        """A field of INFO."""
        return str(self.info.get(name, default))

    def number(self, name: str) -> int:
        """A number from INFO; 0 if it is missing."""
        value = self.info.get(name, 0)
        return int(value) if isinstance(value, int | float) else 0


def ask_server(url: str) -> ServerFacts:
    """Ask a server for its facts.

    Raises:
        InputError: the URL is not understood.
        RedisError: the server does not answer.
    """
    client = redis.Redis.from_url(
        redis_py_url(url),
        decode_responses=True,
        socket_connect_timeout=_TIMEOUT_S,
        socket_timeout=_TIMEOUT_S,
        retry=None,  # a server that does not answer is asked once
    )
    with client:
        client.ping()
        latency_s = min(timeit.repeat(client.ping, repeat=_PINGS, number=1))
        before = time.time()
        seconds, micros = client.time()
        ahead = beyond(seconds + micros / 1e6, before, time.time())
        try:
            info: Mapping[str, object] = client.info()
        except redis.exceptions.NoPermissionError:
            info = {}
    return ServerFacts(masked(url), latency_s, ahead, info)


def beyond(moment: float, first: float, last: float) -> float:
    """Seconds by which `moment` is after `last`, or before `first` (negative); 0 in between."""
    return max(0.0, moment - last) + min(0.0, moment - first)


def check_server(url: str, name: str) -> tuple[bool, list[Finding]]:
    """Whether a server answers, and the findings about it. `name` is its use, such as "broker"."""
    try:
        return True, list(check_facts(ask_server(url), name))
    except InputError as error:
        found, advice = str(error), "correct the URL in the settings"
    except redis.exceptions.RedisError as error:
        found, advice = f"{masked(url)} does not answer: {error}", remedy(error) or "see the server's log"
    return False, [Finding(GROUP, name, PROBLEM, found, advice)]


def check_facts(facts: ServerFacts, name: str) -> Iterator[Finding]:
    """The findings about a server that answers."""
    yield _judge(
        name,
        f"{facts.address} answers in {facts.latency_s * 1000:.1f} ms",
        "move it nearer to the workers: every batch makes three calls",
        Case(facts.latency_s >= SLOW_S, WARNING),
    )
    yield from _configuration(facts)
    ahead_s = facts.clock_ahead_s
    is_apart = abs(ahead_s) > CLOCKS_APART_S
    apart = f"{abs(ahead_s):,.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    yield _judge(
        "clock",
        apart if is_apart else "in step with this machine's",
        "synchronize all clocks (chrony, systemd-timesyncd); leases follow the server's clock, so no work is lost",
        Case(is_apart, WARNING),
    )


def server_warnings(url: str) -> list[str]:
    """The warnings that a worker logs about its ledger's server when it starts."""
    _, findings = check_server(url, "ledger")
    return [f"{finding.name}: {finding.found}; {finding.advice}" for finding in findings if finding.verdict is not OK]


def _configuration(facts: ServerFacts) -> Iterator[Finding]:
    if not facts.info:
        yield _judge(
            "configuration",
            "unknown version, persistence and memory, because this user may not run INFO",
            "allow it (ACL: +info); Celery's broker needs it too",
            Case(True, WARNING),
        )
        return
    valkey, is_replica = facts.text("valkey_version"), facts.text("role") == "slave"
    yield _judge(
        "version",
        f"Valkey {valkey}" if valkey else f"Redis {facts.text('redis_version', 'of unknown version')}",
        f"use Redis {'.'.join(map(str, OLDEST))} or later, or Valkey: kombu needs it",
        Case(facts.version < OLDEST, PROBLEM),
    )
    yield _judge(
        "role",
        "replica" if is_replica else "primary",
        "give the URL of the primary",
        Case(is_replica, PROBLEM, "it refuses writes"),
    )
    has_file = facts.number("aof_enabled")
    enable = "set appendonly yes, or in redis-cli: config set appendonly yes"
    yield _judge(
        "persistence",
        "append-only file" if has_file else "appendonly no",
        "see the server's log: the disk may be full",
        Case(not has_file, WARNING, "a restart of the server loses every running job", enable),
        Case("ok" not in facts.text("aof_last_write_status", "ok"), PROBLEM, "the last write failed"),
    )
    used, limit = facts.number("used_memory"), facts.number("maxmemory")
    policy = facts.text("maxmemory_policy", "unknown")
    share = f"{used / 1e6:,.0f} MB of {limit / 1e6:,.0f} MB" if limit else f"{used / 1e6:,.0f} MB"
    evicts = policy != "noeviction"
    room = "raise maxmemory, or give Celery a server of its own"
    yield _judge(
        "memory",
        f"{share}, maxmemory-policy {policy}",
        "set maxmemory-policy noeviction, or in redis-cli: config set maxmemory-policy noeviction",
        Case(evicts and limit, PROBLEM, "a full server drops tasks and receipts"),
        Case(evicts, WARNING, "with a memory limit it would drop tasks"),
        Case(used > NEARLY_FULL * limit > 0, WARNING, "it will soon refuse writes", room),
    )
