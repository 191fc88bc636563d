"""`lepton.run`: a job in this process, on threads, into files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from lepton_celery.config import configured
from lepton_celery.engines import inline
from lepton_celery.execution.manifest import JobOptions
from lepton_celery.execution.outputs import create_outputs, discard, reserve_outputs
from lepton_celery.graph.nodes import Node
from lepton_celery.jobs.compute import use_kernels
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.prepare import Prepared, prepare
from lepton_celery.ledger.info import JobInfo
from lepton_celery.ledger.record import RunRecord
from lepton_celery.planning.cost.keep import model_of_folder
from lepton_celery.planning.options import Limits, PlanOptions


def run(
    outputs: Mapping[str, Node],
    *,
    threads: int | None = None,
    block_shape: tuple[int, ...] | None = None,
    overwrite: bool = False,
    limits: Limits | None = None,
    on_change: Callable[[JobInfo], None] | None = None,
) -> Job:
    """Compute lazy nodes into files in this process, on threads, without a broker; return when the job is done.

    Memory depends on the block, not on the image: intermediate images are kept on disk beside the outputs.

    Args:
        outputs: path or file:// URL of each output, and its node.
        threads: number of threads; None for one per processor.
        block_shape: shape of a block in pixels; None to let the planner choose.
        overwrite: whether outputs may replace existing files when the job is done.
        limits: limits of the plan.
        on_change: called with the job's state whenever blocks are done.

    Raises:
        LeptonError: the job is refused before anything ran.
        Exception: the job failed, and nothing is left of its outputs. If only one of several outputs could not be published,
            the others are; the notes of the error say which.
    """
    threads = threads or os.cpu_count() or 1
    plan_options = PlanOptions(block_shape, threads, limits or Limits(), model_of_folder().on_threads())
    prepared = prepare(outputs, plan_options, JobOptions(overwrite=overwrite), configured())
    return run_prepared(prepared, threads=threads, on_change=on_change)


def new_record(prepared: Prepared) -> RunRecord:
    """The record of a job that is about to run in this process."""
    manifest = prepared.manifest
    stages = [stage.predicted.wall_s for stage in manifest.plan.stages]
    return RunRecord(manifest.job_id, manifest.to_json(), description=manifest.description, stages=stages)


def run_prepared(
    prepared: Prepared,
    *,
    threads: int,
    on_change: Callable[[JobInfo], None] | None = None,
    record: RunRecord | None = None,
) -> Job:
    """Run a prepared job in this process; see `run`. `record` is the job's record; None for a new one."""
    manifest, plan = prepared.manifest, prepared.manifest.plan
    context = prepared.context(kernels=use_kernels(plan))
    context.workspace.create()
    try:
        create_outputs(context)
        reserve_outputs(context)
    except BaseException:
        discard(context)
        raise
    record = record or new_record(prepared)

    def changed() -> None:
        if on_change is not None:
            on_change(record.info(manifest.job_id))

    inline.run(context, record, threads=threads, overwrite=manifest.options.overwrite, on_progress=changed)
    changed()
    context.workspace.discard()
    job = Job(manifest.job_id, record, roots=prepared.roots)
    job.tell_warnings(stacklevel=3)
    return job
