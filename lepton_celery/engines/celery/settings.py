"""Celery's settings for image processing, and why each is needed."""

from __future__ import annotations

from typing import Any

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.publisher import backend_url
from lepton_celery.engines.celery.sending.queues import broker_settings, lanes, queue_of


def celery_settings(settings: Settings) -> dict[str, Any]:
    """All settings of the application that `create_app` makes.

    Reference: https://docs.celeryq.dev/en/stable/userguide/configuration.html
    """
    return {
        **required_settings(settings),
        "broker_url": settings.broker_url,
        "result_backend": backend_url(settings.backend),
        "task_queues": lanes(settings.broker_url),
        "task_default_queue": queue_of("default"),
        # JSON on the wire, never pickle: a message can name a task but carry no code
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        # acknowledge messages after the work, so that the broker redelivers those of a worker that dies
        "task_acks_late": True,
        # redeliver also if only the pool's child dies; the ledger limits the number of attempts
        "task_reject_on_worker_lost": True,
        # receipts are in the ledger; a stored SUCCESS would make Celery drop redelivered tasks of a chord
        "task_ignore_result": True,
        "task_default_priority": 0,
        "worker_hijack_root_logger": False,
    }


def required_settings(settings: Settings) -> dict[str, Any]:
    """The settings that a project's own application needs besides its broker and backend.

    Late acknowledgement and ignored results are options of this package's tasks, so the project's own tasks keep theirs.
    """
    return {
        **broker_settings(settings),
        "task_store_errors_even_if_ignored": False,
        # otherwise a chord fails if the backend is unreachable for a moment when a task is counted
        "result_backend_always_retry": True,
        "result_backend_max_retries": 20,
        "result_expires": 24 * 3600,
        # the broker redelivers the messages of a lost connection: cancel their tasks here, which would run twice
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "result_backend_transport_options": {"global_keyprefix": ""},
        # on SIGQUIT, or SIGTERM with REMAP_SIGTERM=SIGQUIT: seconds to wait for the current batch before messages are
        # returned to the broker. A busy worker always waits this long; a batch is planned for half a second
        "worker_soft_shutdown_timeout": 5.0,
        # Flower shows what is queued, started and done
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "enable_utc": True,
    }
