"""What the workers of a test session run: the project's application, on the server of the session.

The environment names both, because a worker is a process of its own: `celery -A lepton_celery.contrib.testing.app worker`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from typing import Any

from celery import Celery
from celery.app.utils import find_app

from lepton_celery.config import Settings
from lepton_celery.engines.celery.app import configure
from lepton_celery.errors import InputError

APP_VARIABLE = "TESTED_CELERY_APP"
"""Environment variable of the workers that names the project's application, as for `celery -A`."""


def application(app: str | Celery[Any]) -> Celery[Any]:
    """An application by its name, as for `celery -A`, or as it is.

    Raises:
        InputError: there is none of this name, or it was not configured for jobs.
    """
    if isinstance(app, str):
        try:
            found = find_app(app)
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"lepton_app={app!r} names no Celery application ({error}); give what `celery -A` takes, such as "
                "shop.celery, in the option lepton_app of pytest, or as what your own fixture lepton_app returns"
            ) from error
    else:
        found = app
    if not isinstance(found, Celery):
        raise InputError(f"lepton_app={app!r} is a {type(found).__name__}; give a Celery application or its name")
    if found.conf.get("lepton") is None:
        raise InputError(
            f"the Celery application {found.main!r} was not prepared; call lepton_celery.configure(app) where it is made"
        )
    return found


def point_at(app: Celery[Any], url: str) -> None:
    """Have an application use one Redis server as its broker, for its results and as its ledger.

    This holds whatever its own settings say, so that no test reaches the servers of the project.
    """
    own: Settings = app.conf["lepton"]
    app.conf.update(
        broker_url=url,
        broker_read_url=url,
        broker_write_url=url,
        result_backend=url,
        broker_use_ssl=None,  # the server of a test listens without TLS
        redis_backend_use_ssl=None,
    )
    configure(app, replace(own, broker_url=url, result_backend=url, ledger_url=url))


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _app()


@cache
def _app() -> Celery[Any]:
    app = application(os.environ[APP_VARIABLE])
    point_at(app, os.environ["LEPTON_BROKER_URL"])
    return app
