"""What differs between Redis and RabbitMQ as Celery's broker: the queues, their settings, and who is served first.

    Redis     lists; a worker asks them in order                                lanes
    RabbitMQ  quorum queues that count deliveries; what is delivered too often  lanes ─► lepton.dead

Jobs are recorded and chords counted on Redis with either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from typing import Any

from celery import bootsteps
from celery.app.amqp import Queues
from celery.exceptions import TaskRevokedError
from kombu import Exchange, Queue

from lepton_celery.config import LANES, Settings
from lepton_celery.errors import InputError

QUEUE_PREFIX = "lepton."

DEAD_QUEUE = QUEUE_PREFIX + "dead"
"""Where RabbitMQ puts what it has delivered `DELIVERY_LIMIT` times in vain; nobody serves it."""

DELIVERY_LIMIT = 20
"""Far above the ledger's `max_attempts`, which ends a job with its reason: only what never reaches the ledger gets here."""

_DEAD_LENGTH = 10_000
"""Messages kept for looking at, the newest."""

_CONSUMER_TIMEOUT_MS = 24 * 3600 * 1000
"""RabbitMQ cuts off a worker that holds a message for longer, by default 30 minutes; a block or a merge may take hours."""

_RABBIT_SCHEMES = ("amqp://", "amqps://", "pyamqp://")

_REDIS_SCHEMES = ("redis", "unix://", "sentinel://")


def queue_of(lane: str) -> str:
    """The queue of a lane; prefixed, so that it is not one of the application's own."""
    return QUEUE_PREFIX + lane


def lane_of(delivery_info: Mapping[str, Any] | None) -> str:
    """The lane that a message came through, also when RabbitMQ has held it back for a while; `default` for any other."""
    key = str((delivery_info or {}).get("routing_key") or "")
    lane = key.rpartition(".")[2]
    return lane if lane in LANES and key.endswith(queue_of(lane)) else "default"


def is_rabbitmq(broker_url: str) -> bool:
    """Whether a broker is spoken to in AMQP."""
    return broker_url.startswith(_RABBIT_SCHEMES)


def with_broker(settings: Settings, broker_url: str) -> Settings:
    """The settings with another broker; a Redis counts the chords and keeps the ledger too, RabbitMQ cannot."""
    if is_rabbitmq(broker_url):
        return replace(settings, broker_url=broker_url)
    return replace(settings, broker_url=broker_url, result_backend="", ledger_url="")


def check_backend(settings: Settings) -> None:
    """Chords are counted on Redis.

    Raises:
        InputError: RabbitMQ is the broker, and there is no Redis beside it.
    """
    if is_rabbitmq(settings.broker_url) and not settings.backend.startswith(_REDIS_SCHEMES):
        scheme = settings.backend.partition(":")[0]
        raise InputError(
            f"the broker is RabbitMQ and the result backend is {scheme}://, but jobs are recorded and chords counted on "
            "Redis; name one in LEPTON_RESULT_BACKEND, or in result_backend of an application of your own"
        )


def lanes(broker_url: str) -> list[Queue]:
    """The lanes' queues, the most urgent first."""
    if is_rabbitmq(broker_url):
        return [LaneQueue.of(queue_of(lane)) for lane in LANES]
    return [Queue(queue_of(lane), routing_key=queue_of(lane)) for lane in LANES]


def broker_settings(settings: Settings) -> dict[str, Any]:
    """Celery's settings that depend on the broker."""
    if is_rabbitmq(settings.broker_url):
        return {
            # publishing returns when the broker has stored the message, and fails if it has not
            "broker_transport_options": {"confirm_publish": True},
            # a half-open connection is noticed rather than waited on for ever
            "broker_heartbeat": 30,
            # what is tried again later waits in the broker, and survives it
            "broker_native_delayed_delivery_queue_type": "quorum",
            # quorum queues count per queue: a worker has one message of each lane in hand beside those it works on, so
            # that there is a next one of the most urgent lane when a process is free (`LaneOrderStep`)
            "worker_prefetch_multiplier": 2,
        }
    return {
        "broker_transport_options": {
            # restores messages of workers that died unnoticed; must exceed any batch, or running ones are handed out twice
            "visibility_timeout": settings.visibility_timeout_s,
            # queues are served in the order given: an interactive job never waits for a batch job
            "queue_order_strategy": "priority",
            # a body is JSON text already; base64 would make every message a third longer
            "body_encoding": "utf-8",
            # a half-open connection is noticed rather than waited on for ever
            "health_check_interval": 25,
        },
        # a worker holds no more than it works on: waiting work stays in the queue, where others see it
        "worker_prefetch_multiplier": 1,
    }


class LaneQueue(Queue):
    """A lane on RabbitMQ, declared together with the queue for what it gives up."""

    @classmethod
    def of(cls, name: str) -> LaneQueue:
        return cls(
            name,
            # native delayed delivery needs a topic exchange
            Exchange("lepton", type="topic"),
            routing_key=name,
            queue_arguments={
                "x-queue-type": "quorum",
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": DEAD_QUEUE,
                "x-consumer-timeout": _CONSUMER_TIMEOUT_MS,
            },
        )

    def queue_declare(self, nowait: bool = False, passive: bool = False, channel: Any = None) -> Any:
        if not passive:
            arguments = {"x-queue-type": "quorum", "x-max-length": _DEAD_LENGTH}
            Queue(DEAD_QUEUE, queue_arguments=arguments, channel=channel or self.channel).queue_declare()
        return super().queue_declare(nowait=nowait, passive=passive, channel=channel)


class QueuesWithLanes(Queues):
    """The queues of a project's own application, in which lanes are what they are everywhere.

    Celery would declare a queue that it is only told the name of as a classic one, and RabbitMQ refuses to have two kinds
    under one name.
    """

    def _add(self, queue: Queue) -> Any:
        is_lane = queue.name in map(queue_of, LANES) and not isinstance(queue, LaneQueue)
        return super()._add(LaneQueue.of(queue.name) if is_lane else queue)  # type: ignore[misc]  # not in the stubs


class LaneOrderStep(bootsteps.Step):
    """Starts the most urgent of the messages that a worker holds, on RabbitMQ.

    RabbitMQ delivers from all queues of a worker side by side. Prefork workers keep what they cannot start at once in the
    order it came; here they keep it by lane, so that nothing interactive waits behind a batch job.
    """

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: Any) -> bool:
        return is_rabbitmq(str(parent.app.conf.broker_url or "amqp://"))

    def create(self, parent: Any) -> None:
        if parent.semaphore is None or not (parent.pool_putlocks and parent.pool_cls.uses_semaphore):
            return  # threads take messages by themselves
        from celery.worker.state import reserved_requests  # not in programs that only submit

        waiting: list[tuple[int, int, Any]] = []
        numbers = count()

        def keep(request: Any) -> None:
            heappush(waiting, (LANES.index(lane_of(request.delivery_info)), next(numbers), request))
            parent.semaphore.acquire(start)

        def start() -> None:
            while waiting:
                request = heappop(waiting)[-1]
                if request not in reserved_requests:
                    continue  # came over a connection that was lost since: the broker has it again
                try:
                    request.execute_using_pool(parent.pool)
                except TaskRevokedError:
                    break
                return
            parent.semaphore.release()

        parent.process_task = keep
