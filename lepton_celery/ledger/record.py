"""The record of a job that runs in this process, with the methods of the ledger that `Job` calls."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger.block_record import OpenBlocks
from lepton_celery.ledger.history import Stretch
from lepton_celery.ledger.info import NO_DESCRIPTION, Description, FilledBlock, JobInfo, JobState, StageTimes
from lepton_celery.priority import Priority


class RunRecord:
    """The progress of one job in this process; safe to use from several threads.

    The methods that `Job` calls take a job's id, as the ledger's do, and ignore it.
    """

    def __init__(
        self,
        job_id: str,
        manifest: Mapping[str, Any],
        *,
        description: Description = NO_DESCRIPTION,
        stages: Sequence[float],
    ) -> None:
        """`stages` has the predicted seconds of each stage of the plan."""
        now = time.time()
        self._lock = threading.Lock()
        self._manifest = dict(manifest)
        self._result: dict[str, Any] | None = None
        self._sums: defaultdict[StageNumber, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._info = JobInfo(
            job_id,
            JobState.RUNNING,
            lane="default",
            title=description.title,
            owner=description.owner,
            stage=StageNumber(0),
            stages=len(stages),
            blocks_done=0,
            blocks_total=0,
            dispatched=0,
            created_at=now,
            updated_at=now,
            predicted_s=tuple(stages),
        )

    def open_stage(self, number: StageNumber, blocks: int) -> None:
        """Note that a stage with `blocks` blocks begins, and that the one before is over."""
        with self._lock:
            now = time.time()
            self._mark("ended", now)
            self._info = replace(self._info, stage=number, blocks_done=0, blocks_total=blocks, dispatched=blocks)
            self._info.stage_times[number] = StageTimes(began=now)

    def receive(self, blocks: int, stats: Mapping[str, float]) -> None:
        """Count blocks of the current stage as done, and add their statistics up."""
        with self._lock:
            sums = self._sums[self._info.stage]
            for name, value in stats.items():
                sums[name] += value
            self._info = replace(self._info, blocks_done=self._info.blocks_done + blocks)
            if self._info.blocks_done == self._info.blocks_total:
                self._mark("received", time.time())

    def finish(self, result: Mapping[str, Any]) -> None:
        """End the job as done."""
        with self._lock:
            now = time.time()
            self._mark("ended", now)
            self._result = dict(result)
            self._info = replace(self._info, state=JobState.DONE, finished_at=now)

    def fail(self, reason: str) -> None:
        """End the job as failed."""
        with self._lock:
            self._info = replace(self._info, state=JobState.FAILED, error=reason, finished_at=time.time())

    def _mark(self, moment: str, now: float) -> None:
        """Note one of the times of the current stage."""
        stage, times = self._info.stage, self._info.stage_times
        times[stage] = replace(times.get(stage, StageTimes()), **{moment: now})

    def info(self, job_id: str) -> JobInfo:
        """The job as it stands."""
        with self._lock:
            return replace(
                self._info,
                updated_at=self._info.finished_at or time.time(),
                stage_stats={number: dict(sums) for number, sums in self._sums.items()},
                stage_times=dict(self._info.stage_times),
            )

    def manifest(self, job_id: str) -> dict[str, Any]:
        return self._manifest

    def result(self, job_id: str) -> dict[str, Any] | None:
        """The job's result; None before it is done."""
        return self._result

    def filled_blocks(self, job_id: str) -> list[FilledBlock]:
        """Always empty: the first error ends such a job."""
        return []

    def open_blocks(self, job_id: str) -> OpenBlocks:
        """Always empty: such a job ends within one call."""
        return OpenBlocks(b"", {}, {}, {})

    def history(self, job_id: str) -> list[Stretch]:
        """Always empty: this process did everything."""
        return []

    def tracebacks(self, job_id: str) -> dict[tuple[StageNumber, Place], str]:
        """Always empty: the error itself was raised here."""
        return {}

    @contextmanager
    def end_signal(self, job_id: str) -> Iterator[Callable[[float], None]]:
        """`time.sleep`: a job in this process has ended before its caller can wait for it."""
        yield time.sleep

    def is_served(self, lane: str) -> bool:
        """Always True: this process does the work."""
        return True

    def take_trace(self, job_id: str) -> bool:
        """Always False: such a job has no spans of its own."""
        return False

    def cancel(self, job_id: str) -> bool:
        """Always False: the job has ended before its caller can cancel it."""
        return False

    def prioritize(self, job_id: str, priority: Priority) -> bool:
        """Always False: the job has ended before its caller can change its priority."""
        return False

    def pause(self, job_id: str) -> bool:
        """Always False: the job has ended before its caller can pause it."""
        return False

    def forget(self, job_id: str) -> None:
        """Do nothing: the record is stored nowhere else."""
