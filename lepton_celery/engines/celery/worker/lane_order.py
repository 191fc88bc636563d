"""Makes a worker serve the most urgent lane first, whatever the project's settings say about its other queues."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from celery import bootsteps
from celery.exceptions import TaskRevokedError
from kombu.utils.scheduling import round_robin_cycle

from lepton_celery.engines.celery.sending.queues import JOB_QUEUES, is_rabbitmq, job_queue_of, serves_jobs

_RANKS = {name: rank for rank, name in enumerate(JOB_QUEUES)}
"""The rank of each queue of jobs, 0 for the one that is served first."""


class HeldOrderStep(bootsteps.Step):
    """Makes a worker start the most urgent of the messages that it holds.

    RabbitMQ delivers from all queues of a worker at the same time, and with Celery's default a worker of any broker holds
    several messages for each process. Without this step, prefork workers start them in the order of arrival, and
    interactive jobs wait behind batch jobs.
    """

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: Any) -> bool:
        holds_more = parent.prefetch_multiplier != 1 or is_rabbitmq(str(parent.app.conf.broker_url or "amqp://"))
        return holds_more and serves_jobs(parent.app)

    def create(self, parent: Any) -> None:
        if parent.semaphore is None or not (parent.pool_putlocks and parent.pool_cls.uses_semaphore):
            return  # a pool of threads queues messages itself
        from celery.worker.state import reserved_requests  # imported by workers only

        waiting: list[tuple[int, int, Any]] = []
        numbers = count()

        def enqueue(request: Any) -> None:
            heappush(waiting, (_RANKS[job_queue_of(request.delivery_info)], next(numbers), request))
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


class PollOrderStep(bootsteps.StartStopStep):
    """On Redis, makes a worker ask its lanes for messages in the order of their urgency.

    Celery's default asks all queues in turns. The turns of the lanes stay, but the most urgent lane takes the first of
    them, the next lane the second; other queues keep theirs.
    """

    requires = ("celery.worker.consumer:Tasks",)

    def include_if(self, parent: Any) -> bool:
        return sum(name in _RANKS for name in parent.app.amqp.queues.consume_from) > 1

    def start(self, parent: Any) -> None:
        channel = parent.task_consumer.channel
        cycle = getattr(channel, "_queue_cycle", None)  # of kombu's Redis transport; there is no public way to set it
        if type(cycle) is round_robin_cycle:  # a project that asks its queues in another order has chosen it
            channel._queue_cycle = LaneCycle(cycle)  # noqa: SLF001


class LaneCycle:
    """The order in which queues are asked: another one, in which lanes exchanged their places."""

    def __init__(self, cycle: round_robin_cycle[str]) -> None:
        self._cycle = cycle
        self._turns: dict[str, str] = {}
        """Whose turn each queue takes."""

    def consume(self, n: int) -> list[str]:
        """The first `n` queues."""
        queues = list(self._cycle.consume(n))
        lanes = iter(sorted((name for name in queues if name in _RANKS), key=_RANKS.__getitem__))
        asked = [next(lanes) if name in _RANKS else name for name in queues]
        self._turns = dict(zip(asked, queues, strict=True))
        return asked

    def update(self, names: Iterable[str]) -> None:
        """Replace the queues."""
        self._cycle.update(names)

    def rotate(self, last_used: str) -> Any:
        """Note that a message came from a queue; the queue whose turn it took goes to the end."""
        self._cycle.rotate(self._turns.get(last_used, last_used))
        return last_used
