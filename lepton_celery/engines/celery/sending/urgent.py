"""Messages that are taken before those that wait in their lane: of blocks and merges that a worker lost.

A lane gives its messages in the order in which it got them, and a busy one may hold a minute of work. What a dead worker
held is older than all of that. Such messages are few: one for each expired lease.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from kombu.transport.redis import Transport
from kombu.utils.json import dumps

from lepton_celery.engines.celery.sending.held import batch_held
from lepton_celery.engines.celery.sending.queues import is_rabbitmq

HEADER = "lepton_urgent"
"""The header of an urgent message."""

_HIGH = 9
"""A priority that RabbitMQ's quorum queues take for high, from version 4; earlier versions ignore it."""


def urgent_options(broker_url: str) -> dict[str, Any]:
    """The options that make a message urgent, for `apply_async`."""
    options: dict[str, Any] = {"headers": {HEADER: True}}
    return {**options, "priority": _HIGH} if is_rabbitmq(broker_url) else options


@cache
def with_urgent(transport: type[Any]) -> type[Any]:
    """A transport of kombu that publishes urgent messages at the head of their queue, if it is one of Redis.

    It can also hold messages back, see `held`. With a plain transport, also over a socket and after a failover, an urgent
    message waits behind the others, and no message is held back.
    """
    if not issubclass(transport, Transport):
        return transport

    class UrgentChannel(transport.Channel):  # type: ignore[misc, name-defined]  # a class that is known when this runs
        def _put(self, queue: str, message: Mapping[str, Any], **options: Any) -> None:
            if HEADER not in message.get("headers", {}):
                super()._put(queue, message, **options)
                return
            text = dumps(message)
            batch = options.get("_publish_batch")
            if batch is not None:
                batch.add("rpush", queue, text)  # workers take messages from the right
                return
            with self.conn_or_acquire() as client:
                client.rpush(queue, text)

        def create_publish_batch(self, max_size: int) -> Any:
            return batch_held(self) or super().create_publish_batch(max_size)

    return type("UrgentTransport", (transport,), {"Channel": UrgentChannel})
