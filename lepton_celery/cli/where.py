"""The broker that a command uses."""

from __future__ import annotations

import os

import click
from celery import Celery

from lepton_celery.config import Settings
from lepton_celery.engines.celery.app import settings_of
from lepton_celery.jobs import find


def find_settings() -> Settings | None:
    """Settings with the broker of the environment, else of `celery -A APP`, else of this folder's local stack."""
    context = click.get_current_context(silent=True)
    app = getattr(context.obj, "app", None) if context is not None else None
    if "LEPTON_BROKER_URL" not in os.environ and isinstance(app, Celery) and app.conf.get("lepton") is not None:
        return settings_of(app)
    return find.find_settings()


def need_settings() -> Settings:
    """The same as `find_settings`, but BrokerUnreachable if there is no broker."""
    return find_settings() or find.need_settings()
