"""What one process says of itself and its machine; small, JSON, without passwords.

A worker answers with it when `lepton doctor` asks, and the doctor compares the answers with each other and with its own.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lepton_celery.config import Settings

PACKAGES = ("lepton-celery", "numpy", "scipy", "scikit-image", "celery", "kombu", "redis")
"""Whose versions are compared."""

_CGROUP = Path("/sys/fs/cgroup")  # Linux only
_TASKS = Path("/proc/self/task")


@dataclass(frozen=True, slots=True)
class Pool:
    """The processes of a worker."""

    kind: str
    """prefork, solo, threads, gevent or eventlet."""
    processes: int
    """The most it may have."""
    start_method: str
    """fork or spawn; empty where there are no child processes."""
    parent_threads: int
    """Threads of the process that forks."""


@dataclass(frozen=True, slots=True)
class About:
    """One process."""

    machine: str
    platform: str
    """linux or darwin."""
    time: float
    """Its clock when it answered."""
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    """Those that all processes must agree on, and those that say what this one takes."""
    memory_bytes: int
    """What this machine or container has; 0 when it cannot be told."""
    pool: Pool | None = None
    queues: Sequence[str] = ()
    soft_shutdown_s: float = 0.0
    folders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What came of the probes it was asked to read, by folder."""


def about_this_process(settings: Settings) -> About:
    """What this process says of itself."""
    return About(
        machine=socket.gethostname(),
        platform=sys.platform,
        time=time.time(),
        versions=_versions(),
        settings=_shared(settings),
        memory_bytes=memory_bytes(),
    )


def memory_bytes() -> int:
    """Memory of this machine, or of the container if that has less; 0 when it cannot be told."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0
    return min([machine, *_cgroup_limits()])


def _cgroup_limits() -> list[int]:
    """Limits of the control groups this process is in, of both versions."""
    found = []
    for file in (_CGROUP / "memory.max", _CGROUP / "memory" / "memory.limit_in_bytes", *_own_cgroups()):
        try:
            text = file.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit() and int(text) > 0:
            found.append(int(text))
    return found


def _own_cgroups() -> list[Path]:
    """Where the limits of this process's group and the groups around it stand, on a machine with version 2."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    own = [Path(line[4:]) for line in lines if line.startswith("0::/")]
    return [_CGROUP / Path(*group.parts[1:]) / "memory.max" for path in own for group in (path, *path.parents)]


def count_threads() -> int:
    """Threads of this process, those of libraries included where the system tells."""
    try:
        return len(list(_TASKS.iterdir()))
    except OSError:
        return threading.active_count()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _shared(settings: Settings) -> dict[str, Any]:
    return {
        "lease_s": settings.lease_s,
        "sweep_s": settings.sweep_s,
        "max_attempts": settings.max_attempts,
        "visibility_timeout_s": settings.visibility_timeout_s,
        "worker_memory_bytes": settings.worker_memory_bytes,
        "allowed_roots": list(settings.allowed_roots),
        "allowed_functions": list(settings.allowed_functions),
        "ledger": address_of(settings.ledger),
    }


def address_of(url: str) -> str:
    """Host, port and database of a Redis URL, or the path of its socket; two URLs of one database have the same address.

    It is made for comparing: user, password and options are left out. `ledger.address.masked` is what people are shown.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "?"
    return f"{host}:{port or 6379}{parts.path or '/0'}" if host else parts.path
