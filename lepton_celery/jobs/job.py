"""A job, on workers or in this process: its state, its progress, its results and its end."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lepton_celery
from lepton_celery import stores
from lepton_celery.config import configured
from lepton_celery.errors import (
    NO_BLOCK,
    InputError,
    JobCancelled,
    JobError,
    JobFailed,
    JobNotFound,
    StoreError,
    WaitTimeout,
)
from lepton_celery.execution import library_warnings
from lepton_celery.execution.manifest import Manifest
from lepton_celery.execution.outputs import discard
from lepton_celery.graph.nodes import open as open_image
from lepton_celery.grid import BlockIndex, Region, StageIndex
from lepton_celery.jobs.report import compare, progress_of, summarize
from lepton_celery.jobs.unserved import LaneWatch, unserved
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.block_record import OpenBlocks
from lepton_celery.ledger.history import Stretch
from lepton_celery.ledger.info import NO_PLACE, NO_STAGE, JobInfo, JobState
from lepton_celery.ledger.record import RunRecord
from lepton_celery.priority import priority_of
from lepton_celery.stores.roots import Roots, roots_of
from lepton_celery.tracing.ended import export_ended

if TYPE_CHECKING:  # it takes 0.3 s to import, and jobs in this process do without it
    from celery import Celery

_POLL_S = (0.01, 0.05)
"""Shortest and longest time, in seconds, between two checks of a job that is waited for."""


@dataclass(frozen=True)
class FilledBlock:
    """A block that could not be done and was filled."""

    stage: StageIndex
    """Index of its stage in the plan."""
    block: BlockIndex
    """Index of the block in the grid of its stage."""
    region: Region
    """The pixels of the block, on the grid of its stage."""
    attempts: int
    """Number of attempts that were lost."""
    reason: str


class Job:
    """A job in the ledger, or in the record of this process."""

    def __init__(
        self,
        job_id: str,
        records: Ledger | RunRecord,
        keys: Sequence[str] = (),
        roots: Roots = (),
        app: Celery[Any] | None = None,
    ) -> None:
        self.id = job_id
        """The job's id, which is valid in every process with the same ledger."""
        self._records = records
        self._keys = keys
        self._roots = tuple(roots)
        self._app = app
        self._is_told = False

    def __repr__(self) -> str:
        return f"<Job {self.id}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        # the views are above this layer, so the call goes through the package's public name, as a user's would
        return lepton_celery.job_html(self)

    def info(self) -> JobInfo:
        """The job as it stands.

        Raises:
            JobNotFound: the ledger does not know the job, or has forgotten it.
            BrokerUnreachable: the ledger does not answer.
        """
        return self._records.info(self.id)

    def reprioritize(self, priority: str) -> bool:
        """Change the job's priority: a lane, or a lane and a rank such as `batch:5`; see `lepton.submit`.

        Blocks that were sent stay in their lane, a few seconds of work.

        Returns:
            False if the job has ended.

        Raises:
            InputError: there is no such lane or rank.
        """
        return self._records.prioritize(self.id, priority_of(priority))

    def waits_for(self, info: JobInfo) -> str:
        """What the job waits for as it stands; empty if it goes on, or has ended."""
        if info.state is JobState.RUNNING and not self._records.is_served(info.lane):
            return unserved(info.lane)
        return info.waits_for if info.state.is_open else ""

    def progress(self) -> float:
        """The fraction of the job that is done, 0 to 1; stages count by their predicted times."""
        return progress_of(self.info())

    def manifest(self) -> Manifest:
        """The job's manifest, which has the plan and the paths of the job's files."""
        return Manifest.from_json(self._records.manifest(self.id), self._keys, self.id)

    def wait(
        self,
        timeout_s: float | None = None,
        *,
        progress: bool = False,
        on_change: Callable[[JobInfo], None] | None = None,
    ) -> JobInfo:
        """Wait until the job is done.

        Args:
            timeout_s: seconds to wait; None to wait for as long as it takes if workers serve the job's lane; `math.inf` to
                wait for workers too.
            progress: whether to draw a progress bar on standard error, or the job with its block map in a notebook, instead
                of calling `on_change`.
            on_change: called with the job's state at each check.

        Raises:
            JobFailed: the job failed; the message is the reason.
            JobCancelled: the job was cancelled.
            WaitTimeout: the job is not done in time, or no worker has served its lane for 30 s; it goes on.
            JobError: the job is not done, and this is a Celery task that would block a worker (as Celery's `get`).

        Warns:
            Warning: what scikit-image warned of on the workers, once.
            WaitingWarning: no worker has served the job's lane for two seconds.
        """
        if progress:
            from lepton_celery.jobs.progress_bar import in_notebook, show_in_notebook, show_progress

            with show_in_notebook(self) if in_notebook() else show_progress(self.manifest().plan) as draw:
                return self.wait(timeout_s, on_change=draw)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        lane = LaneWatch(self._records)
        for info in self._watch(deadline):
            if on_change is not None:
                on_change(info)
            if info.state.is_open:
                self._refuse_within_a_task()
                lane.check(info, is_limited=timeout_s is not None)
            if info.state is JobState.FAILED:
                raise self._failure(info)
            if info.state is JobState.CANCELLED:
                raise JobCancelled(f"job {self.id} was cancelled", self.id)
            if info.state is JobState.DONE:
                self.tell_warnings(stacklevel=2)
                return info
        raise WaitTimeout(
            f"job {self.id} is not done after {timeout_s} s and goes on{lane.reason(info)}; wait again or cancel it",
            self.id,
        )

    def _refuse_within_a_task(self) -> None:
        """Refuse to wait where Celery refuses to wait for results: a worker that waits for workers may wait for ever."""
        from celery.result import assert_will_not_block  # type: ignore[attr-defined]  # not in the stubs

        try:
            assert_will_not_block()
        except RuntimeError as error:
            raise JobError(
                f"job {self.id} was submitted in a Celery task, which must not wait for it: its worker would wait for "
                "workers; return the job's id and look at the job later, or wait within celery.result.allow_join_result() "
                "if other workers serve the lanes",
                self.id,
            ) from error

    def _watch(self, deadline: float | None) -> Iterator[JobInfo]:
        """Check the job at growing intervals until the deadline; the end of the job cuts an interval short."""
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
        if info.error_stage == NO_STAGE:
            return JobFailed(info.error, self.id)
        plan = self.manifest().plan
        stage = plan.stage_run(info.error_stage).stage
        block = NO_BLOCK if info.error_place == NO_PLACE else plan.stages[stage].tiling.block(info.error_place)
        return JobFailed(info.error, self.id, stage, block)

    def seams(self) -> dict[str, float]:
        """How visible block borders are in each output that may not be exact, by path; about 1 if they are invisible.

        Empty if all outputs are exact, and while the job runs.
        """
        return dict((self._records.result(self.id) or {}).get("seams", {}))

    def warnings(self) -> list[str]:
        """What scikit-image, SciPy and NumPy warned of on the workers, each text once; empty while the job runs."""
        return [text for _, text in (self._records.result(self.id) or {}).get("warnings", ())]

    def tell_warnings(self, *, stacklevel: int = 1) -> None:
        """Give the warnings of a job that is done as Python's warnings; only the first call of this object does it."""
        if not self._is_told:
            self._is_told = True
            library_warnings.tell((self._records.result(self.id) or {}).get("warnings", ()), stacklevel=stacklevel + 1)

    def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait for the job and return its outputs by their submitted paths.

        Images are lazy, tables are columns by name, and values are columns, an array or a number, as their format has
        them. All have the dtypes that were computed.

        Raises:
            JobFailed, JobCancelled, WaitTimeout: as `wait`.
        """
        self.wait(timeout_s)
        manifest = self.manifest()
        stores.check_answers(manifest.files, configured().store_timeout_s)
        roots = roots_of(self._roots, manifest.options.tenant)
        for path in manifest.output_paths():
            stores.check_allowed(stores.local_path(path), roots)
        dtypes = (self._records.result(self.id) or {}).get("dtypes", {})
        return {
            name: stores.read_value(path, dtypes.get(path), roots=roots) if path in manifest.files else open_image(path)
            for name, path in manifest.names.items()
        }

    def tracebacks(self) -> dict[tuple[StageIndex, BlockIndex], str]:
        """Where the last errors of blocks were raised, by stage and block; of up to twenty blocks of a job."""
        plan, found = self.manifest().plan, {}
        for (number, place), text in self._records.tracebacks(self.id).items():
            index = plan.stage_run(number).stage
            if place < len(plan.stages[index].grid):
                found[index, plan.stages[index].tiling.block(place)] = text
        return found

    def filled_blocks(self) -> list[FilledBlock]:
        """The blocks that were given up and filled, with the reason of each; see `on_error` of `submit`."""
        plan = self.manifest().plan
        blocks = []
        for number, place, attempts, reason in self._records.filled_blocks(self.id):
            index = plan.stage_run(number).stage
            block = plan.stages[index].tiling.block(place)
            blocks.append(FilledBlock(index, block, plan.stages[index].grid.region(block), attempts, reason))
        return blocks

    def open_blocks(self) -> OpenBlocks:
        """What the ledger knows of the blocks of the current stage, by place."""
        return self._records.open_blocks(self.id)

    def history(self) -> list[Stretch]:
        """What each worker process did for the job, in the order in which it was noted."""
        return self._records.history(self.id)

    def holes(self) -> list[FilledBlock]:
        """The former name of `filled_blocks`."""
        warnings.warn(
            "Job.holes() is called Job.filled_blocks() now; release 0.2 removes the old name",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.filled_blocks()

    def region(self, stage: StageIndex, block: BlockIndex) -> Region:
        """The region of a block of a stage."""
        return self.manifest().plan.stages[stage].grid.region(block)

    def report(self) -> str:
        """A text that compares measured and predicted times of each stage; complete when the job is done."""
        info, plan = self.info(), self.manifest().plan
        return f"{summarize(info, plan)}\n{compare(info, plan)}"

    def cancel(self) -> bool:
        """Stop the job and remove its files; False if the job has ended, or is being published.

        Workers notice within one batch, and remove the files that they wrote in the meantime.
        """
        cancelled = self._records.cancel(self.id)
        if cancelled:
            export_ended(configured(), self._records, self.id)
            self._discard()
            if self._app is not None and isinstance(self._records, Ledger):  # otherwise a worker does it, in seconds
                from lepton_celery.engines.celery.app import settings_of
                from lepton_celery.engines.celery.sending.notices import try_to_send_notice

                try_to_send_notice(self._app, self._records, settings_of(self._app), self.id)
        return cancelled

    def pause(self) -> bool:
        """Start no more blocks until `lepton_celery.resume(job.id)`; False if the job has ended, or is being published.

        Blocks in progress are finished.
        """
        return self._records.pause(self.id)

    def discard(self) -> None:
        """Remove the files of a failed job, which cannot be resumed any more. The ledger still tells how it ended.

        Otherwise they stay until the job is forgotten, which workers do after `retention_s`.

        Raises:
            JobError: the job has not failed.
        """
        info = self.info()
        if info.state is not JobState.FAILED:
            raise JobError(f"job {self.id} is {info.state}; only files of failed jobs are discarded", self.id)
        self._discard()

    def forget(self) -> None:
        """Remove an ended job from the ledger. A failed job also loses its files, and cannot be resumed any more.

        Raises:
            JobError: the job has not ended; cancel it first.
        """
        try:
            info = self.info()
        except JobNotFound:
            raise
        except JobError:  # its entry is damaged, or another release wrote it
            info = None
        if info is not None and info.state.is_open:
            raise JobError(f"job {self.id} is {info.state}; cancel it first", self.id)
        self._discard()
        self._records.forget(self.id)

    def _discard(self) -> None:
        """Remove the job's files: the parts of its outputs and its workspace, and nothing else.

        Warns:
            UserWarning: its files remain: its manifest cannot be understood or names folders outside `allowed_roots`, or
                this user may not remove them.
        """
        try:
            manifest = self.manifest()
            stores.check_answers([*manifest.output_paths(), manifest.workspace], configured().store_timeout_s)
            discard(manifest.context(self._roots))
        except (InputError, JobError, StoreError) as error:
            warnings.warn(f"files of job {self.id} were not removed: {error}", UserWarning, stacklevel=3)
