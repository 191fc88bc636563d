"""The differences between Redis and RabbitMQ as Celery's broker: the lanes' queues, and their settings.

    Redis     lists, which a worker polls in order of urgency                              lanes
    RabbitMQ  quorum queues, which move messages that were delivered too often             lanes ─► lepton.dead

Beside the lanes there is a queue for control, which is served before them: merges, ends of waves and the tidying of jobs
need not wait for the blocks of others. Interactive jobs need no such queue, because their lane never holds much.

With either broker, jobs are recorded and chords counted on Redis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from celery import Celery
from celery.app.amqp import Queues
from kombu import Exchange, Queue

from lepton_celery.config import Settings
from lepton_celery.errors import InputError
from lepton_celery.ledger.address import is_redis
from lepton_celery.priority import CONTROL, LANES, QUEUE_PREFIX, queue_of

CONTROL_QUEUE = QUEUE_PREFIX + CONTROL
"""The queue for merges, ends of waves and the tidying of jobs, but those of interactive jobs."""

JOB_QUEUES = (CONTROL_QUEUE, *(QUEUE_PREFIX + lane for lane in LANES))
"""All queues of jobs, in the order in which workers serve them."""

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


def control_queue_of(lane: str) -> str:
    """The name of the queue for merges and ends of waves of a lane's jobs."""
    return queue_of(lane) if lane == "interactive" else CONTROL_QUEUE


def job_queue_of(delivery_info: Mapping[str, Any] | None) -> str:
    """The queue of jobs that a message came through, also if RabbitMQ delayed it; that of `default` for another queue."""
    key = str((delivery_info or {}).get("routing_key") or "")
    name = queue_of(key.rpartition(".")[2])
    return name if name in JOB_QUEUES and key.endswith(name) else queue_of("default")


def lane_of(delivery_info: Mapping[str, Any] | None) -> str:
    """The lane that a message came through; `default` if that is none, as for control: the ledger knows a job's lane."""
    lane = job_queue_of(delivery_info).removeprefix(QUEUE_PREFIX)
    return lane if lane in LANES else "default"


def serves_jobs(app: Celery[Any]) -> bool:
    """Whether a worker of an application serves a queue of jobs."""
    return any(name in app.amqp.queues.consume_from for name in JOB_QUEUES)


def served_lanes(app: Celery[Any]) -> list[str]:
    """The lanes that a worker of an application serves, the most urgent first."""
    served = app.amqp.queues.consume_from
    return [lane for lane in LANES if queue_of(lane) in served]


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
    if is_rabbitmq(settings.broker_url) and not is_redis(settings.backend):
        scheme = settings.backend.partition(":")[0]
        raise InputError(
            f"the broker is RabbitMQ and the result backend is {scheme}://, but jobs are recorded and chords counted on "
            "Redis; name one in LEPTON_RESULT_BACKEND"
        )


def job_queues(broker_url: str) -> list[Queue]:
    """The queues of jobs, the most urgent first."""
    if is_rabbitmq(broker_url):
        return list(map(LaneQueue.of, JOB_QUEUES))
    return [Queue(name, routing_key=name) for name in JOB_QUEUES]


def publishing_options(broker_url: str) -> dict[str, Any]:
    """Options of the connection through which jobs are published."""
    if is_rabbitmq(broker_url):
        return {"confirm_publish": True}  # publishing returns when the broker has stored the message, or raises
    # bodies are JSON text; base64 would make every message a third longer
    return {"body_encoding": "utf-8"}


def broker_settings(settings: Settings) -> dict[str, Any]:
    """Settings that depend on the broker, for the application that `create_app` makes.

    The application of a project keeps its own; `worker.lane_order` serves the most urgent lane first there.
    """
    options = publishing_options(settings.broker_url)
    if is_rabbitmq(settings.broker_url):
        return {
            "broker_transport_options": options,
            # detects half-open connections
            "broker_heartbeat": 30,
            # messages with a countdown wait in the broker, and survive its restart
            "broker_native_delayed_delivery_queue_type": "quorum",
            # quorum queues prefetch per queue: besides the messages that it works on, a worker holds some of each lane, so
            # that a process that becomes free starts one of the most urgent lane (`worker.lane_order`)
            "worker_prefetch_multiplier": 2,
        }
    return {
        "broker_transport_options": {
            **options,
            # messages of workers that died unnoticed are redelivered after this time; it must exceed the time of any
            # batch, or a running batch is delivered twice
            "visibility_timeout": settings.visibility_timeout_s,
            # queues are polled in the given order, so that an interactive job never waits for a batch job
            "queue_order_strategy": "priority",
            # detects half-open connections
            "health_check_interval": 25,
        },
        # what a server refuses that is full is tried again with a new connection; otherwise the worker would end. RabbitMQ
        # answers such errors to mistakes, for which trying again is no help
        "broker_channel_error_retry": True,
        # a worker holds only the messages that it works on; the others stay in the queue for other workers
        "worker_prefetch_multiplier": 1,
    }


class LaneQueue(Queue):
    """A queue of jobs on RabbitMQ; its declaration also declares the dead queue."""

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

    Celery declares a queue that it knows only by name as a classic queue, and gives every queue the project's
    `task_queue_max_priority`. RabbitMQ refuses to declare an existing queue with other arguments.
    """

    def __setitem__(self, name: str, queue: Queue) -> None:
        if isinstance(queue, LaneQueue):
            dict.__setitem__(self, name, queue)
        else:
            super().__setitem__(name, queue)

    def _add(self, queue: Queue) -> Any:
        is_lane = queue.name in JOB_QUEUES and not isinstance(queue, LaneQueue)
        return super()._add(LaneQueue.of(queue.name) if is_lane else queue)  # type: ignore[misc]  # not in the stubs
