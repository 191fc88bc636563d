"""The end of a stage: its merge, under a fence, then the opening of the next stage or the publication of the outputs."""

from __future__ import annotations

import time

from lepton_celery.engines.celery.sending import canvas
from lepton_celery.engines.celery.sending.notices import try_to_send_notice
from lepton_celery.engines.celery.worker.stage import OpenStage, traced
from lepton_celery.execution import seams
from lepton_celery.execution.library_warnings import kept_warnings
from lepton_celery.execution.merge import merge_stage, missing_blocks
from lepton_celery.execution.publishing import publish
from lepton_celery.grid import StageNumber
from lepton_celery.ledger import FollowingStage, JobInfo
from lepton_celery.ledger.history import Work
from lepton_celery.planning.batches import batches
from lepton_celery.planning.cost.keep import learn
from lepton_celery.text import logger
from lepton_celery.tracing.work import MERGE, PUBLISH, nested

log = logger(__name__)


def merge(stage: OpenStage, info: JobInfo, fence: int) -> StageNumber | None:
    """Merge a stage, and open the next one or finish the job.

    Returns:
        The number of the next stage if this call opened it.
    """
    with traced(stage, MERGE) as span:
        span.note(attempt=info.merge_attempts, retries=stage.retries)
        return _merge(stage, info, fence)


def _merge(stage: OpenStage, info: JobInfo, fence: int) -> StageNumber | None:
    began = time.perf_counter()
    stage.manifest.check_inputs(stage.settings.roots)
    if _reopens_missing(stage, info, fence):
        return None
    plan, ledger, job_id, number = stage.plan, stage.ledger, stage.job_id, stage.number
    next_number = plan.following(number, again=merge_stage(stage.context, number))
    if next_number is None:
        _finish(stage, fence, began)
        return None
    following = FollowingStage(next_number, len(plan.stage_of(next_number).grid))
    stage.manifest.journal(stage.settings.roots).log_stage(next_number)
    committed = ledger.commit_merge(job_id, number, fence=fence, following=following, work=_work(stage, began))
    return next_number if committed else None


def _work(stage: OpenStage, began: float) -> Work:
    """A merge that began at a time of `time.perf_counter`, for the job's history."""
    return Work(stage.slot, "", time.perf_counter() - began)


def _reopens_missing(stage: OpenStage, info: JobInfo, fence: int) -> bool:
    """Reopen and send the blocks that have a receipt but no partial; whether there are any."""
    missing = missing_blocks(stage.context, stage.number)
    if not missing:
        return False
    log.warning(
        "job %s: %d blocks of stage %s left no partial; sent again", stage.job_id, len(missing), info.stage_label
    )
    places = sorted(map(stage.planned.tiling.place, missing))
    if stage.ledger.reopen(stage.job_id, stage.number, places, fence=fence):
        canvas.send_wave(stage.app, info, batches(stage.planned, stage.plan.workers, places))
    return True


def _finish(stage: OpenStage, fence: int, began: float) -> None:
    """Publish the outputs and end the job."""
    manifest, ledger = stage.manifest, stage.ledger
    if not ledger.begin_publish(stage.job_id, stage.number, fence=fence):
        return  # cancelled or paused, or another merge took over and publishes
    with nested(stage.settings, PUBLISH):
        dtypes = publish(stage.context, overwrite=manifest.options.overwrite)
    result = {"seams": seams.measure(stage.context), "dtypes": dtypes, "warnings": kept_warnings(stage.context)}
    work = _work(stage, began)
    if ledger.commit_merge(stage.job_id, stage.number, fence=fence, following=None, result=result, work=work):
        if manifest.options.on_done is not None:
            try_to_send_notice(stage.app, ledger, stage.settings, stage.job_id)
        learn(ledger, stage.settings.cost_profile, stage.plan, stage.job_id)  # after the commit: nobody waits for it
