"""Imports what the pipelines of a site need, so that its first user does not wait for a second or more."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress

from lepton_celery.errors import LeptonError
from lepton_celery.web.pipelines import Pipeline, check_steps

_first = threading.Semaphore()


def preload(pipelines: Iterable[Pipeline]) -> None:
    """Import the functions of pipelines in a thread of its own, once in a process.

    Servers call it when a process answers its first request: commands, and processes that fork others, need none of them.
    """
    if _first.acquire(blocking=False):
        # no daemon: an import must not be cut off when the process ends
        threading.Thread(target=_try, args=(list(pipelines),), name="lepton-preload").start()


def _try(pipelines: list[Pipeline]) -> None:
    for pipeline in pipelines:
        with suppress(LeptonError):  # whoever uses it is told
            check_steps(pipeline.document)
