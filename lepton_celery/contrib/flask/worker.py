"""What the workers of a Flask site run: `celery -A lepton_celery.contrib.flask.worker worker`.

The site is found as the command `flask` finds it: by FLASK_APP, or in `app.py` or `wsgi.py`; `flask lepton worker` names it.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from celery import Celery
from flask.cli import ScriptInfo


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _app()


@cache
def _app() -> Celery[Any]:
    celery: Celery[Any] = ScriptInfo(os.environ.get("FLASK_APP")).load_app().extensions["celery"]
    return celery
