"""Celery applications that can run jobs: a new one, or the one of a Django or Flask project."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from celery import Celery

from lepton_celery.config import Settings, load_settings
from lepton_celery.engines.celery.sending import messages
from lepton_celery.engines.celery.sending.queues import LaneOrderStep, QueuesWithLanes, check_backend, is_rabbitmq
from lepton_celery.engines.celery.settings import celery_settings, required_settings
from lepton_celery.engines.celery.worker import preload
from lepton_celery.engines.celery.worker.lease_renewer import LeaseRenewerStep
from lepton_celery.engines.celery.worker.sweeper import SweeperStep

TASKS = "lepton_celery.engines.celery.worker.tasks"
"""The module of the tasks, which only workers import."""


def create_app(settings: Settings | None = None, *, name: str = "lepton") -> Celery:
    """Create a Celery application that submits and runs jobs, by default with the settings of `load_settings`."""
    settings = settings or load_settings()
    app = Celery(name, set_as_current=False)
    app.conf.update(celery_settings(settings))
    return _prepare(app, settings)


def configure(app: Celery[Any], settings: Settings | None = None) -> Celery[Any]:
    """Enable a project's own Celery application to submit and run jobs; it keeps its broker, backend and queues.

    The queues `lepton.interactive`, `lepton.default` and `lepton.batch` are created on first use. Start workers with `-Q`
    and the names of the queues that they are to consume.
    """
    settings = settings or load_settings()
    own = app.conf
    broker = str(own.broker_url or "amqp://")  # Celery's default
    backend = str(own.result_backend or broker)
    ledger = settings.ledger_url or backend
    settings = replace(settings, broker_url=broker, result_backend=backend, ledger_url=ledger)
    required = required_settings(settings)
    required["broker_transport_options"] = {**required["broker_transport_options"], **own.broker_transport_options}
    app.conf.update(required)
    if is_rabbitmq(broker):
        app.amqp.queues_cls = QueuesWithLanes
    return _prepare(app, settings)


def _prepare(app: Celery[Any], settings: Settings) -> Celery[Any]:
    check_backend(settings)
    app.conf.update(imports=(*app.conf.imports, TASKS), lepton=settings)
    messages.install()
    preload.install()
    app.steps["worker"].update((LaneOrderStep, SweeperStep, LeaseRenewerStep))
    return app


def settings_of(app: Celery[Any]) -> Settings:
    """The settings that `create_app` or `configure` gave an application.

    Raises:
        AttributeError: the application was not prepared by either.
    """
    settings: Settings | None = app.conf.get("lepton")
    if settings is None:
        raise AttributeError(
            f"the Celery application {app.main!r} was not prepared; call lepton_celery.configure(app) where it is made"
        )
    return settings
