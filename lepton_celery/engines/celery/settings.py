"""Celery's settings for image processing, and why each is needed.

They are those of the application that `create_app` makes. `configure` changes no setting of a project's application.
"""

from __future__ import annotations

from typing import Any

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.publisher import chord_settings
from lepton_celery.engines.celery.sending.queues import broker_settings, job_queues
from lepton_celery.priority import queue_of


def celery_settings(settings: Settings) -> dict[str, Any]:
    """All settings of the application that `create_app` makes.

    Reference: https://docs.celeryq.dev/en/stable/userguide/configuration.html
    """
    return {
        **broker_settings(settings),
        **chord_settings(settings.backend),
        "broker_url": settings.broker_url,
        "task_queues": job_queues(settings.broker_url),
        "task_default_queue": queue_of("default"),
        # JSON on the wire, never pickle: a message can name a task but carry no code
        "task_serializer": "json",
        "accept_content": ["json"],
        # the broker redelivers the messages of a lost connection: cancel their tasks here, which would run twice
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # on SIGQUIT, or SIGTERM with REMAP_SIGTERM=SIGQUIT: seconds to wait for the current batch before messages are
        # returned to the broker. A busy worker always waits this long; a batch is planned for half a second
        "worker_soft_shutdown_timeout": 5.0,
        # for tasks of your own, if Flower looks; those of jobs send events only with the setting `task_events`
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "enable_utc": True,
        "task_default_priority": 0,
        "worker_hijack_root_logger": False,
    }
