"""Imports scikit-image before a user's first job needs it, which would make him wait for a second or more."""

from __future__ import annotations

import threading
from functools import cache

from lepton_celery.web.pipelines import check_steps


@cache
def preload() -> threading.Thread:
    """Import what planning needs, in a thread of its own, once in a process; return the thread.

    Servers call it when a process answers its first request: commands, and processes that fork others, need none of it.
    """
    thread = threading.Thread(
        target=_plan, name="lepton-preload"
    )  # no daemon: an import must not be cut off at the end
    thread.start()
    return thread


def _plan() -> None:
    check_steps({"version": 1, "steps": ["result=gaussian"], "outputs": {"result.tif": "result"}})
