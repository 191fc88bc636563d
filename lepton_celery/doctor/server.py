"""The Redis or Valkey server behind the broker and the ledger: does it answer, keep what it is told, and drop nothing?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lepton_celery.doctor.finding import Finding, Verdict, ok, problem, warning
from lepton_celery.errors import BrokerUnreachable, LeptonError
from lepton_celery.ledger.address import masked, redis_py_url
from lepton_celery.ledger.remedies import remedy

GROUP = "server"

OLDEST = (6, 2)
"""kombu's own limit."""

_TIMEOUT_S = 3.0
_PINGS = 5
_SLOW_S = 0.05
"""A batch takes three calls; at this latency they cost a third of its time."""
_NEARLY_FULL = 0.8
CLOCKS_APART_S = 2.0
"""Clocks that differ by more are worth a word."""

SCHEMES = ("redis://", "rediss://", "redis+socket://", "unix://")
"""URLs of servers that this module can ask."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server said of itself."""

    latency_s: float
    """Of the fastest of a few round trips."""
    clock_ahead_s: float
    """How far its clock is ahead of this machine's, beyond what the round trip explains; negative: behind."""
    info: Mapping[str, object] = field(default_factory=dict)
    """What INFO told; empty when this user may not ask."""

    @property
    def may_ask(self) -> bool:
        return bool(self.info)

    @property
    def product(self) -> str:
        """Name and version."""
        if "valkey_version" in self.info:
            return f"Valkey {self.info['valkey_version']}"
        return f"Redis {self.info.get('redis_version', 'of unknown version')}"

    @property
    def version(self) -> tuple[int, ...]:
        """The version of Redis that it is or is compatible with."""
        parts = str(self.info.get("redis_version", "0")).split(".")[:2]
        return tuple(int(part) if part.isdigit() else 0 for part in parts)

    def number(self, name: str) -> int:
        """A number of INFO; 0 when it is not there."""
        value = self.info.get(name, 0)
        return int(value) if isinstance(value, int | float) else 0


def look_at(url: str) -> ServerFacts:
    """Ask a server what it is.

    Raises:
        InputError: the URL is not understood.
        BrokerUnreachable: it does not answer; the message says why.
    """
    client = redis.Redis.from_url(
        redis_py_url(url),
        decode_responses=True,
        socket_connect_timeout=_TIMEOUT_S,
        socket_timeout=_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        with client:
            client.ping()
            latency = min(_timed(client) for _ in range(_PINGS))
            before = time.time()
            seconds, micros = client.time()
            ahead = beyond(seconds + micros / 1e6, before, time.time())
            return ServerFacts(latency, ahead, _info(client))
    except redis.exceptions.RedisError as error:
        what = remedy(error) or "see the server's log"
        raise BrokerUnreachable(f"{masked(url)} does not answer: {error}; {what}") from error


def beyond(moment: float, first: float, last: float) -> float:
    """How far `moment` is after `last`, or before `first` (negative); 0 between them."""
    return max(0.0, moment - last) + min(0.0, moment - first)


def _timed(client: redis.Redis) -> float:
    started = time.perf_counter()
    client.ping()
    return time.perf_counter() - started


def _info(client: redis.Redis) -> Mapping[str, object]:
    try:
        found: Mapping[str, object] = client.info()
    except redis.exceptions.NoPermissionError:
        return {}
    return found


def check_server(url: str, name: str) -> tuple[ServerFacts | None, list[Finding]]:
    """All checks of one server; no facts when it does not answer.

    Args:
        url: a Redis URL.
        name: what it serves as: broker, ledger.
    """
    try:
        facts = look_at(url)
    except LeptonError as error:
        found, _, advice = str(error).rpartition("; ")
        return None, [problem(GROUP, name, found or str(error), advice)]
    return facts, check_facts(facts, masked(url), name)


def check_facts(facts: ServerFacts, shown: str, name: str) -> list[Finding]:
    """The findings of a server that answers."""
    answers = f"{shown} answers in {facts.latency_s * 1000:.1f} ms"
    findings = [
        ok(GROUP, name, answers)
        if facts.latency_s < _SLOW_S
        else warning(GROUP, name, answers, "move it nearer to the workers: every batch asks it three times")
    ]
    if not facts.may_ask:
        findings.append(
            warning(
                GROUP,
                "configuration",
                "its user may not run INFO, so version, persistence and memory are unknown",
                "let it (ACL: +info); Celery's broker needs that too",
            )
        )
    else:
        findings += [_version(facts), _role(facts), _persistence(facts), _memory(facts)]
    findings.append(_clock(facts))
    return findings


def server_warnings(url: str) -> list[str]:
    """What a worker should say about its ledger's server when it starts: nothing, when all is well."""
    _, findings = check_server(url, "ledger")
    return [
        f"{finding.name}: {finding.found}; {finding.advice}"
        for finding in findings
        if finding.verdict is not Verdict.OK
    ]


def _version(facts: ServerFacts) -> Finding:
    if facts.version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return problem(GROUP, "version", facts.product, f"use Redis {oldest} or later, or Valkey: kombu needs it")
    return ok(GROUP, "version", facts.product)


def _role(facts: ServerFacts) -> Finding:
    if facts.info.get("role") == "slave":
        return problem(GROUP, "role", "it is a replica", "give the URL of the primary")
    return ok(GROUP, "role", "primary")


def _persistence(facts: ServerFacts) -> Finding:
    if not facts.number("aof_enabled"):
        return warning(
            GROUP,
            "persistence",
            "appendonly no: a restart of the server forgets every job that runs",
            "set appendonly yes, or in redis-cli: config set appendonly yes",
        )
    if "ok" not in (status := str(facts.info.get("aof_last_write_status", "ok"))):
        return problem(
            GROUP,
            "persistence",
            f"the append-only file could not be written ({status})",
            "see the server's log; its disk may be full",
        )
    return ok(GROUP, "persistence", "append-only file")


def _memory(facts: ServerFacts) -> Finding:
    policy = str(facts.info.get("maxmemory_policy", "unknown"))
    used, most = facts.number("used_memory"), facts.number("maxmemory")
    share = f"{used / 1e6:,.0f} MB" + (f" of {most / 1e6:,.0f} MB" if most else "")
    if policy != "noeviction":
        found = f"maxmemory-policy {policy}: " + (
            "when its memory is full it drops tasks and receipts" if most else "it would drop tasks if it had a limit"
        )
        advice = "set maxmemory-policy noeviction, or in redis-cli: config set maxmemory-policy noeviction"
        return (problem if most else warning)(GROUP, "memory", found, advice)
    if most and used > _NEARLY_FULL * most:
        return warning(
            GROUP,
            "memory",
            f"{share}, noeviction: soon it will refuse to take more",
            "raise maxmemory, or give Celery a server of its own",
        )
    return ok(GROUP, "memory", f"{share}, noeviction")


def _clock(facts: ServerFacts) -> Finding:
    if abs(facts.clock_ahead_s) > CLOCKS_APART_S:
        side = "ahead of" if facts.clock_ahead_s > 0 else "behind"
        return warning(
            GROUP,
            "clock",
            f"{abs(facts.clock_ahead_s):,.0f} s {side} this machine's",
            "let all machines keep time (chrony, systemd-timesyncd); leases follow the server's, so no work is lost",
        )
    return ok(GROUP, "clock", "as this machine's")
