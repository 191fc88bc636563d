"""The broker that a command uses."""

from __future__ import annotations

import os
from typing import Any

import click
from celery import Celery

from lepton_celery.config import Settings
from lepton_celery.engines.celery.app import create_app, settings_of
from lepton_celery.jobs import find


def find_settings() -> Settings | None:
    """Settings with the broker of the environment, else of `celery -A APP`, else of this folder's local stack."""
    app = _given_app()
    if not os.environ.get("LEPTON_BROKER_URL") and app is not None:
        return settings_of(app)
    return find.find_settings()


def app_with(settings: Settings) -> Celery[Any]:
    """The application with the settings that were found: that of `celery -A APP` if they are its own, else a new one.

    Only the project's own application knows its connection, such as TLS and the prefix of keys.
    """
    app = _given_app()
    return app if app is not None and settings_of(app) is settings else create_app(settings)


def _given_app() -> Celery[Any] | None:
    """The application of `celery -A APP`, if it was prepared for jobs."""
    context = click.get_current_context(silent=True)
    app = getattr(context.obj, "app", None) if context is not None else None
    return app if isinstance(app, Celery) and app.conf.get("lepton") is not None else None


def need_settings() -> Settings:
    """The same as `find_settings`, but BrokerUnreachable if there is no broker."""
    return find_settings() or find.need_settings()
