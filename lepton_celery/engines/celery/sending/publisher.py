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
from celery.backends.redis import RedisBackend
from celery.local import maybe_evaluate

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.queues import is_rabbitmq, lanes
from lepton_celery.ledger.address import with_certificate_check

_BATCH_COMMANDS = 8
"""Number of commands that are sent to the broker together; a message takes two, one of them for Flower. It is small, so that
the first workers do not wait for the last message of a wave."""

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

    @contextmanager
    def producer_or_acquire(self, producer: Any = None) -> Iterator[Any]:  # type: ignore[override]  # also a context
        with super().producer_or_acquire(producer) as acquired:
            is_new = producer is None  # else within a batch, or chosen by the caller
            with acquired.batch(max_size=_BATCH_COMMANDS) if is_new else nullcontext():
                yield acquired


def backend_url(url: str) -> str:
    """The value of Celery's setting `result_backend` that uses `PublishingBackend` with a Redis URL."""
    return f"{__name__}:PublishingBackend+{with_certificate_check(url)}"


def publisher_of(app: Celery) -> Publisher:
    """The application through which jobs of `app` are published, with the broker and the backend of `app`."""
    app = maybe_evaluate(app)  # `celery.current_app` is a proxy that cannot be weakly referenced
    if isinstance(app, Publisher):
        return app
    if app not in _publishers:
        publisher = Publisher(f"{app.main or 'app'}-lepton", set_as_current=False)
        names = ("broker_url", "broker_transport_options", "broker_use_ssl", "redis_backend_use_ssl", "task_queues")
        publisher.conf.update({name: app.conf[name] for name in (*names, "task_send_sent_event")})
        settings: Settings = app.conf["lepton"]
        publisher.conf.update(task_serializer="json", result_backend=backend_url(settings.backend))
        if is_rabbitmq(settings.broker_url):
            publisher.conf.update(task_queues=lanes(settings.broker_url))
        _publishers[app] = publisher
    return _publishers[app]
