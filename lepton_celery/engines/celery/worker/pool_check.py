"""Refuses to serve lanes in a pool of greenlets, in which one block stops all others and the leases are not renewed."""

from __future__ import annotations

from typing import Any

from celery import bootsteps

from lepton_celery.engines.celery.sending.queues import JOB_QUEUES, serves_jobs

_GREENLETS = ("gevent", "eventlet")


class PoolCheckStep(bootsteps.Step):
    """Ends a worker with such a pool when it starts, if it serves a lane."""

    def include_if(self, parent: Any) -> bool:
        return parent.pool_cls.__module__.rpartition(".")[2] in _GREENLETS and serves_jobs(parent.app)

    def create(self, parent: Any) -> None:
        kind = parent.pool_cls.__module__.rpartition(".")[2]
        lanes = ",".join(name for name in JOB_QUEUES if name in parent.app.amqp.queues.consume_from)
        raise SystemExit(
            f"this worker has --pool={kind} and serves {lanes}: blocks compute without a pause, so one would stop all "
            "others and the renewal of their leases. Start a worker with --pool=prefork for these queues "
            f"(--queues={lanes}), and leave them out of the --queues of this one"
        )
