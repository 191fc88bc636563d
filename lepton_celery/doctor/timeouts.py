"""Settings that contradict each other."""

from __future__ import annotations

from lepton_celery.config import Settings
from lepton_celery.doctor.finding import PROBLEM, WARNING, Case, Check, Finding, run
from lepton_celery.doctor.server import SCHEMES

GROUP = "settings"

LEASES_PER_VISIBILITY = 10
"""A visibility timeout of fewer leases gets a warning."""
SHORTEST_VISIBILITY_S = 300
"""A shorter visibility timeout gets a warning: the merge of a large file may take minutes."""
SHORTEST_LEASE_S = 2.0
"""A shorter lease gets a warning: it is renewed after a third of its time, and a busy machine may be too slow for that."""


def check_settings(settings: Settings) -> list[Finding]:
    """The findings about this process's settings; `workers` compares those of workers with them."""
    # RabbitMQ has no visibility timeout: it notices a lost connection
    checks = [_VISIBILITY, *_CHECKS] if settings.broker_url.startswith(SCHEMES) else _CHECKS
    return run(GROUP, checks, settings)


def _set(name: str) -> str:
    return f"set LEPTON_{name.upper()} to {getattr(Settings(), name)}"


def _shortest_visibility_s(s: Settings) -> float:
    return max(LEASES_PER_VISIBILITY * s.lease_s, SHORTEST_VISIBILITY_S)


def _limits(s: Settings) -> str:
    limit, planned = s.memory_limit_bytes / 2**30, s.worker_memory_bytes / 2**30
    return f"{limit:.1f} GiB and {s.block_limit_s:g} s for a block, plans hold {planned:.1f} GiB"


_VISIBILITY: Check[Settings] = Check(
    "visibility timeout",
    lambda s: f"{s.visibility_timeout_s} s, lease {s.lease_s:g} s",
    _set("visibility_timeout_s"),
    Case(PROBLEM, "Redis gives a batch to two workers at once", lambda s: s.visibility_timeout_s <= s.lease_s),
    Case(WARNING, "a longer merge is started twice", lambda s: s.visibility_timeout_s < _shortest_visibility_s(s)),
)

_CHECKS: tuple[Check[Settings], ...] = (
    Check(
        "lease",
        lambda s: f"{s.lease_s:g} s, renewed every {s.lease_s / 3:.1f} s",
        _set("lease_s"),
        Case(PROBLEM, "no worker can hold a block", lambda s: s.lease_s <= 0),
        Case(WARNING, "a busy worker loses its blocks while it works", lambda s: s.lease_s < SHORTEST_LEASE_S),
    ),
    Check(
        "sweep",
        lambda s: f"every {s.sweep_s:g} s",
        lambda s: f"set LEPTON_SWEEP_S to {max(1, round(s.lease_s / 6))}",
        Case(PROBLEM, "nothing looks for lost work", lambda s: s.sweep_s <= 0),
        Case(WARNING, "longer than a lease, so lost work waits for the sweep", lambda s: s.sweep_s > s.lease_s),
    ),
    Check(
        "window",
        lambda s: f"{s.window_batches} batches, {s.wave_batches} to a wave",
        "unset LEPTON_WAVE_BATCHES and LEPTON_WINDOW_BATCHES",
        Case(PROBLEM, "no batch can be sent", lambda s: min(s.window_batches, s.wave_batches) < 1),
        Case(WARNING, "workers idle between two waves", lambda s: s.window_batches < 2 * s.wave_batches),
    ),
    Check(
        "attempts",
        lambda s: f"{s.max_attempts} for a block",
        _set("max_attempts"),
        Case(PROBLEM, "no block may be tried", lambda s: s.max_attempts < 1),
        Case(WARNING, "a block is given up when one worker is killed", lambda s: s.max_attempts == 1),
    ),
    Check(
        "limits",
        _limits,
        "set LEPTON_MEMORY_LIMIT_BYTES to three times LEPTON_WORKER_MEMORY_BYTES",
        Case(PROBLEM, "planned blocks may not run", lambda s: 0 < s.memory_limit_bytes < s.worker_memory_bytes),
        Case(WARNING, "nothing limits the memory of a block", lambda s: not s.memory_limit_bytes),
        Case(WARNING, "a block that hangs holds its worker", lambda s: not s.block_limit_s, _set("block_limit_s")),
    ),
)
