"""Which broker this process talks to: a URL that was given, or the local stack of this folder."""

from __future__ import annotations

import os

from lepton_celery.config import Settings, load_settings, state_directory
from lepton_celery.engines.celery.sending.queues import with_broker
from lepton_celery.errors import BrokerUnreachable
from lepton_celery.jobs.local_stack import read_running


def find_settings() -> Settings | None:
    """Settings whose broker was named, or is the local stack's; None when there is neither.

    A URL in the environment always wins.
    """
    settings = load_settings()
    if "LEPTON_BROKER_URL" in os.environ:
        return settings
    running = read_running(state_directory())
    if running is not None:
        return with_broker(settings, running.broker_url)
    return settings if os.environ.get("LEPTON_SETTINGS") else None


def need_settings() -> Settings:
    """As `find_settings`.

    Raises:
        BrokerUnreachable: no broker was named and no local stack runs here.
    """
    settings = find_settings()
    if settings is None:
        raise BrokerUnreachable(
            "no broker is configured; set LEPTON_BROKER_URL, or start a local stack in this folder with `lepton up`"
        )
    return settings
