"""The command that starts a Celery worker as it should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lepton_celery.priority import LANES, queue_of

OWN_APP = "workers.app"
"""The entry point of a project that has a module `workers.app`, and its settings beside it."""

STANDALONE_APP = "lepton_celery.app"
"""The entry point for folders without `OWN_APP`; it takes its settings from the environment alone."""

ONE_THREAD: Mapping[str, str] = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment variables of workers: processes run in parallel, and threads in each would compete for the same cores."""

CELERY_OVERRIDES = frozenset(
    ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND")
)
"""Environment variables that override Celery's settings. Workers that are started here do not inherit them, since they may
name another broker."""

WORKER_OPTIONS = ("--without-mingle", "--without-gossip")
"""Options of all workers; mingling would make each of them start a second later."""


def app_module(folder: Path | None = None) -> str:
    """The module of the application of a folder, by default this one: its own if it has one."""
    found = find_spec("workers")  # some other package may have this name
    installed = map(Path, found.submodule_search_locations or ()) if found is not None else ()
    folders = ((folder or Path.cwd()) / "workers", *installed)
    return OWN_APP if any((each / "app.py").exists() for each in folders) else STANDALONE_APP


@dataclass(frozen=True)
class WorkerOptions:
    """What is to be known of a worker that starts."""

    app: str
    lanes: tuple[str, ...] = LANES
    hostname: str = "worker@%h"
    concurrency: int | None = None
    """Number of processes; None for one for each processor."""
    autoscale: tuple[int, int] | None = None
    """The fewest and the most processes, instead."""
    loglevel: str = "INFO"
    settings: tuple[str, ...] = ()
    """Settings of Celery's workers, such as `worker_soft_shutdown_timeout=3`."""
    holds_more: bool = False
    """Whether it may hold more messages than it works on, as its application says: on RabbitMQ, some of each lane."""


def worker_command(options: WorkerOptions) -> tuple[list[str], dict[str, str]]:
    """The arguments of `celery`, and the environment variables that it needs unless they are set already."""
    arguments = ["-A", options.app, "worker", f"--hostname={options.hostname}"]
    if set(options.lanes) != set(LANES):
        arguments.append(f"--queues={','.join(map(queue_of, options.lanes))}")
    if options.autoscale is not None:
        fewest, most = options.autoscale
        arguments.append(f"--autoscale={most},{fewest}")
    elif options.concurrency is not None:
        arguments.append(f"--concurrency={options.concurrency}")
    if not options.holds_more:
        arguments.append("--prefetch-multiplier=1")
    arguments += [f"--loglevel={options.loglevel}", *WORKER_OPTIONS]
    if options.settings:
        arguments += ["--", *options.settings]
    return arguments, {**ONE_THREAD, "REMAP_SIGTERM": "SIGQUIT"}
