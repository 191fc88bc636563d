"""Celery applications that can run jobs: a new one, or the one of a Django or Flask project."""

from __future__ import annotations

from typing import Any

from celery import Celery

from lepton_celery.config import Settings, load_settings, set_configured
from lepton_celery.engines.celery.project import project_settings
from lepton_celery.engines.celery.sending import messages
from lepton_celery.engines.celery.sending.queues import QueuesWithLanes, check_backend, is_rabbitmq
from lepton_celery.engines.celery.settings import celery_settings
from lepton_celery.engines.celery.worker import log_lines
from lepton_celery.engines.celery.worker.alive import AliveStep
from lepton_celery.engines.celery.worker.autoscaling import AutoscalingStep
from lepton_celery.engines.celery.worker.control_lane import ControlLaneStep
from lepton_celery.engines.celery.worker.lane_order import HeldOrderStep, PollOrderStep
from lepton_celery.engines.celery.worker.lease_renewer import LeaseRenewerStep
from lepton_celery.engines.celery.worker.message_gate import MessageGateStep
from lepton_celery.engines.celery.worker.pool_check import PoolCheckStep
from lepton_celery.engines.celery.worker.preload import PreloadStep
from lepton_celery.engines.celery.worker.serving import ServingStep
from lepton_celery.engines.celery.worker.sweeper import SweeperStep

WORKER = "lepton_celery.engines.celery.worker"
"""The folder whose module `tasks` only workers import."""


def create_app(settings: Settings | None = None, *, name: str = "lepton") -> Celery:
    """Create a Celery application that submits and runs jobs, by default with the settings of `load_settings`."""
    settings = settings or load_settings()
    check_backend(settings)
    app = Celery(name, set_as_current=False)
    app.conf.update(celery_settings(settings), lepton=settings)
    return _prepare(app)


def configure(app: Celery[Any], settings: Settings | None = None) -> Celery[Any]:
    """Enable a project's own Celery application to submit and run jobs. No setting of the project is changed.

    Messages of jobs go through an application of their own, with the project's broker, and chords of jobs are counted on
    the ledger's Redis server: LEPTON_LEDGER_URL, else the project's result backend, else its broker. The queues
    `lepton.interactive`, `lepton.default` and `lepton.batch` are created on first use; start workers with `-Q` and the
    names of those that they are to serve. Workers of the latter two also serve `lepton.control`. With `--autoscale` workers
    size their pool with the autoscaler of this package, unless `worker_autoscaler` names one of the project. Call this after
    the application has its settings; settings that it gets later (`config_from_object`) are read again.

    `settings`, by default those of the environment, are from now on the settings of this process, also for `lepton.open`,
    `compute` and `run`; the last call counts.

    Raises:
        InputError: jobs cannot run with a setting of the project; the message says which, and what to change.
    """
    given = settings or load_settings()
    _adopt(app, given)
    # loading settings once more discards those that were set before
    app.on_after_configure.connect(lambda sender, **_: _adopt(sender, given), weak=False)
    set_configured(settings)
    return _prepare(app)


def _adopt(app: Celery[Any], given: Settings) -> None:
    """Give a project's application the settings for jobs that follow from its own."""
    settings = project_settings(app, given)
    if is_rabbitmq(settings.broker_url):
        app.amqp.queues_cls = QueuesWithLanes
    app.conf.update(lepton=settings)


def _prepare(app: Celery[Any]) -> Celery[Any]:
    app.autodiscover_tasks([WORKER])
    messages.install()
    log_lines.write_json(app)
    app.steps["worker"].update((ControlLaneStep, PoolCheckStep, AutoscalingStep, PreloadStep, HeldOrderStep))
    app.steps["worker"].update((AliveStep, ServingStep, SweeperStep, LeaseRenewerStep))
    app.steps["consumer"].update((MessageGateStep, PollOrderStep))
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
