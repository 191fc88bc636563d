"""The ideal: a hand-written process pool without broker, ledger or retries."""

from __future__ import annotations

import multiprocessing
from functools import partial
from multiprocessing.pool import Pool as ProcessPool
from pathlib import Path

from benchmarks.cases import Task
from benchmarks.systems.base import WORKERS, batches, by_reference, run_blocks


class Pool:
    """A pool of forked processes."""

    _pool: ProcessPool

    def start(self, work: Path) -> None:
        self._pool = multiprocessing.get_context("fork").Pool(WORKERS)

    def run(self, task: Task) -> None:
        by_reference(task, partial(self._run_stage, task))

    def _run_stage(self, task: Task, text: str, stage: int) -> None:
        self._pool.starmap(partial(run_blocks, text, stage), batches(task), chunksize=1)

    def stop(self) -> None:
        self._pool.terminate()
        self._pool.join()
