"""A hand-written Celery chord by reference, which avoids the known slow parts of chords."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from celery import chord
from celery.result import AsyncResult

from benchmarks.cases import Task
from benchmarks.systems.base import WORKERS, batches, by_reference
from lepton_celery.local.stack import LocalStack, Project


class CeleryReference:
    """One worker of two processes, with Celery's default settings."""

    def start(self, work: Path) -> None:
        app = "benchmarks.systems.celery_reference_app"
        self._stack = LocalStack(
            work / "reference", workers=1, concurrency=WORKERS, flower=False, project=Project(app=app)
        )
        self._stack.start()
        os.environ["LEPTON_BROKER_URL"] = self._stack.broker_url
        from benchmarks.systems import celery_reference_app

        self._tasks: Any = celery_reference_app

    @property
    def broker_url(self) -> str:
        """The URL of the broker and result backend."""
        return self._stack.broker_url

    def call(self, task: Task) -> None:
        """Do the task by one plain Celery call for each stage, without a canvas."""
        blocks = task.case.blocks
        by_reference(task, lambda text, stage: self._tasks.blocks.delay(text, stage, 0, blocks).get(timeout=300))

    def run(self, task: Task) -> None:
        by_reference(task, partial(self._run_stage, task))

    def _run_stage(self, task: Task, text: str, stage: int) -> None:
        header = [self._tasks.blocks.s(text, stage, *ends) for ends in batches(task)]
        sent = chord(header)(self._tasks.done.si())
        # the chord's own result asks for every task of the header each time it polls
        AsyncResult(sent.id, app=self._tasks.app).get(timeout=300)

    def stop(self) -> None:
        self._stack.stop()
