"""Which broker a command talks to."""

from __future__ import annotations

import os

import click
from celery import Celery

from lepton_celery.config import Settings
from lepton_celery.engines.celery.app import settings_of
from lepton_celery.jobs import find as discovery


def find_settings() -> Settings | None:
    """A URL in the environment, else the application `celery -A` was called with, else the local stack of this folder."""
    context = click.get_current_context(silent=True)
    app = getattr(context.obj, "app", None) if context is not None else None
    if "LEPTON_BROKER_URL" not in os.environ and isinstance(app, Celery) and app.conf.get("lepton") is not None:
        return settings_of(app)
    return discovery.find_settings()


def need_settings() -> Settings:
    """As `find_settings`.

    Raises:
        BrokerUnreachable: no broker was named and no local stack runs here.
    """
    return find_settings() or discovery.need_settings()
