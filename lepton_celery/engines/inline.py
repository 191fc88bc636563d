"""Runs a plan in this process, on threads: the same work as on workers, without a broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

from lepton_celery.errors import LeptonError
from lepton_celery.execution import seams
from lepton_celery.execution.block import run_blocks
from lepton_celery.execution.context import Context
from lepton_celery.execution.loop import run_stages
from lepton_celery.execution.outputs import discard, publish
from lepton_celery.execution.threads import one_thread
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger.record import RunRecord
from lepton_celery.planning.batches import batches, places_between


@dataclass(frozen=True)
class Outputs:
    """What is published when a job is done, besides the images of its context."""

    files: Mapping[str, int] = field(default_factory=dict)
    """Path of each table or value output, and its node."""
    overwrite: bool = False


def run(
    context: Context,
    record: RunRecord,
    *,
    threads: int,
    outputs: Outputs | None = None,
    on_progress: Callable[[], None] | None = None,
) -> None:
    """Run a job to its end.

    Args:
        context: the job in this process.
        record: what has been done is recorded here.
        threads: number of threads; with 1, the calling thread does the work.
        outputs: tables and values to write.
        on_progress: called after each box of blocks.

    Raises:
        LeptonError: what went wrong; nothing is left under an output's final name.
    """
    outputs = outputs or Outputs()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="lepton") if threads > 1 else None
    try:
        with one_thread(), pool or nullcontext():
            run_stages(context, partial(_do_blocks, context, record, pool, on_progress))
            publish(context, outputs.files, overwrite=outputs.overwrite)
            record.finish({"outputs": sorted(outputs.files), "seams": seams.measure(context)})
    except BaseException as error:
        record.fail(str(error) if isinstance(error, LeptonError) else f"{type(error).__name__}: {error}")
        discard(context)
        raise


def _do_blocks(
    context: Context,
    record: RunRecord,
    pool: ThreadPoolExecutor | None,
    on_progress: Callable[[], None] | None,
    number: StageNumber,
) -> None:
    """All blocks of a stage."""
    stage = context.plan.stage_of(number)
    record.open_stage(number, len(stage.grid))

    def do_batch(places: list[Place]) -> None:
        for box in stage.boxes(places):
            timings = run_blocks(context, number, box)
            record.receive(len(box), timings.stats())
            if on_progress is not None:
                on_progress()

    stage_batches = batches(stage, context.plan.workers, places_between(0, len(stage.grid)))
    if pool is None:
        for batch in stage_batches:
            do_batch(batch)
        return
    futures = [pool.submit(do_batch, batch) for batch in stage_batches]
    try:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        for future in futures:
            future.cancel()
    for future in done:
        future.result()
