"""The Celery application of workers and Flower: `celery -A lepton_celery.app worker`.

Its broker is the one of LEPTON_BROKER_URL, else of the `lepton up` that runs in this folder, else of the module that
LEPTON_SETTINGS names. It is made when it is first used, so that importing this module reads nothing.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from celery import Celery

from lepton_celery.config import load_settings
from lepton_celery.engines.celery.app import create_app
from lepton_celery.errors import LeptonError
from lepton_celery.flower import guard
from lepton_celery.jobs.find import find_settings


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _app()


@cache
def _app() -> Celery[Any]:
    try:
        app = create_app(find_settings() or load_settings())
    except LeptonError as error:
        raise SystemExit(f"lepton_celery: {error}") from error  # the command would show a traceback and no reason
    guard.configure()
    return app
