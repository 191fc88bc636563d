"""The differences between Redis and RabbitMQ as Celery's broker: queues, their settings, and which lane is served first.

    Redis     lists, which a worker polls in order of urgency                              lanes
    RabbitMQ  quorum queues, which move messages that were delivered too often             lanes ─► lepton.dead

With either broker, jobs are recorded and chords counted on Redis.
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
"""Prefix of the names of all queues, which keeps them apart from the application's own."""

DEAD_QUEUE = QUEUE_PREFIX + "dead"
"""The queue to which RabbitMQ moves messages that it delivered `DELIVERY_LIMIT` times; no worker serves it."""

DELIVERY_LIMIT = 20
"""Largest number of deliveries of a message by RabbitMQ. It is far above `max_attempts`, at which the ledger ends a job with
its reason, so only messages that never reach the ledger are delivered this often."""

_DEAD_LENGTH = 10_000
"""Largest number of messages in the dead queue; the newest are kept for inspection."""

_CONSUMER_TIMEOUT_MS = 24 * 3600 * 1000
"""Milliseconds for which a worker may hold a message before RabbitMQ closes its channel. The default is 30 minutes, but a
block or a merge may take hours."""


def queue_of(lane: str) -> str:
    """The name of a lane's queue."""
    return QUEUE_PREFIX + lane


def lane_of(delivery_info: Mapping[str, Any] | None) -> str:
    """The lane that a message came through, also if RabbitMQ delayed it; `default` for a message of another queue."""
    key = str((delivery_info or {}).get("routing_key") or "")
    lane = key.rpartition(".")[2]
    return lane if lane in LANES and key.endswith(queue_of(lane)) else "default"


def is_rabbitmq(broker_url: str) -> bool:
    """Whether a broker speaks AMQP."""
    return broker_url.startswith(("amqp://", "amqps://", "pyamqp://"))


def with_broker(settings: Settings, broker_url: str) -> Settings:
    """The settings with another broker. A Redis broker also becomes the result backend and the ledger."""
    if is_rabbitmq(broker_url):
        return replace(settings, broker_url=broker_url)
    return replace(settings, broker_url=broker_url, result_backend="", ledger_url="")


def check_backend(settings: Settings) -> None:
    """Check that the result backend is a Redis server, which counts chords.

    Raises:
        InputError: RabbitMQ is the broker, and no Redis server is named beside it.
    """
    if is_rabbitmq(settings.broker_url) and not settings.backend.startswith(("redis", "unix://", "sentinel://")):
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
            # publishing returns only when the broker has stored the message, and raises if it cannot
            "broker_transport_options": {"confirm_publish": True},
            # detects half-open connections
            "broker_heartbeat": 30,
            # messages with a countdown wait in the broker, and survive its restart
            "broker_native_delayed_delivery_queue_type": "quorum",
            # quorum queues prefetch per queue: besides the messages that it works on, a worker holds some of each lane, so
            # that a process that becomes free starts one of the most urgent lane (`LaneOrderStep`)
            "worker_prefetch_multiplier": 2,
        }
    return {
        "broker_transport_options": {
            # messages of workers that died unnoticed are redelivered after this time; it must exceed the time of any
            # batch, or a running batch is delivered twice
            "visibility_timeout": settings.visibility_timeout_s,
            # queues are polled in the given order, so that an interactive job never waits for a batch job
            "queue_order_strategy": "priority",
            # bodies are JSON text; base64 would make every message a third longer
            "body_encoding": "utf-8",
            # detects half-open connections
            "health_check_interval": 25,
        },
        # a worker holds only the messages that it works on; the others stay in the queue for other workers
        "worker_prefetch_multiplier": 1,
    }


class LaneQueue(Queue):
    """A lane's queue on RabbitMQ; its declaration also declares the dead queue."""

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
    """The queues of a project's own application, in which a lane is always a `LaneQueue`.

    Celery declares a queue that it knows only by name as a classic queue, and RabbitMQ refuses to declare an existing queue
    with another type.
    """

    def _add(self, queue: Queue) -> Any:
        is_lane = queue.name in map(queue_of, LANES) and not isinstance(queue, LaneQueue)
        return super()._add(LaneQueue.of(queue.name) if is_lane else queue)  # type: ignore[misc]  # not in the stubs


class LaneOrderStep(bootsteps.Step):
    """On RabbitMQ, makes a worker start the most urgent of the messages that it holds.

    RabbitMQ delivers from all queues of a worker at the same time. Without this step, prefork workers start messages in the
    order of arrival, and interactive jobs wait behind batch jobs.
    """

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: Any) -> bool:
        return is_rabbitmq(str(parent.app.conf.broker_url or "amqp://"))

    def create(self, parent: Any) -> None:
        if parent.semaphore is None or not (parent.pool_putlocks and parent.pool_cls.uses_semaphore):
            return  # a pool of threads queues messages itself
        from celery.worker.state import reserved_requests  # imported by workers only

        waiting: list[tuple[int, int, Any]] = []
        numbers = count()

        def enqueue(request: Any) -> None:
            heappush(waiting, (LANES.index(lane_of(request.delivery_info)), next(numbers), request))
            parent.semaphore.acquire(start)

        def start() -> None:
            while waiting:
                request = heappop(waiting)[-1]
                if request not in reserved_requests:
                    continue  # its connection was lost in the meantime, and the broker will deliver it again
                try:
                    request.execute_using_pool(parent.pool)
                except TaskRevokedError:
                    break
                return
            parent.semaphore.release()

        parent.process_task = enqueue
