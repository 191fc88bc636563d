"""The Celery application of a Flask site: its own, or one that is made as Flask's documentation does."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from celery import Celery, Task
from flask import Flask

from lepton_celery.config import Settings, state_directory
from lepton_celery.engines.celery.app import configure
from lepton_celery.errors import InputError
from lepton_celery.jobs.local_stack import read_running


def celery_of(app: Flask, settings: Settings, *, names_broker: bool) -> Celery[Any]:
    """The Celery application of a site, prepared for jobs.

    `app.extensions["celery"]` is taken if it is there; else it is made from `app.config["CELERY"]`, in the pattern of
    https://flask.palletsprojects.com/en/stable/patterns/celery/.

    Args:
        app: the site.
        settings: the settings of jobs.
        names_broker: whether the configuration of lepton says which broker they use.

    Raises:
        InputError: jobs cannot run with a setting of Celery.
    """
    celery = app.extensions.get("celery")
    if celery is None:
        celery = _made(app, settings, names_broker=names_broker)
    elif not isinstance(celery, Celery):
        raise InputError(f'app.extensions["celery"] is a {type(celery).__name__}; put the Celery application there')
    if celery.conf.get("lepton") is None:
        configure(celery, replace(settings, broker_url=Settings.broker_url))  # Celery's own counts
    return celery


def _made(app: Flask, settings: Settings, *, names_broker: bool) -> Celery[Any]:
    class FlaskTask(Task):  # type: ignore[type-arg]
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery: Celery[Any] = Celery(app.name, task_cls=FlaskTask)
    celery.config_from_object(_configuration(app, settings, names_broker=names_broker))
    celery.set_default()
    app.extensions["celery"] = celery
    return celery


def _configuration(app: Flask, settings: Settings, *, names_broker: bool) -> dict[str, Any]:
    """The settings of Celery, with the broker of the environment, of Flask, or of a `lepton up` in this folder."""
    given = {str(name).lower(): value for name, value in dict(app.config.get("CELERY") or {}).items()}
    if os.environ.get("LEPTON_BROKER_URL") or (names_broker and "broker_url" not in given):
        given["broker_url"] = settings.broker_url
    elif "broker_url" not in given and not given.get("task_always_eager"):
        running = read_running(state_directory())
        given["broker_url"] = settings.broker_url if running is None else running.broker_url
    # a worker holds only the blocks that it works on, and finishes them when it stops: see docs/projects.md
    return {"worker_prefetch_multiplier": 1, "worker_soft_shutdown_timeout": 5.0, **given}
