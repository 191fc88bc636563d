"""Questions of `lepton doctor` to workers, and a worker's warnings about the ledger's server when it starts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from celery import Celery
from celery.signals import worker_ready
from celery.worker.control import inspect_command
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from lepton_celery.config import Settings
from lepton_celery.doctor.about import About, Pool, about_this_process, count_threads
from lepton_celery.doctor.finding import OK, Finding
from lepton_celery.doctor.folders import answer_probe
from lepton_celery.doctor.held import check_held
from lepton_celery.doctor.server import server_warnings
from lepton_celery.doctor.signing import check_signing
from lepton_celery.doctor.timeouts import check_settings
from lepton_celery.doctor.workers import HABITS, Answer
from lepton_celery.engines.celery.sending.queues import serves_jobs
from lepton_celery.errors import BrokerUnreachable, InputError
from lepton_celery.stores.documents import from_document, to_document
from lepton_celery.text import logger, masked

log = logger(__name__)

COMMAND = "lepton_about"
"""Name of the question as a remote control command of Celery."""

_CONNECT_TIMEOUT_S = 3
"""Seconds that connecting to the broker may take."""


@inspect_command(name=COMMAND)
def about(state: Any, probes: Mapping[str, str] | None = None, **_: Any) -> dict[str, Any]:
    """Versions, settings, pool and memory of this worker, for `lepton doctor`."""
    # this runs in the event loop of the worker's main process, which knows the pool
    app: Celery = state.app
    settings: Settings = app.conf["lepton"]
    # before the probes: a thread that asked a file system is among the system's threads for a moment after its end
    pool = _pool(state.consumer.controller)
    folders = {
        folder: answer_probe(folder, token, state.hostname, settings.allowed_roots)
        for folder, token in (probes or {}).items()
    }
    answer = replace(
        _about_worker(state.consumer.controller),
        pool=pool,
        queues=[queue.name for queue in state.consumer.task_consumer.queues],
        folders=folders,
    )
    return to_document(answer)


def _about_worker(worker: Any) -> About:
    """The description of a worker, as far as it is known before the worker has a connection."""
    app: Celery = worker.app
    return replace(
        about_this_process(app.conf["lepton"]),
        soft_shutdown_s=float(app.conf.worker_soft_shutdown_timeout or 0),
        prefetch=int(worker.prefetch_multiplier),
    )


def _pool(worker: Any) -> Pool:
    module = type(worker.pool).__module__.rpartition(".")[2]
    kind = "threads" if module == "thread" else module  # as --pool calls it
    forks = "" if kind != "prefork" else "fork" if worker.pool.forking_enable else "spawn"
    processes = worker.max_concurrency if worker.autoscaler else worker.pool.num_processes
    return Pool(kind=kind, processes=int(processes), start_method=forks, parent_threads=count_threads())


@worker_ready.connect(weak=False, dispatch_uid="lepton.server_warnings")
def _warn(sender: Any, **_: Any) -> None:
    """Log a warning for each setting with which jobs may be lost or run worse, if this worker serves a lane."""
    settings: Settings | None = sender.app.conf.get("lepton")
    if settings is None or not serves_jobs(sender.app):
        return
    for text in server_warnings(settings.ledger):
        log.warning("the ledger's server: %s", text)
    for finding in (*check_settings(settings), *check_signing(settings, None)):
        if finding.verdict is not OK:
            log.warning("%s: %s; %s", finding.name, finding.found, finding.advice)
    about = _about_worker(sender.controller)
    for habit in HABITS:
        if habit.is_in(about):
            log.warning("%s: %s; %s", habit.name, habit.consequence, habit.advice)


def broker_latency(app: Celery) -> float:
    """Seconds that it takes to connect to the broker.

    Raises:
        BrokerUnreachable: the broker does not answer; the message says why.
    """
    started = time.perf_counter()
    try:
        with app.connection_for_write(connect_timeout=_CONNECT_TIMEOUT_S) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_CONNECT_TIMEOUT_S)
    except (OperationalError, OSError) as error:
        url = masked(app.conf.broker_url)
        raise BrokerUnreachable(f"{url} does not answer: {error}") from error
    return time.perf_counter() - started


def held_messages(app: Celery) -> list[Finding]:
    """The findings about the messages that workers hold.

    Raises:
        BrokerUnreachable: the broker does not let us look.
    """
    try:
        with app.connection_for_read(connect_timeout=_CONNECT_TIMEOUT_S) as connection:
            return check_held(connection.default_channel)
    except (OperationalError, RedisError, OSError) as error:
        raise BrokerUnreachable(f"the messages that workers hold cannot be looked at: {error}") from error


def ask_workers(
    app: Celery, *, probes: Mapping[str, str], timeout_s: float, expected: int | None = None
) -> list[Answer]:
    """The answers of all workers about themselves.

    Args:
        probes: token of the probe file in each folder that the workers are to check.
        timeout_s: seconds to wait after the last answer.
        expected: number of answers after which to stop waiting; None to wait for the timeout.

    Raises:
        BrokerUnreachable: the broker does not deliver the question.
    """
    asked_at = time.time()
    answers: list[Answer] = []

    def note(replies: Mapping[str, Mapping[str, Any]]) -> None:
        received_at = time.time()
        answers.extend(Answer(worker, _parsed(reply), asked_at, received_at) for worker, reply in replies.items())

    try:
        app.control.broadcast(
            COMMAND, arguments={"probes": dict(probes)}, reply=True, timeout=timeout_s, limit=expected, callback=note
        )
    except (OperationalError, RedisError) as error:
        raise BrokerUnreachable(f"workers cannot be asked: {error}") from error
    except ValueError as error:  # of kombu, which restores messages while it waits for answers
        raise BrokerUnreachable(
            f"workers cannot be asked, since an entry of `unacked` is no message: {error}"
        ) from error
    return answers


def _parsed(reply: Mapping[str, Any]) -> About | None:
    try:
        return from_document(reply, About, "the answer of a worker")
    except InputError:  # the worker does not know the question, or another release answers it differently
        return None
