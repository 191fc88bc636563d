"""Runs a plan in this process, on threads: the same work as on workers, without a broker."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

from lepton_celery.config import configured
from lepton_celery.errors import reason_of
from lepton_celery.execution import seams
from lepton_celery.execution.block import run_blocks
from lepton_celery.execution.context import Context
from lepton_celery.execution.freed_memory import freed_memory_retained
from lepton_celery.execution.library_warnings import kept_warnings
from lepton_celery.execution.loop import run_stages
from lepton_celery.execution.outputs import discard
from lepton_celery.execution.publishing import publish
from lepton_celery.execution.threads import one_thread
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger.record import RunRecord
from lepton_celery.planning.batches import batches, places_between
from lepton_celery.tracing.work import PUBLISH, job_here, nested, stage_here


def run(
    context: Context,
    record: RunRecord,
    *,
    threads: int,
    overwrite: bool = False,
    on_progress: Callable[[], None] = lambda: None,
) -> None:
    """Run a job to its end.

    Args:
        threads: number of threads; with 1, the calling thread does the work.
        overwrite: whether tables and values may replace existing files.
        on_progress: called whenever blocks are done.

    Raises:
        Exception: the job failed. If an output could not be published, the others are, and the notes of the error name them;
            if a block or a merge failed, no output is published.
    """
    settings = configured()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="lepton") if threads > 1 else None

    def do_batch(number: StageNumber, places: list[Place]) -> None:
        for box in context.plan.stage_of(number).boxes(places):
            timings = run_blocks(context, number, box)
            record.receive(len(box), timings.stats())
            on_progress()

    def do_blocks(number: StageNumber) -> None:
        stage = context.plan.stage_of(number)
        record.open_stage(number, len(stage.grid))
        stage_batches = batches(stage, context.plan.workers, places_between(0, len(stage.grid)))
        with stage_here(settings, context.plan, number):
            for _ in (pool.map if pool else map)(partial(do_batch, number), stage_batches):
                pass  # the first error is raised here, and the batches that have not begun are cancelled

    try:
        with job_here(settings, context.job_id), one_thread(), freed_memory_retained(), pool or nullcontext():
            run_stages(context, do_blocks)
            with nested(settings, PUBLISH):
                dtypes = publish(context, overwrite=overwrite)
            record.finish({"seams": seams.measure(context), "dtypes": dtypes, "warnings": kept_warnings(context)})
    except BaseException as error:
        record.fail(reason_of(error))
        discard(context)
        raise
