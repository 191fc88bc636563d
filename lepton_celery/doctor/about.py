"""What one process says of itself and its machine, as small JSON without passwords.

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
"""Packages whose versions are compared."""

SAME_EVERYWHERE = ("lease_s", "sweep_s", "max_attempts", "visibility_timeout_s", "allowed_roots", "allowed_functions")
"""Settings that must have the same value in all processes."""

_CGROUP = Path("/sys/fs/cgroup")  # Linux only


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
    """What a process says of itself."""

    machine: str
    """The name of its machine."""
    platform: str
    """linux or darwin."""
    time: float
    """Its clock when it answered."""
    versions: Mapping[str, str]
    """The versions of Python and of `PACKAGES`."""
    settings: Mapping[str, Any]
    """The settings that must be the same everywhere, the memory of a pool process, and the address of the ledger."""
    memory_bytes: int
    """The memory of its machine or container; 0 when it cannot be told."""
    pool: Pool | None = None
    queues: Sequence[str] = ()
    soft_shutdown_s: float = 0.0
    """How long a stop leaves the batch in hand."""
    folders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The answers to the probes that it was asked to read, by folder."""


def about_this_process(settings: Settings) -> About:
    """What this process says of itself; only a worker has a pool, queues and folders."""
    told = {name: getattr(settings, name) for name in (*SAME_EVERYWHERE, "worker_memory_bytes")}
    return About(
        machine=socket.gethostname(),
        platform=sys.platform,
        time=time.time(),
        versions={"python": platform.python_version(), **{package: _version(package) for package in PACKAGES}},
        settings={
            **{name: list(value) if isinstance(value, tuple) else value for name, value in told.items()},
            "ledger": address_of(settings.ledger),
        },
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
    """Memory limits of the control groups of both versions that this process is in."""
    limits = []
    for file in (_CGROUP / "memory.max", _CGROUP / "memory" / "memory.limit_in_bytes", *_own_cgroups()):
        try:
            text = file.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit() and int(text) > 0:
            limits.append(int(text))
    return limits


def _own_cgroups() -> list[Path]:
    """The files with the limits of this process's group of version 2, and of the groups around it."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    own = [Path(line[4:]) for line in lines if line.startswith("0::/")]
    return [_CGROUP / Path(*group.parts[1:]) / "memory.max" for path in own for group in (path, *path.parents)]


def count_threads() -> int:
    """Threads of this process, with those of libraries where the system tells."""
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return threading.active_count()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def address_of(url: str) -> str:
    """Host, port and database of a Redis URL, or the path of its socket: the same for all URLs of one database.

    It is for comparing, so user, password and options are left out; people are shown `ledger.address.masked`.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "?"
    return f"{host}:{port or 6379}{parts.path or '/0'}" if host else parts.path
