"""One job: its stages with predicted and actual times, what went wrong, and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lepton_celery.errors import NO_BLOCK
from lepton_celery.grid import BlockIndex, Region, StageIndex, StageOrdinal
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.report import actual_times
from lepton_celery.ledger import JobInfo, JobState
from lepton_celery.planning.explain import work_of
from lepton_celery.planning.plan import Plan
from lepton_celery.views.listing import JobRow, row_of

MOST_TROUBLED = 200
"""Largest number of filled blocks, and of blocks with lost attempts, that a job shows."""


Tracebacks = Mapping[tuple[StageIndex, BlockIndex], str]


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of a stage; None for what is not known."""

    elapsed_s: float | None
    """From its first message to its end."""
    computing_s: float | None
    """C: for which all its workers together computed."""
    communicating_s: float | None
    """W: for which they read, wrote and waited."""


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage of a job."""

    stage: StageOrdinal
    work: tuple[str, ...]
    """Names of its functions."""
    state: str
    """`waiting`, `running`, `merging`, `done`, or the state in which the job ended."""
    round: int
    """Of a stage that is repeated, how often it was begun."""
    shape: tuple[int, ...]
    """Shape of the image that its grid tiles, in pixels."""
    block_shape: tuple[int, ...]
    grid: tuple[int, ...]
    """Number of blocks along each axis."""
    blocks: int
    blocks_done: int
    predicted: Times
    actual: Times
    read_bytes: float
    """Bytes read so far."""
    write_bytes: float
    """Bytes written so far."""


@dataclass(frozen=True, slots=True)
class TroubledBlock:
    """A block that was given up, that lost attempts, or because of which the job failed."""

    stage: StageOrdinal
    block: BlockIndex
    start: tuple[int, ...]
    """Its first pixel along each axis."""
    stop: tuple[int, ...]
    """One past its last pixel along each axis."""
    attempts: int
    """Lost attempts."""
    reason: str
    traceback: str = ""
    """Where its last error was raised; empty if that is not known or may not be seen."""

    @property
    def region(self) -> Region:
        """Its pixels."""
        return Region(self.start, self.stop)


@dataclass(frozen=True, slots=True)
class JobView:
    """All about a job but its blocks and its timeline."""

    summary: JobRow
    """The job as it is listed."""
    predicted_s: float | None
    """Predicted seconds from the call to the end; None if they are not known."""
    workers: int
    """Worker processes that the plan was made for."""
    figures: str
    """Origin of the prediction's figures."""
    stages: tuple[StageView, ...]
    outputs: tuple[str, ...]
    inputs: Mapping[str, str]
    """The identity of each input when the job was submitted."""
    versions: Mapping[str, str]
    """Versions of the packages on which the pixels depend."""
    failed_stage: StageOrdinal | None
    """The stage in which the job failed; None if it has not failed, or not in a stage."""
    failure: TroubledBlock | None
    """The block because of which the job failed, if it was one."""
    filled: tuple[TroubledBlock, ...]
    """Blocks that were given up and filled."""
    retried: tuple[TroubledBlock, ...]
    """Blocks of the current stage that lost attempts and are not done."""
    seams: Mapping[str, float]
    """How visible block borders are in each output that may not be exact; about 1 if they are invisible."""
    warnings: tuple[str, ...]
    """What scikit-image warned of."""


def view_of(job: Job, *, most_troubled: int = MOST_TROUBLED, shows_tracebacks: bool = True) -> JobView:
    """The view of a job.

    Args:
        job: the job.
        shows_tracebacks: whether blocks have their tracebacks, which show code and paths of the workers.
        most_troubled: largest number of blocks in each of the lists of troubled blocks.

    Raises:
        JobNotFound: the ledger does not know the job.
        JobError: the job's entry is damaged, or another release wrote it.
        BrokerUnreachable: the ledger does not answer.
    """
    info, manifest = job.info(), job.manifest()
    plan, failure = manifest.plan, job.failure()
    tracebacks = job.tracebacks() if shows_tracebacks else {}
    predicted_s = plan.predicted_s
    failed = failed_stage = None
    if failure is not None and failure.stage >= 0:
        failed_stage = StageOrdinal(failure.stage + 1)
    if failure is not None and failed_stage is not None and failure.block != NO_BLOCK:
        failed = _troubled(plan, failure.stage, failure.block, 0, info.error, tracebacks)
    return JobView(
        summary=replace(row_of(info), waits_for=job.waits_for(info)),
        predicted_s=predicted_s if math.isfinite(predicted_s) else None,
        workers=plan.workers,
        figures=plan.costs,
        stages=tuple(_stage(info, plan, StageIndex(index)) for index in range(len(plan.stages))),
        outputs=tuple(manifest.output_paths()),
        inputs=manifest.inputs,
        versions=manifest.versions,
        failed_stage=failed_stage,
        failure=failed,
        filled=tuple(
            _troubled(plan, one.stage, one.block, one.attempts, one.reason, tracebacks)
            for one in job.filled_blocks()[:most_troubled]
        ),
        retried=_retried(job, info, plan, most_troubled, tracebacks),
        seams=job.seams(),
        warnings=tuple(job.warnings()),
    )


def _stage(info: JobInfo, plan: Plan, index: StageIndex) -> StageView:
    stage, predicted = plan.stages[index], plan.stages[index].predicted
    rounds = [number for number in info.stage_times if plan.stage_run(number).stage == index]
    state, done = _progress(info, index, len(stage.grid))
    sums = [stats for number, stats in info.stage_stats.items() if plan.stage_run(number).stage == index]
    return StageView(
        stage=StageOrdinal(index + 1),
        work=tuple(work_of(plan, index)),
        state=state,
        round=len(rounds),
        shape=stage.shape,
        block_shape=stage.block_shape,
        grid=stage.grid.counts,
        blocks=len(stage.grid),
        blocks_done=done,
        predicted=Times(predicted.wall_s, predicted.compute_s, predicted.communication_s),
        actual=Times(*actual_times(info, plan, index)),
        read_bytes=sum(stats.get("read_bytes", 0.0) for stats in sums),
        write_bytes=sum(stats.get("write_bytes", 0.0) for stats in sums),
    )


def _progress(info: JobInfo, index: StageIndex, blocks: int) -> tuple[str, int]:
    """The state of a stage, and the number of its blocks that are done."""
    if info.state is JobState.DONE or index < info.stage_index:
        return "done", blocks
    if index > info.stage_index:
        return "waiting", 0
    state = "merging" if info.merging else str(info.state)
    return state, info.blocks_done


def _retried(job: Job, info: JobInfo, plan: Plan, most: int, tracebacks: Tracebacks) -> tuple[TroubledBlock, ...]:
    if info.state is JobState.DONE:
        return ()
    index, blocks = info.stage_index, job.open_blocks()
    places = [place for place in sorted(blocks.attempts) if 0 <= place < len(plan.stages[index].grid)]
    return tuple(
        _troubled(
            plan,
            index,
            plan.stages[index].tiling.block(place),
            blocks.attempts[place],
            blocks.reasons.get(place, ""),
            tracebacks,
        )
        for place in places[:most]
    )


def _troubled(
    plan: Plan, index: StageIndex, block: BlockIndex, attempts: int, reason: str, tracebacks: Tracebacks
) -> TroubledBlock:
    region = plan.stages[index].grid.region(block)
    traceback = tracebacks.get((index, block), "")
    return TroubledBlock(StageOrdinal(index + 1), block, region.start, region.stop, attempts, reason, traceback)
