"""What `configure` reads of a project's own Celery application, and what it refuses there. It changes none of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from celery import Celery
from celery.app.annotations import prepare
from kombu import Queue

from lepton_celery.config import Settings, check_passwords
from lepton_celery.engines.celery.sending.queues import JOB_QUEUES, is_rabbitmq
from lepton_celery.errors import InputError
from lepton_celery.ledger.address import ACCEPTED, is_redis, with_tls

_VISIBILITY_TIMEOUT_S = 3600
"""kombu's default for Redis."""


def project_settings(app: Celery[Any], settings: Settings) -> Settings:
    """The settings for jobs in a project's application: with its broker, and a ledger that also counts chords.

    Raises:
        InputError: jobs cannot run with a setting of the project, no Redis server is known for the ledger, or a password is
            that of an example.
    """
    broker = _first_url(app.conf.broker_write_url or app.conf.broker_url or "amqp://")  # Celery's default
    if app.conf.task_always_eager:  # jobs run where they are submitted, without a broker
        return replace(settings, broker_url=broker)
    if reasons := list(_refusals(app, broker)):
        raise InputError(f"jobs cannot run in the Celery application {app.main!r}: {'; '.join(reasons)}")
    ledger = settings.ledger_url or settings.result_backend or _ledger_of(app, broker)
    if not is_redis(ledger):
        raise InputError(
            f"jobs are recorded on Redis, and {_scheme(ledger)}:// is not Redis; name a Redis server for them in "
            f"LEPTON_LEDGER_URL, or in result_backend of an application of your own ({ACCEPTED}); results of your own tasks "
            "stay where they are"
        )
    timeout = dict(app.conf.broker_transport_options or {}).get("visibility_timeout", _VISIBILITY_TIMEOUT_S)
    found = replace(
        settings, broker_url=broker, result_backend=ledger, ledger_url=ledger, visibility_timeout_s=int(timeout)
    )
    check_passwords(found)
    return found


def _ledger_of(app: Celery[Any], broker: str) -> str:
    """The project's result backend, or its broker if it has none."""
    backend = str(app.conf.result_backend or "").removeprefix("disabled://")
    if backend:
        return with_tls(backend, _mapping(app.conf.redis_backend_use_ssl))
    return with_tls(broker, _mapping(app.conf.broker_use_ssl))


def _refusals(app: Celery[Any], broker: str) -> Iterator[str]:
    """The settings with which jobs would wait for ever, or fail on workers; each with its remedy."""
    conf = app.conf
    if not {"json", "application/json"} & set(conf.accept_content or ()):
        yield f"accept_content is {list(conf.accept_content or ())}, and its messages are JSON; add 'json' to it"
    if not conf.task_create_missing_queues:
        names = {queue.name if isinstance(queue, Queue) else str(queue) for queue in conf.task_queues or ()}
        if missing := [name for name in JOB_QUEUES if name not in names]:
            yield (
                f"task_create_missing_queues is False, and task_queues does not declare {', '.join(missing)}; declare them "
                "there, or set task_create_missing_queues to True"
            )
    if conf.task_default_rate_limit:
        yield (
            f"task_default_rate_limit is {conf.task_default_rate_limit!r}, which limits its blocks as well; limit your own "
            "tasks with task_annotations or rate_limit instead"
        )
    if any((annotation.annotate_any() or {}).get("rate_limit") for annotation in prepare(conf.task_annotations)):
        yield "task_annotations limits the rate of all tasks ('*'), also of its blocks; name your own tasks there instead"
    if is_rabbitmq(broker) and not conf.worker_detect_quorum_queues:
        yield (
            "worker_detect_quorum_queues is False, but the lanes are quorum queues on RabbitMQ, and no worker could serve "
            "them; set it to True"
        )


def _first_url(urls: Any) -> str:
    """The first of several broker URLs, which Celery takes as a list or separated by semicolons."""
    first = urls if isinstance(urls, str) else next(iter(urls))
    return str(first).split(";")[0]


def _scheme(url: str) -> str:
    return url.partition("://")[0].partition(":")[0] or "an empty URL"


def _mapping(options: Any) -> Mapping[str, Any] | None:
    return options if isinstance(options, Mapping) else None
