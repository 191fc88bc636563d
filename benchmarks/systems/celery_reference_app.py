"""The Celery application of the hand-written chord; its workers import it."""

from __future__ import annotations

import os

from celery import Celery

from benchmarks.systems.base import run_blocks

app = Celery("reference", broker=os.environ["LEPTON_BROKER_URL"], backend=os.environ["LEPTON_BROKER_URL"])


@app.task(name="benchmarks.blocks")
def blocks(text: str, stage: int, start: int, stop: int) -> None:
    """Do a batch of blocks of a stage."""
    run_blocks(text, stage, start, stop)


@app.task(name="benchmarks.done")
def done() -> None:
    """The chord's body, which runs once all blocks of the stage are done."""
