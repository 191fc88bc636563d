"""Runs a plan in this process, on threads: the same steps and the same ledger calls, without a broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext
from functools import partial

from lepton_celery.errors import LeptonError
from lepton_celery.execution import seams, steps
from lepton_celery.execution.threads import one_thread
from lepton_celery.grid import Place
from lepton_celery.ledger.base import Ledger
from lepton_celery.planning.batches import batches

OWNER = "inline"
_LEASE_S = 3600.0  # nobody else can take a block of this process


def run(
    context: steps.Context,
    ledger: Ledger,
    job_id: str,
    *,
    threads: int,
    files: Mapping[str, int] | None = None,
    overwrite: bool = False,
    on_progress: Callable[[], None] | None = None,
) -> None:
    """Run a job that stands in `ledger` to its end.

    Raises:
        LeptonError: what went wrong; nothing is left under an output's final name.
    """
    try:
        pool = ThreadPoolExecutor(threads, thread_name_prefix="lepton") if threads > 1 else None
        with one_thread(), pool or nullcontext():
            slot: int | None = 0
            while slot is not None:
                _run_stage(context, ledger, job_id, slot, pool, on_progress)
                slot = _merge(context, ledger, job_id, slot, files or {}, overwrite)
    except BaseException as error:
        reason = str(error) if isinstance(error, LeptonError) else f"{type(error).__name__}: {error}"
        ledger.fail(job_id, reason)
        steps.discard(context)
        raise


def _run_stage(
    context: steps.Context,
    ledger: Ledger,
    job_id: str,
    slot: int,
    pool: ThreadPoolExecutor | None,
    on_progress: Callable[[], None] | None,
) -> None:
    index, _ = context.plan.place(slot)
    stage = context.plan.stages[index]
    blocks = len(stage.grid)
    steps.open_outputs(context, slot)  # once, before threads ask for them
    ledger.take(job_id, slot, count=blocks, window=blocks)
    work = partial(_do_batch, context, ledger, job_id, slot, on_progress)
    dealt = batches(stage, context.plan.workers, range(blocks))
    if pool is None:
        for batch in dealt:
            work(batch)
        return
    futures = [pool.submit(work, batch) for batch in dealt]
    try:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        for future in futures:
            future.cancel()
    for future in done:
        future.result()


def _do_batch(
    context: steps.Context,
    ledger: Ledger,
    job_id: str,
    slot: int,
    on_progress: Callable[[], None] | None,
    places: Sequence[Place],
) -> None:
    stage = context.plan.stages[context.plan.place(slot)[0]]
    for box in stage.boxes(places):
        own = [stage.order.place(block) for block in box]
        claim = ledger.claim(job_id, slot, own, owner=OWNER, lease_s=_LEASE_S, max_attempts=1)
        if not claim.granted:
            return  # cancelled
        report = steps.run_blocks(context, slot, box)
        ledger.commit(job_id, slot, own, owner=OWNER, stats=report.stats())
        if on_progress is not None:
            on_progress()


def _merge(
    context: steps.Context, ledger: Ledger, job_id: str, slot: int, files: Mapping[str, int], overwrite: bool
) -> int | None:
    """End a stage; the number under which work goes on, None at the end."""
    fence = ledger.begin_merge(job_id, slot, owner=OWNER, lease_s=_LEASE_S)
    if fence is None:
        return None  # cancelled
    following = context.plan.following(slot, again=steps.merge_stage(context, slot))
    if following is None:
        steps.publish(context, files, overwrite=overwrite)
        result = {"outputs": sorted(files), "seams": seams.measure(context)}
        ledger.commit_merge(job_id, slot, fence=fence, next_blocks=None, result=result)
        return None
    blocks = len(context.plan.stages[context.plan.place(following)[0]].grid)
    ledger.commit_merge(job_id, slot, fence=fence, next_blocks=blocks, next_stage=following)
    return following
