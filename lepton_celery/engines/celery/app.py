"""Celery applications that can run jobs: a new one, or the one of a Django or Flask project."""

from __future__ import annotations

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
    """A Celery application of its own, ready for `celery -A module worker`.

    Args:
        settings: how it finds its broker; None to read the environment and the settings module that it names.
        name: the application's name in logs.
    """
    settings = settings or load_settings()
    app = Celery(name, set_as_current=False)
    app.conf.update(celery_settings(settings))
    return _prepare(app, settings)


def configure(app: Celery[Any], settings: Settings | None = None) -> Celery[Any]:
    """Enable a project's own Celery application to submit and run jobs; its broker, backend and queues stay.

    The queues `lepton.interactive`, `lepton.default` and `lepton.batch` are created when they are first used; name the
    queues that a worker serves with `-Q`.
    """
    settings = settings or load_settings()
    own = app.conf
    broker = str(own.broker_url or "amqp://")  # Celery's default
    backend = str(own.result_backend or broker)
    located = {"broker_url": broker, "result_backend": backend, "ledger_url": settings.ledger_url or backend}
    settings = Settings(**{**vars(settings), **located})
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
    """The settings an application was made or configured with.

    Raises:
        AttributeError: it was neither.
    """
    settings: Settings | None = app.conf.get("lepton")
    if settings is None:
        raise AttributeError(
            f"the Celery application {app.main!r} was not prepared; call lepton_celery.configure(app) where it is made"
        )
    return settings
