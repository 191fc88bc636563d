"""A description of one process and its machine, as small JSON without passwords.

Workers send it to `lepton doctor`, which compares the descriptions with each other and with its own.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lepton_celery.config import Settings
from lepton_celery.signing import mark_of

PACKAGES = ("lepton-celery", "numpy", "scipy", "scikit-image", "celery", "kombu", "redis")
"""Packages whose versions `lepton doctor` compares."""

SAME_EVERYWHERE = ("lease_s", "sweep_s", "max_attempts", "visibility_timeout_s", "allowed_roots", "allowed_functions")
"""Settings that must have the same value in all processes."""

KEYS = "keys"
"""The marks of the secret keys among the settings."""

_CGROUP = Path("/sys/fs/cgroup")
"""The control groups of this machine or container; Linux only."""

_OWN_CGROUPS = Path("/proc/self/cgroup")
"""The names of the control groups that this process is in."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The processes of a worker."""

    kind: str
    """prefork, solo, threads, gevent or eventlet."""
    processes: int
    """Largest number of processes."""
    start_method: str
    """fork or spawn; empty if the pool has no child processes."""
    parent_threads: int
    """Number of threads of the process that forks."""


@dataclass(frozen=True, slots=True)
class About:
    """The description of a process."""

    machine: str
    """Host name."""
    platform: str
    """linux or darwin."""
    time: float
    """The process's clock, in seconds since the epoch."""
    versions: Mapping[str, str]
    """The versions of Python and of `PACKAGES`."""
    settings: Mapping[str, Any]
    """`SAME_EVERYWHERE`, the memory of a pool process, the address of the ledger, and the marks of the secret keys."""
    memory_bytes: int
    """Memory of the machine or container; 0 if it is unknown."""
    pool: Pool | None = None
    queues: Sequence[str] = ()
    soft_shutdown_s: float = 0.0
    """Seconds for which a stop lets the current batch go on."""
    prefetch: int = 1
    """Messages that the worker holds for each process; 0 for no limit."""
    folders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The process's answers to the doctor's probes, by folder."""


def about_this_process(settings: Settings) -> About:
    """The description of this process; only a worker has a pool, queues and folders."""
    told = {name: getattr(settings, name) for name in (*SAME_EVERYWHERE, "worker_memory_bytes")}
    told["ledger"] = address_of(settings.ledger)
    told[KEYS] = tuple(map(mark_of, settings.secret_key))
    return About(
        machine=socket.gethostname(),
        platform=sys.platform,
        time=time.time(),
        versions={"python": platform.python_version(), **{package: _version(package) for package in PACKAGES}},
        settings={name: list(value) if isinstance(value, tuple) else value for name, value in told.items()},
        memory_bytes=memory_bytes(),
    )


def memory_bytes() -> int:
    """Memory of this machine, or of the container if that has less; 0 if it is unknown."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0
    return min([machine, *_cgroup_limits()])


def _cgroup_limits() -> Iterator[int]:
    """Memory limits of this process's control groups, of versions 1 and 2."""
    files = [_CGROUP / "memory.max", _CGROUP / "memory" / "memory.limit_in_bytes"]
    with suppress(OSError):
        for line in _OWN_CGROUPS.read_text(encoding="utf-8").splitlines():
            if line.startswith("0::/"):  # the group of version 2; the groups around it limit this process too
                group = _CGROUP / line.removeprefix("0::/")
                files += [folder / "memory.max" for folder in (group, *group.parents) if _CGROUP in folder.parents]
    for file in files:
        with suppress(OSError):
            text = file.read_text(encoding="ascii").strip()
            if text.isdigit() and int(text) > 0:
                yield int(text)


def count_threads() -> int:
    """Number of threads of this process; on Linux, those of C libraries count too."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def address_of(url: str) -> str:
    """Host, port and database of a Redis URL, or the path of its socket, to compare URLs.

    User, password and options are left out. `ledger.address.masked` gives a URL to show to people.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "?"
    return f"{host}:{port or 6379}{parts.path or '/0'}" if host else parts.path
