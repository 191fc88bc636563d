"""Flower's configuration, also that of `lepton flower` and of a plain `celery -A lepton_celery.app flower`.

Flower executes this file, and every name that is one of its options sets that option. The file overrides the variables
FLOWER_*, which therefore set only other options (FLOWER_PORT, FLOWER_URL_PREFIX); the command line overrides both.
`lepton_celery/flower/guard.py` sees to the password, and to the address.

Reference: https://flower.readthedocs.io/en/latest/config.html
"""

from __future__ import annotations

import os
from typing import Any

from lepton_celery.config import load_settings
from lepton_celery.text import shown_lines

_is_local = os.environ.get("LEPTON_SETTINGS") in ("local", "test")

# https://flower.readthedocs.io/en/latest/config.html#read-only
# users who may look at workers need not be able to shut them down; `lepton cancel` stops a job. Without a password Flower
# refuses all actions, so this also hides their buttons
read_only = not (_is_local and load_settings().flower_auth)

# https://flower.readthedocs.io/en/latest/config.html#max-tasks
# for the tasks of your own, and for blocks if LEPTON_TASK_EVENTS is set; the ledger counts all blocks
max_tasks = 20_000

# https://flower.readthedocs.io/en/latest/config.html#purge-offline-workers
# fleets that are scaled have workers that never come back: after a day they, and their metrics, are forgotten
purge_offline_workers = 24 * 3600

# https://flower.readthedocs.io/en/latest/config.html#persistent
persistent = False

# https://flower.readthedocs.io/en/latest/config.html#tasks-columns
# the arguments name job, stage and blocks; the ids of messages mean nothing to users
tasks_columns = "name,args,state,received,runtime,worker,retries"

# https://flower.readthedocs.io/en/latest/config.html#natural-time
natural_time = True


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
