"""Flower's configuration, also that of a plain `celery -A workers.app flower` and `celery -A lepton_celery.app flower`.

Flower executes this file, and every name that is one of its options sets that option. The file overrides the variables
FLOWER_*, which therefore set only other options (FLOWER_PORT, FLOWER_URL_PREFIX); the command line overrides both.

Reference: https://flower.readthedocs.io/en/latest/config.html
"""

from __future__ import annotations

import os
import secrets
import sys
from typing import Any

from tornado.options import options

from lepton_celery.config import load_settings
from lepton_celery.errors import InputError
from lepton_celery.flower.guard import is_loopback
from lepton_celery.text import shown_lines

_is_local = os.environ.get("LEPTON_SETTINGS") in ("local", "test")
_is_for_this_machine = "LEPTON_SETTINGS" not in os.environ and is_loopback(options.address)
_given = load_settings().flower_auth

# https://flower.readthedocs.io/en/latest/config.html#read-only
# users who may look at workers need not be able to shut them down; `lepton cancel` stops a job. Without a password Flower
# refuses all actions, so this also hides their buttons
read_only = not (_is_local and _given)

# https://flower.readthedocs.io/en/latest/config.html#max-tasks
# a large job sends more tasks than Flower keeps; the ledger counts them all
max_tasks = 20_000

# https://flower.readthedocs.io/en/latest/config.html#persistent
persistent = False

# https://flower.readthedocs.io/en/latest/config.html#tasks-columns
# the arguments name job, stage and blocks; the ids of messages mean nothing to users
tasks_columns = "name,args,state,received,runtime,worker,retries"

# https://flower.readthedocs.io/en/latest/config.html#natural-time
natural_time = True

if _is_local and not options.address:
    # https://flower.readthedocs.io/en/latest/config.html#address
    address = "127.0.0.1"

# https://flower.readthedocs.io/en/latest/config.html#basic-auth
if _given:
    if ":" not in _given:
        raise InputError("LEPTON_FLOWER_AUTH has no colon; give user:password")
    basic_auth = [_given]
elif not (_is_local or _is_for_this_machine or options.basic_auth or options.auth):
    _password = secrets.token_urlsafe(18)
    basic_auth = [f"lepton:{_password}"]
    sys.stderr.write(
        f"Flower's user is lepton, and its password until it stops {_password}; set LEPTON_FLOWER_AUTH to choose them\n"
    )


# https://flower.readthedocs.io/en/latest/config.html#format-task
def format_task(task: Any) -> Any:
    """Empty the cells in which Celery writes `{}` for no keyword arguments and `None` for no result; show text as text."""
    if task.kwargs == "{}":
        task.kwargs = ""
    if task.result == "None":
        task.result = ""
    for name in ("args", "kwargs", "result", "exception", "traceback"):  # whoever sends a message writes these
        if isinstance(text := getattr(task, name, None), str):
            setattr(task, name, shown_lines(text))
    return task
