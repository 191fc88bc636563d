"""Makes a worker serve the queue for merges and ends of waves, whatever queues it was started with."""

from __future__ import annotations

from typing import Any

from celery import bootsteps

from lepton_celery.engines.celery.sending.queues import CONTROL_QUEUE, control_queue_of, served_lanes
from lepton_celery.text import logger

log = logger(__name__)


class ControlLaneStep(bootsteps.Step):
    """Puts the queue before all others, in a worker that serves a lane whose jobs need it."""

    def include_if(self, parent: Any) -> bool:
        return any(control_queue_of(lane) == CONTROL_QUEUE for lane in served_lanes(parent.app))

    def create(self, parent: Any) -> None:
        queues = parent.app.amqp.queues
        others = [name for name in queues.consume_from if name != CONTROL_QUEUE]
        if len(others) == len(queues.consume_from):
            log.info(
                "this worker also serves %s, before its other queues: merges of their jobs and ends of waves come there",
                CONTROL_QUEUE,
            )
        queues.select([CONTROL_QUEUE, *others])
