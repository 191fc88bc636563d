"""Settings that contradict each other."""

from __future__ import annotations

from lepton_celery.config import Settings
from lepton_celery.doctor.finding import Finding, ok, problem, warning
from lepton_celery.doctor.server import SCHEMES

GROUP = "settings"

_DEFAULT = Settings()

_LEASES_PER_VISIBILITY = 10
_SHORTEST_VISIBILITY_S = 300
"""Blocks are planned for half a second, but a merge of a large file may take minutes."""
_SHORTEST_LEASE_S = 2.0
"""Leases are renewed every third of their time: on a busy machine a shorter one ends under a worker that lives."""


def check_settings(settings: Settings) -> list[Finding]:
    """The findings about settings of this machine; workers' are compared with them elsewhere."""
    findings = [_lease(settings), _sweep(settings), _window(settings), _attempts(settings), _limits(settings)]
    # RabbitMQ has no such timeout: it notices a lost connection
    return [_visibility(settings), *findings] if settings.broker_url.startswith(SCHEMES) else findings


def _visibility(settings: Settings) -> Finding:
    name, found = "visibility timeout", f"{settings.visibility_timeout_s} s, lease {settings.lease_s:g} s"
    if settings.visibility_timeout_s <= settings.lease_s:
        return problem(
            GROUP,
            name,
            f"{found}: Redis gives a batch to a second worker while the first still holds it",
            f"set LEPTON_VISIBILITY_TIMEOUT_S to {_DEFAULT.visibility_timeout_s}",
        )
    if settings.visibility_timeout_s < max(_LEASES_PER_VISIBILITY * settings.lease_s, _SHORTEST_VISIBILITY_S):
        return warning(
            GROUP,
            name,
            f"{found}: a merge that takes longer is started twice",
            f"set LEPTON_VISIBILITY_TIMEOUT_S to {_DEFAULT.visibility_timeout_s}; leases bring lost work back long before",
        )
    return ok(GROUP, name, found)


def _lease(settings: Settings) -> Finding:
    found = f"{settings.lease_s:g} s, renewed every {settings.lease_s / 3:.1f} s"
    if settings.lease_s <= 0:
        return problem(GROUP, "lease", f"{settings.lease_s:g} s", f"set LEPTON_LEASE_S to {_DEFAULT.lease_s:g}")
    if settings.lease_s < _SHORTEST_LEASE_S:
        return warning(
            GROUP,
            "lease",
            f"{found}: a busy worker loses its blocks while it works",
            f"set LEPTON_LEASE_S to {_DEFAULT.lease_s:g}",
        )
    return ok(GROUP, "lease", found)


def _sweep(settings: Settings) -> Finding:
    found = f"every {settings.sweep_s:g} s"
    if settings.sweep_s <= 0:
        return problem(GROUP, "sweep", found, f"set LEPTON_SWEEP_S to {_DEFAULT.sweep_s:g}")
    if settings.sweep_s > settings.lease_s:
        return warning(
            GROUP,
            "sweep",
            f"{found}, more than a lease: lost work waits for the look, not for the end of the lease",
            f"set LEPTON_SWEEP_S to {max(1, round(settings.lease_s / 6))}",
        )
    return ok(GROUP, "sweep", found)


def _window(settings: Settings) -> Finding:
    found = f"{settings.window_batches} batches, {settings.wave_batches} to a wave"
    if min(settings.window_batches, settings.wave_batches) < 1:
        return problem(GROUP, "window", found, "unset LEPTON_WAVE_BATCHES and LEPTON_WINDOW_BATCHES")
    if settings.window_batches < 2 * settings.wave_batches:
        return warning(
            GROUP,
            "window",
            f"{found}: workers idle between two waves",
            f"set LEPTON_WINDOW_BATCHES to {3 * settings.wave_batches}",
        )
    return ok(GROUP, "window", found)


def _attempts(settings: Settings) -> Finding:
    found = f"{settings.max_attempts} for a block"
    if settings.max_attempts < 1:
        return problem(
            GROUP, "attempts", f"{found}: no block may be tried", f"set LEPTON_MAX_ATTEMPTS to {_DEFAULT.max_attempts}"
        )
    if settings.max_attempts == 1:
        return warning(
            GROUP,
            "attempts",
            f"{found}: one killed worker and its block is given up",
            f"set LEPTON_MAX_ATTEMPTS to {_DEFAULT.max_attempts}",
        )
    return ok(GROUP, "attempts", found)


def _limits(settings: Settings) -> Finding:
    planned, limit, seconds = settings.worker_memory_bytes, settings.memory_limit_bytes, settings.block_limit_s
    found = f"{limit / 2**30:.1f} GiB and {seconds:g} s for a block, plans hold {planned / 2**30:.1f} GiB"
    if 0 < limit < planned:
        advice = "set LEPTON_MEMORY_LIMIT_BYTES to three times LEPTON_WORKER_MEMORY_BYTES"
        return problem(GROUP, "limits", f"{found}: blocks are planned that may not run", advice)
    if not limit or not seconds:
        name = "LEPTON_BLOCK_LIMIT_S" if limit else "LEPTON_MEMORY_LIMIT_BYTES"
        default = _DEFAULT.block_limit_s if limit else _DEFAULT.memory_limit_bytes
        found = "no limit of " + (
            "time: a block that hangs holds its worker for ever" if limit else "memory for a block"
        )
        return warning(GROUP, "limits", found, f"set {name} to {default:g}" if limit else f"set {name} to {default}")
    return ok(GROUP, "limits", found)
