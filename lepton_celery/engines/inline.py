"""Runs a plan in this process, on threads: the same steps and the same ledger calls, without a broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial

from threadpoolctl import threadpool_limits

from lepton_celery import steps
from lepton_celery.errors import LeptonError
from lepton_celery.ledger.base import Ledger

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
        with threadpool_limits(1), ThreadPoolExecutor(max_workers=max(1, threads), thread_name_prefix="lepton") as pool:
            for stage in range(len(context.plan.stages)):
                _run_stage(context, ledger, job_id, stage, pool, on_progress)
                _merge(context, ledger, job_id, stage, files or {}, overwrite)
    except BaseException as error:
        reason = str(error) if isinstance(error, LeptonError) else f"{type(error).__name__}: {error}"
        ledger.fail(job_id, reason)
        steps.discard(context)
        raise


def _run_stage(
    context: steps.Context,
    ledger: Ledger,
    job_id: str,
    stage: int,
    pool: ThreadPoolExecutor,
    on_progress: Callable[[], None] | None,
) -> None:
    blocks = len(context.plan.stages[stage].grid)
    for index in context.plan.stages[stage].stores:
        context.outputs(index, stage)  # opened once, before threads ask for them
    ledger.take(job_id, stage, count=blocks, window=blocks)
    work = partial(_do_block, context, ledger, job_id, stage, on_progress)
    futures = [pool.submit(work, block) for block in range(blocks)]
    try:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        for future in futures:
            future.cancel()
    for future in done:
        future.result()


def _do_block(
    context: steps.Context, ledger: Ledger, job_id: str, stage: int, on_progress: Callable[[], None] | None, block: int
) -> None:
    claim = ledger.claim(job_id, stage, [block], owner=OWNER, lease_s=_LEASE_S, max_attempts=1)
    if not claim.granted:
        return  # cancelled
    report = steps.run_block(context, stage, block)
    ledger.commit(job_id, stage, [block], owner=OWNER, stats=report.stats())
    if on_progress is not None:
        on_progress()


def _merge(
    context: steps.Context, ledger: Ledger, job_id: str, stage: int, files: Mapping[str, int], overwrite: bool
) -> None:
    fence = ledger.begin_merge(job_id, stage, owner=OWNER, lease_s=_LEASE_S)
    if fence is None:
        return  # cancelled
    steps.merge_stage(context, stage)
    following = stage + 1
    if following < len(context.plan.stages):
        ledger.commit_merge(job_id, stage, fence=fence, next_blocks=len(context.plan.stages[following].grid))
        return
    steps.publish(context, files, overwrite=overwrite)
    ledger.commit_merge(job_id, stage, fence=fence, next_blocks=None, result={"outputs": sorted(files)})
