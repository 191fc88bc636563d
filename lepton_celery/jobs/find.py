"""Finds this process's settings and Celery application, and the jobs in their ledger."""

from __future__ import annotations

import os

from celery import Celery

from lepton_celery.config import Settings, load_settings, state_directory
from lepton_celery.engines.celery.app import create_app, settings_of
from lepton_celery.engines.celery.sending.queues import with_broker
from lepton_celery.errors import BrokerUnreachable, JobError, JobNotFound
from lepton_celery.jobs.eager import find_job, is_eager, newest_jobs
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.local_stack import read_running
from lepton_celery.ledger import JobInfo, open_ledger
from lepton_celery.text import quoted

_SHOWN_JOBS = 10
"""Largest number of jobs that a message lists."""


def find_settings() -> Settings | None:
    """The settings; None if no broker was named and no local stack runs in this folder.

    The broker is the one of LEPTON_BROKER_URL, else of the local stack, else of the module that LEPTON_SETTINGS names.
    """
    settings = load_settings()
    if os.environ.get("LEPTON_BROKER_URL"):
        return settings
    running = read_running(state_directory())
    if running is not None:
        return with_broker(settings, running.broker_url)
    return settings if os.environ.get("LEPTON_SETTINGS") else None


def need_settings() -> Settings:
    """The settings of `find_settings`, which must exist.

    Raises:
        BrokerUnreachable: there are none.
    """
    settings = find_settings()
    if settings is None:
        raise BrokerUnreachable(
            "no broker is configured; set LEPTON_BROKER_URL, or start a local stack in this folder with `lepton up`"
        )
    return settings


def current_app() -> Celery:
    """The project's own Celery application if it was configured for jobs, else a new one with `need_settings`.

    Raises:
        BrokerUnreachable: no broker was named and no local stack runs in this folder.
    """
    from celery.app import app_or_default

    current = app_or_default()  # not `celery.current_app`, a proxy that cannot be weakly referenced
    if current.conf.get("lepton") is not None:
        return current
    return create_app(need_settings())


def get_job(job_id: str, *, settings: Settings | None = None) -> Job:
    """A job by its id.

    Raises:
        JobNotFound: the ledger does not know the job.
        BrokerUnreachable: the ledger does not answer.
    """
    if settings is None and (here := find_job(job_id)) is not None:
        return here
    app = None
    if settings is None:
        app = current_app()
        settings = settings_of(app)
    ledger = open_ledger(settings.ledger)
    ledger.info(job_id)
    return Job(job_id, ledger, settings.secret_key, settings.roots, app)


def find_by_prefix(beginning: str, *, settings: Settings) -> Job:
    """A job by its id, or by the beginning of its id if no other job's id begins so.

    Raises:
        JobNotFound: no job's id begins so, or several do; the message lists those.
        BrokerUnreachable: the ledger does not answer.
    """
    ledger = open_ledger(settings.ledger)
    found: list[str] = []
    if beginning and beginning.isprintable():  # what is not may have no UTF-8 form, so it cannot be asked for
        try:
            ledger.info(beginning)
            return Job(beginning, ledger, settings.secret_key, settings.roots)
        except JobNotFound:
            found = ledger.beginning_with(beginning)
        except JobError:  # its entry is damaged, but it may be forgotten
            return Job(beginning, ledger, settings.secret_key, settings.roots)
    if not found:
        raise JobNotFound(
            f"the ledger knows no job whose id is or begins with {quoted(beginning)}; `lepton jobs` lists the jobs",
            beginning,
        )
    if len(found) > 1:
        shown = ", ".join(found[:_SHOWN_JOBS]) + (f" and {len(found) - _SHOWN_JOBS} more" * (len(found) > _SHOWN_JOBS))
        raise JobNotFound(
            f"{len(found)} jobs have an id that begins with {quoted(beginning)}: {shown}; give more of the id",
            beginning,
        )
    return Job(found[0], ledger, settings.secret_key, settings.roots)


def list_jobs(*, limit: int = 100, settings: Settings | None = None) -> list[JobInfo]:
    """The newest jobs, newest first."""
    if settings is None and is_eager(current_app()):
        return newest_jobs(limit)
    return open_ledger((settings or settings_of(current_app())).ledger).jobs(limit=limit)
