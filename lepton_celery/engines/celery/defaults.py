"""Celery's settings for image work, each with the failure it prevents."""

from __future__ import annotations

from typing import Any

from kombu import Queue

from lepton_celery.config import LANES, Settings
from lepton_celery.engines.celery.publisher import backend_url

QUEUE_PREFIX = "lepton."


def queue_of(lane: str) -> str:
    """The queue of a lane; prefixed, so that it is not one of the application's own."""
    return QUEUE_PREFIX + lane


def celery_settings(settings: Settings) -> dict[str, Any]:
    """What makes a Celery application safe for this work.

    Reference: https://docs.celeryq.dev/en/stable/userguide/configuration.html
    """
    return {
        **required_settings(settings),
        "broker_url": settings.broker_url,
        "result_backend": backend_url(settings.backend),
        "task_queues": [Queue(queue_of(lane), routing_key=queue_of(lane)) for lane in LANES],
        "task_default_queue": queue_of("default"),
    }


def required_settings(settings: Settings) -> dict[str, Any]:
    """What an application of one's own needs besides its broker and backend."""
    transport = {
        # restores messages of workers that died unnoticed; must exceed any batch, or running batches are handed out twice
        "visibility_timeout": settings.visibility_timeout_s,
        # queues are served in the order given: an interactive job never waits for a batch job
        "queue_order_strategy": "priority",
        # a body is JSON text already; base64 would make every message a third longer
        "body_encoding": "utf-8",
        # a half-open connection is noticed rather than waited on for ever
        "health_check_interval": 25,
    }
    return {
        # JSON on the wire, never pickle: a message can name a task but carry no code
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        # a message is acknowledged after the work, so that a worker's death gives it back …
        "task_acks_late": True,
        # … also when only the pool's child died; the ledger counts attempts, so nothing runs for ever
        "task_reject_on_worker_lost": True,
        # a worker holds one message beside the one it works on: waiting work stays in the queue, where others see it
        "worker_prefetch_multiplier": 1,
        # receipts are in the ledger; a stored SUCCESS would make Celery drop redelivered parts of a chord
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # a chord whose count cannot be stored for a moment would fail as a whole
        "result_backend_always_retry": True,
        "result_backend_max_retries": 20,
        "result_expires": 24 * 3600,
        # a lost connection restores running messages: stop the run that would be the second one
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": transport,
        "result_backend_transport_options": {"global_keyprefix": ""},
        # on SIGQUIT, or SIGTERM with REMAP_SIGTERM=SIGQUIT: wait so long for the batch in hand, then hand back the rest.
        # A worker that is busy always waits this long; a batch is planned for half a second
        "worker_soft_shutdown_timeout": 5.0,
        # Flower shows what is queued, started and done
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "task_default_priority": 0,
        "worker_hijack_root_logger": False,
        "enable_utc": True,
    }
