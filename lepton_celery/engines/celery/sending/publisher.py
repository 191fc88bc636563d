"""Publishes canvas without subscribing to its results.

Celery subscribes the publisher of a chord to the result of every task, and keeps the subscription until the result arrives.
This package's tasks store no results, since receipts are in the ledger. Their chords are therefore published through a
backend that counts them but subscribes to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery
from celery.app.defaults import NAMESPACES
from celery.backends.redis import RedisBackend
from celery.local import maybe_evaluate

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.queues import job_queues, publishing_options
from lepton_celery.engines.celery.sending.urgent import with_urgent
from lepton_celery.ledger.address import celery_backend_url

_BATCH_COMMANDS = 8
"""Number of commands that are sent to the broker together; a message takes one, and another if there are events of tasks. It
is small, so that the first workers do not wait for the last message of a wave."""

_RETRIES = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.6}
"""How often publishing is tried again, and with which pauses in seconds."""

_TIMEOUTS = {**_RETRIES, "socket_connect_timeout": 3.0, "socket_timeout": 5.0}
"""Options with which a connection to a broker that does not answer fails, instead of waiting for ever."""

_publishers: WeakKeyDictionary[Celery, Publisher] = WeakKeyDictionary()


class PublishingBackend(RedisBackend):
    """Celery's Redis backend without the subscriptions."""

    def add_pending_result(self, result: Any, weak: bool = False, start_drainer: bool = True) -> Any:
        return result

    def add_pending_results(self, results: Any, weak: bool = False) -> None:
        pass

    def remove_pending_result(self, result: Any) -> Any:
        return result


class Publisher(Celery):
    """An application that sends the messages of groups and chords several at a time if the broker supports that (Redis).

    That takes half the processor time. If a failure loses several messages at once, the sweeper sends their blocks again.
    """

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        """A connection that publishes urgent messages at the head of their queue, where that is possible."""
        connection: Any = super().connection_for_write(url, **options)
        if not connection.uri_prefix:  # as in redis+socket://, where a pool would read the transport from the URL again
            connection.transport_cls = with_urgent(connection.get_transport_cls())
        return connection

    @contextmanager
    def producer_or_acquire(self, producer: Any = None) -> Iterator[Any]:  # type: ignore[override]  # also a context
        with super().producer_or_acquire(producer) as acquired:
            is_new = producer is None  # else within a batch, or chosen by the caller
            with acquired.batch(max_size=_BATCH_COMMANDS) if is_new else nullcontext():
                yield acquired


def backend_url(url: str) -> str:
    """The value of Celery's setting `result_backend` that uses `PublishingBackend` with a Redis URL."""
    return f"{__name__}:PublishingBackend+{celery_backend_url(url)}"


def chord_settings(url: str) -> dict[str, Any]:
    """Settings of an application that counts chords on the Redis server at a URL."""
    return {
        "result_backend": backend_url(url),
        "result_serializer": "json",
        # otherwise a chord fails if the backend is unreachable for a moment when a task is counted
        "result_backend_always_retry": True,
        "result_backend_max_retries": 20,
        "result_expires": 24 * 3600,
        "result_backend_transport_options": {"global_keyprefix": ""},
    }


def publisher_of(app: Celery) -> Publisher:
    """The application through which jobs of `app` are published, with the broker of `app` and a backend of its own."""
    app = maybe_evaluate(app)  # `celery.current_app` is a proxy that cannot be weakly referenced
    if isinstance(app, Publisher):
        return app
    settings: Settings = app.conf["lepton"]
    if app not in _publishers or _publishers[app].conf["lepton"] != settings:  # it may be configured again
        _publishers[app] = _make_publisher(app, settings)
    return _publishers[app]


def _make_publisher(app: Celery, settings: Settings) -> Publisher:
    publisher = Publisher(f"{app.main or 'app'}-lepton", set_as_current=False)
    names = [f"broker_{name}" for name in NAMESPACES["broker"]]
    publisher.conf.update({name: app.conf[name] for name in names if app.conf[name] is not None})
    publisher.conf.update(
        **chord_settings(settings.backend),
        task_serializer="json",
        accept_content=["json"],
        task_send_sent_event=settings.task_events and app.conf.task_send_sent_event,
        task_queues=job_queues(settings.broker_url),
        broker_transport_options={
            **_TIMEOUTS,
            **app.conf.broker_transport_options,
            **publishing_options(settings.broker_url),
        },
        task_publish_retry_policy=_RETRIES,
        lepton=settings,
    )
    return publisher
