"""A job, wherever it runs: its state, its progress, its results and its end."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lepton_celery import stores
from lepton_celery.errors import NO_BLOCK, JobCancelled, JobError, JobFailed, WaitTimeout
from lepton_celery.execution.manifest import Manifest
from lepton_celery.execution.outputs import discard
from lepton_celery.graph.nodes import open as open_image
from lepton_celery.grid import BlockIndex, Region, StageIndex
from lepton_celery.jobs.report import compare, progress_of, summarize
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.info import NO_PLACE, NO_STAGE, JobInfo, JobState
from lepton_celery.ledger.record import RunRecord

_POLL_S = (0.01, 0.05)
"""Shortest and longest pause between two looks at a job that is waited for."""


@dataclass(frozen=True)
class FilledBlock:
    """A block that could not be done and was filled."""

    stage: StageIndex
    """Index of its stage in the plan."""
    block: BlockIndex
    """Index of the block in the grid of its stage."""
    region: Region
    """Its pixels, on the grid of its stage."""
    attempts: int
    """Number of attempts that were lost."""
    reason: str


class Job:
    """A job in the ledger: its state, its progress and its end."""

    def __init__(self, job_id: str, records: Ledger | RunRecord) -> None:
        self.id = job_id
        """Names the job to every process that has the same ledger."""
        self._records = records

    def __repr__(self) -> str:
        return f"<Job {self.id}>"

    def info(self) -> JobInfo:
        """The job as it stands.

        Raises:
            JobNotFound: the ledger does not know it (any more).
            BrokerUnreachable: the ledger does not answer.
        """
        return self._records.info(self.id)

    def progress(self) -> float:
        """The share of the job that is done, 0 to 1, by the predicted time of its stages."""
        return progress_of(self.info(), self.manifest().plan)

    def manifest(self) -> Manifest:
        """The manifest of the job: its plan, and the places of its files."""
        return Manifest.from_json(self._records.manifest(self.id))

    def wait(
        self,
        timeout_s: float | None = None,
        *,
        progress: bool = False,
        on_change: Callable[[JobInfo], None] | None = None,
    ) -> JobInfo:
        """Wait until the job is done.

        Args:
            timeout_s: seconds to wait; None: as long as it takes.
            progress: draw a progress bar on standard error.
            on_change: called with each new state.

        Raises:
            JobFailed: it failed; the message is the reason.
            JobCancelled: it was cancelled.
            WaitTimeout: it is not done in time; it goes on.
        """
        if progress:
            from lepton_celery.jobs.progress_bar import show_progress

            with show_progress(self.manifest().plan) as draw:
                return self.wait(timeout_s, on_change=draw)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for info in self._watch(deadline):
            if on_change is not None:
                on_change(info)
            if info.state is JobState.FAILED:
                raise self._failure(info)
            if info.state is JobState.CANCELLED:
                raise JobCancelled(f"job {self.id} was cancelled", self.id)
            if info.state is JobState.DONE:
                return info
        raise WaitTimeout(
            f"job {self.id} is not done after {timeout_s} s; it goes on, wait again or cancel it", self.id
        )

    def _watch(self, deadline: float | None) -> Iterator[JobInfo]:
        """The job's state, again and again, more seldom as it takes longer, and when it ends; up to the deadline."""
        pause, longest = _POLL_S
        with self._records.end_signal(self.id) as wait:
            while True:
                yield self.info()
                left = longest if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    return
                wait(min(pause, left))
                pause = min(longest, pause * 1.2)

    def failure(self) -> JobFailed | None:
        """The error of a failed job, with the stage and the block that failed; None if the job has not failed."""
        info = self.info()
        return self._failure(info) if info.state is JobState.FAILED else None

    def _failure(self, info: JobInfo) -> JobFailed:
        """The error of a failed job, which names the block by its index in the grid."""
        if info.error_stage == NO_STAGE:
            return JobFailed(info.error, self.id)
        plan = self.manifest().plan
        stage = plan.stage_run(info.error_stage).stage
        place = info.error_place
        block = NO_BLOCK if place == NO_PLACE else plan.stages[stage].tiling.block(place)
        return JobFailed(info.error, self.id, stage, block)

    def seams(self) -> dict[str, float]:
        """The seam figures of the outputs of functions that are not exact, by path; about 1 means that there are no seams.

        Empty for outputs that are identical to the whole-image result, and while the job runs.
        """
        return dict((self._records.result(self.id) or {}).get("seams", {}))

    def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """The outputs, once the job is done, by the paths they were submitted under: lazy images, and tables as columns.

        Raises:
            JobFailed, JobCancelled, WaitTimeout: as `wait`.
        """
        self.wait(timeout_s)
        manifest = self.manifest()
        return {
            name: stores.read_table(path) if path in manifest.files else open_image(path)
            for name, path in manifest.names.items()
        }

    def filled_blocks(self) -> list[FilledBlock]:
        """The blocks that could not be done and were filled, with the reason of each; see `on_error` of `submit`."""
        plan = self.manifest().plan
        blocks = []
        for number, place, attempts, reason in self._records.filled_blocks(self.id):
            stage = plan.stage_of(number)
            block = stage.tiling.block(place)
            index = plan.stage_run(number).stage
            blocks.append(FilledBlock(index, block, stage.grid.region(block), attempts, reason))
        return blocks

    def holes(self) -> list[FilledBlock]:
        """The former name of `filled_blocks`."""
        warnings.warn(
            "Job.holes() is called Job.filled_blocks() now; the old name goes in release 0.2",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.filled_blocks()

    def region(self, stage: StageIndex, block: BlockIndex) -> Region:
        """The pixels of a block, by its index in the grid of its stage."""
        return self.manifest().plan.stages[stage].grid.region(block)

    def report(self) -> str:
        """The job's times beside the predicted ones, stage by stage, as text; complete when the job is done."""
        info, plan = self.info(), self.manifest().plan
        return f"{summarize(info, plan)}\n{compare(info, plan)}"

    def cancel(self) -> bool:
        """Stop the job and remove what it has written; False if it had ended already, or is being published.

        Workers notice within one batch; they remove what they wrote in the meantime.
        """
        cancelled = self._records.cancel(self.id)
        if cancelled:
            discard(self.manifest().context())
        return cancelled

    def pause(self) -> bool:
        """Start none of the job's blocks until `lepton_celery.resume(job.id)`; False if it has ended, or is being published.

        Blocks that are at work are finished first.
        """
        return self._records.pause(self.id)

    def forget(self) -> None:
        """Remove an ended job from the ledger, and the files of one that failed: it cannot be resumed any more.

        Raises:
            JobError: the job has not ended; cancel it first.
        """
        info = self.info()
        if info.state.is_open:
            raise JobError(f"job {self.id} is {info.state}; cancel it first", self.id)
        discard(self.manifest().context())
        self._records.forget(self.id)
