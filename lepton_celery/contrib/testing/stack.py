"""A server and workers for the tests of a project."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from celery import Celery

from lepton_celery.contrib.testing import app as worker_app
from lepton_celery.contrib.testing.app import APP_VARIABLE, application, point_at
from lepton_celery.errors import InputError
from lepton_celery.local.server import RedisServer
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.local.worker_command import CELERY_OVERRIDES
from lepton_celery.priority import LANES, queue_of


@dataclass(frozen=True)
class StackOptions:
    """The options of `lepton_stack`."""

    workers: int = 1
    """Number of worker processes."""
    concurrency: int = 1
    """Number of pool processes of each worker."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the workers, in addition to those of the tests."""
    queues: Sequence[str] = ()
    """Queues of the project that the workers serve, in addition to the lanes, `task_queues` and `task_default_queue`."""
    app: str = ""
    """The application of the workers, as for `celery -A`; empty for that of the tests."""


def options_from(given: Mapping[str, Any]) -> StackOptions:
    """The options by their names.

    Raises:
        InputError: there is no option of a name.
    """
    known = [option.name for option in fields(StackOptions)]
    if unknown := sorted(given.keys() - set(known)):
        raise InputError(f"lepton_stack_options has no option {', '.join(unknown)}; it has {', '.join(known)}")
    return StackOptions(**given)


@contextmanager
def running_stack(folder: Path, app: str | Celery[Any], options: StackOptions, root: Path) -> Iterator[LocalStack]:
    """A server and workers that run in `root`, import what this process can import, and are killed at the end.

    In this process the environment names the server meanwhile, and the application uses it.

    Raises:
        InputError: there is no such application.
        StackError: a worker does not get ready; the message has the end of its log.
        BrokerUnreachable: there is no server to start.
    """
    name = options.app or app
    if not isinstance(name, str):
        raise InputError(
            f"lepton_app is the application {name.main!r} itself, and workers are processes of their own, which need its "
            'name; return it as lepton_stack_options, such as {"app": "shop.celery"}'
        )
    with RedisServer(folder / "server") as server, _environment(server.url):
        used = application(app)
        point_at(used, server.url)
        project = Project(
            app=worker_app.__name__,
            settings="",
            env={APP_VARIABLE: name, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **options.env},
            cwd=root,
            queues=tuple(dict.fromkeys([*map(queue_of, LANES), *used.amqp.queues, *options.queues])),
        )
        stack = LocalStack(
            folder,
            workers=options.workers,
            concurrency=options.concurrency,
            flower=False,
            broker_url=server.url,
            project=project,
        )
        try:
            stack.start()
            yield stack
        finally:
            stack.kill()


@contextmanager
def _environment(url: str) -> Iterator[None]:
    """Name a server in the environment of this process, and none of another one, until the `with` block is done."""
    names = {"LEPTON_BROKER_URL": url, "LEPTON_LEDGER_URL": url}
    others = [*CELERY_OVERRIDES, "LEPTON_RESULT_BACKEND"]
    before = {name: os.environ.get(name) for name in (*names, *others)}
    for name in others:
        os.environ.pop(name, None)
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
