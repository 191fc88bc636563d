"""Finds settings that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lepton_celery.config import Settings
from lepton_celery.doctor.finding import PROBLEM, WARNING, Case, Finding, judge
from lepton_celery.doctor.server import SCHEMES

GROUP = "settings"
_judge = partial(judge, GROUP)

LEASES_PER_VISIBILITY = 10
"""A visibility timeout of fewer leases than this gets a warning."""
SHORTEST_VISIBILITY_S = 300
"""A shorter visibility timeout gets a warning: the merge of a large file may take minutes."""
SHORTEST_LEASE_S = 2.0
"""A shorter lease gets a warning: it is renewed after a third of its time, which a busy machine may miss."""


def _set(name: str) -> str:
    return f"set LEPTON_{name.upper()} to {getattr(Settings, name)}"


def check_settings(s: Settings) -> Iterator[Finding]:
    """The findings about this process's settings. `workers` compares the settings of workers with them."""
    if s.broker_url.startswith(SCHEMES):  # RabbitMQ has no visibility timeout: it notices a lost connection
        shortest_s = max(LEASES_PER_VISIBILITY * s.lease_s, SHORTEST_VISIBILITY_S)
        yield _judge(
            "visibility timeout",
            f"{s.visibility_timeout_s} s, lease {s.lease_s:g} s",
            _set("visibility_timeout_s"),
            Case(s.visibility_timeout_s <= s.lease_s, PROBLEM, "Redis gives a batch to two workers at once"),
            Case(s.visibility_timeout_s < shortest_s, WARNING, "a longer merge is started twice"),
        )
    yield _judge(
        "lease",
        f"{s.lease_s:g} s, renewed every {s.lease_s / 3:.1f} s",
        _set("lease_s"),
        Case(s.lease_s <= 0, PROBLEM, "no worker can hold a block"),
        Case(s.lease_s < SHORTEST_LEASE_S, WARNING, "a busy worker loses its blocks while it works"),
    )
    yield _judge(
        "sweep",
        f"every {s.sweep_s:g} s",
        f"set LEPTON_SWEEP_S to {max(1, round(s.lease_s / 6))}",
        Case(s.sweep_s <= 0, PROBLEM, "nothing looks for lost work"),
        Case(s.sweep_s > s.lease_s, WARNING, "that is longer than a lease, so lost work waits for the sweep"),
    )
    yield _judge(
        "attempts",
        f"{s.max_attempts} per block",
        _set("max_attempts"),
        Case(s.max_attempts < 1, PROBLEM, "no block may be tried"),
        Case(s.max_attempts == 1, WARNING, "a block is given up after one failure or one killed worker"),
    )
    limit, planned = s.memory_limit_bytes / 2**30, s.worker_memory_bytes / 2**30
    yield _judge(
        "limits",
        f"a block may take {limit:.1f} GiB and {s.block_limit_s:g} s; plans use {planned:.1f} GiB",
        "set LEPTON_MEMORY_LIMIT_BYTES to three times LEPTON_WORKER_MEMORY_BYTES",
        Case(0 < limit < planned, PROBLEM, "blocks that keep to their plan may be stopped"),
        Case(not limit, WARNING, "nothing limits the memory of a block"),
        Case(not s.block_limit_s, WARNING, "a block that hangs occupies its worker for ever", _set("block_limit_s")),
    )
