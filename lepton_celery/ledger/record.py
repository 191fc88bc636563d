"""The record of a job that runs in this process: the same questions as of the ledger, without leases and messages."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from lepton_celery.errors import JobNotFound
from lepton_celery.grid import StageNumber
from lepton_celery.ledger.info import FilledBlock, JobInfo, JobState, StageTimes


class RunRecord:
    """What a job of this process has done; safe to use from the threads that work on it."""

    def __init__(self, job_id: str, manifest: Mapping[str, Any], *, title: str = "", stages: int, blocks: int) -> None:
        """`stages`: stages of the plan; `blocks`: blocks of the first one."""
        self._begun = JobInfo.begun(job_id, lane="default", title=title, stages=stages, blocks=blocks, now=time.time())
        self._lock = threading.Lock()
        self._manifest = dict(manifest)
        self._state = JobState.RUNNING
        self._stage = StageNumber(0)
        self._done, self._total = 0, blocks
        self._times: dict[StageNumber, StageTimes] = {}
        self._sums: defaultdict[StageNumber, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._result: dict[str, Any] | None = None
        self._error = ""
        self._finished_at: float | None = None

    # ------------------------------------------------------------------ what the engine tells

    def open_stage(self, number: StageNumber, blocks: int) -> None:
        """A stage with `blocks` blocks begins, and the one before is over."""
        with self._lock:
            now = time.time()
            self._end_stage(now)
            self._stage, self._done, self._total = number, 0, blocks
            self._times[number] = StageTimes(began=now)

    def receive(self, blocks: int, stats: Mapping[str, float]) -> None:
        """Blocks of the current stage are done; `stats` are added up."""
        with self._lock:
            sums = self._sums[self._stage]
            for name, value in stats.items():
                sums[name] += value
            self._done += blocks
            if self._done == self._total:
                self._times[self._stage] = replace(self._times[self._stage], received=time.time())

    def finish(self, result: Mapping[str, Any]) -> None:
        """The job is done."""
        with self._lock:
            now = time.time()
            self._end_stage(now)
            self._result = dict(result)
            self._state, self._finished_at = JobState.DONE, now

    def fail(self, reason: str) -> None:
        """The job has failed."""
        with self._lock:
            self._error = reason
            self._state, self._finished_at = JobState.FAILED, time.time()

    def _end_stage(self, now: float) -> None:
        if self._stage in self._times:
            self._times[self._stage] = replace(self._times[self._stage], ended=now)

    # ------------------------------------------------------------------ what others ask

    def info(self, job_id: str) -> JobInfo:
        """The job as it stands."""
        with self._lock:
            if job_id != self._begun.job_id:
                raise JobNotFound(f"this is the record of job {self._begun.job_id!r}, not of {job_id!r}", job_id)
            info = replace(
                self._begun,
                state=self._state,
                stage=self._stage,
                blocks_done=self._done,
                blocks_total=self._total,
                dispatched=self._total,
                merging=self._state is JobState.RUNNING and self._done == self._total,
                updated_at=self._finished_at or time.time(),
                finished_at=self._finished_at,
                error=self._error,
                stage_times=dict(self._times),
            )
            return info.with_stats(self._sums)

    def manifest(self, job_id: str) -> dict[str, Any]:
        """The job's manifest."""
        self.info(job_id)
        return self._manifest

    def result(self, job_id: str) -> dict[str, Any] | None:
        """The job's result; None before it is done."""
        self.info(job_id)
        return self._result

    def filled_blocks(self, job_id: str) -> list[FilledBlock]:
        """No block of such a job is ever filled: the first error ends it."""
        self.info(job_id)
        return []

    @contextmanager
    def end_signal(self, job_id: str) -> Iterator[Callable[[float], None]]:
        """Something to wait with; nothing announces the end of such a job, which is over when its caller goes on."""
        self.info(job_id)
        yield time.sleep

    def cancel(self, job_id: str) -> bool:
        """False: the job has ended when its caller can ask."""
        return self._refuse(job_id)

    def pause(self, job_id: str) -> bool:
        """False: the job has ended when its caller can ask."""
        return self._refuse(job_id)

    def _refuse(self, job_id: str) -> bool:
        self.info(job_id)
        return False

    def forget(self, job_id: str) -> None:
        """Nothing to do: the record goes with this object."""
        self.info(job_id)
