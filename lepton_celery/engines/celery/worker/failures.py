"""Handles blocks that fail: they are retried in messages of their own, or filled, or the job ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from traceback import format_exception
from typing import Any

from celery import Celery

from lepton_celery import errors
from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.engines.celery.sending.notices import try_to_send_notice
from lepton_celery.engines.celery.worker.stage import OpenStage, describe
from lepton_celery.execution.block import fill_block
from lepton_celery.execution.manifest import Manifest
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.info import NO_PLACE, Filling, Losses
from lepton_celery.log_fields import about
from lepton_celery.planning.batches import format_places
from lepton_celery.text import logger, shown_lines
from lepton_celery.tracing.ended import export_ended

log = logger(__name__)

PASSING = (errors.StoreError, errors.BrokerUnreachable)
"""Errors that may be temporary: the whole batch is retried."""

FINAL = (errors.StoreNotFound, errors.OutputExists)
"""Errors of stores that are not temporary, a missing input and an existing output: the job ends."""

CERTAIN = (errors.InputError, errors.JobError)
"""Errors that a retry would only repeat: the block is given up at once."""

_TRACEBACK_CHARS = 4000
"""Longest traceback that is kept; the middle of a longer one is left out."""

MAX_PIECES = 256
"""Largest number of pieces into which a block is cut that does not fit into memory."""


def fail_job(
    app: Celery[Any],
    ledger: Ledger,
    job_id: str,
    number: StageNumber,
    reason: str,
    *,
    where: str = "",
    place: Place = NO_PLACE,
) -> None:
    """End a job as failed, unless it has left the stage: then other workers have done the work that failed here.

    The job's notice is sent. Nothing is published. The job's files stay until it is resumed, forgotten or too old. `place`
    is the block that failed, and `where` describes it; without one, the reason names the stage.
    """
    try:
        info = ledger.info(job_id)
    except errors.JobNotFound:
        return
    except errors.JobError as error:  # another release wrote it, and its workers may do the job
        log.error("job %s is left alone: %s", job_id, error)
        return
    if info.stage != number or not info.state.is_open:
        return
    if ledger.fail(job_id, f"{where or f'stage {info.stage_label}'}: {reason}", number=number, place=place):
        settings: Settings = app.conf["lepton"]
        export_ended(settings, ledger, job_id)
        try_to_send_notice(app, ledger, settings, job_id)


def note_traceback(stage: OpenStage, place: Place, error: Exception) -> None:
    """Keep where an error was raised, unless this package raised it and its message says all."""
    if not isinstance(error, errors.LeptonError):
        text = shown_lines("".join(format_exception(error)), _TRACEBACK_CHARS)
        stage.ledger.note_traceback(stage.job_id, stage.number, place, text)


def fail_block(stage: OpenStage, place: Place, reason: str) -> None:
    """End a job because of one block."""
    fail_job(stage.app, stage.ledger, stage.job_id, stage.number, reason, where=stage.describe(place), place=place)


def retry_alone(stage: OpenStage, places: Iterable[Place]) -> None:
    """Send blocks again, each in a message of its own."""
    if places := sorted(places):
        canvas.send_alone(stage.app, stage.ledger.info(stage.job_id), places)


def stop_hopeless(app: Celery[Any], ledger: Ledger, job_id: str, number: StageNumber, losses: Losses) -> bool:
    """End a job if most of its blocks end their worker processes, which also holds up other jobs.

    The blocks that count have ended a process that worked on nothing else, or twice a whole worker, and have no receipt.
    The job ends once they are `max_killers`, and more than half of the finished blocks.

    Returns:
        Whether this ended it.
    """
    settings: Settings = app.conf["lepton"]
    is_hopeless = bool(losses.lost) and losses.killers >= settings.max_killers and 2 * losses.killers > losses.done
    if is_hopeless:
        reason = (
            f"{losses.killers} blocks each ended the worker process that worked on them alone, and only {losses.done} "
            "blocks are done: processes were killed, often for lack of memory, or crashed; see the workers' logs, and "
            "resume the job when the cause is removed"
        )
        log.error("job %s is stopped: %s", job_id, reason)
        fail_job(app, ledger, job_id, number, reason, place=losses.lost[0])
    return is_hopeless


def fail_exhausted(
    app: Celery[Any], ledger: Ledger, manifest: Manifest, number: StageNumber, places: Sequence[Place]
) -> bool:
    """End a job of which a block has no attempts left, unless such blocks are to be filled; whether it was ended.

    This uses no file of the job: its file system may be what does not answer.
    """
    if not places or manifest.options.on_error != "fail":
        return False
    where = describe(manifest.plan, number, places[0])
    reason = _why_lost(ledger, app.conf["lepton"], manifest.job_id, places[0])
    fail_job(app, ledger, manifest.job_id, number, reason, where=where, place=places[0])
    return True


def give_up_exhausted(stage: OpenStage, places: Iterable[Place]) -> None:
    """Give up blocks without attempts left."""
    for place in places:
        give_up(stage, place, _why_lost(stage.ledger, stage.settings, stage.job_id, place))


def _why_lost(ledger: Ledger, settings: Settings, job_id: str, place: Place) -> str:
    """Why a block lost its attempts. A block for which no reason was recorded killed its workers."""
    limit = f", or ran longer than {settings.block_limit_s:g} s" if settings.block_limit_s else ""
    return ledger.reason(job_id, place) or (
        f"it took its worker down {settings.max_attempts} times: the worker was killed, often for lack of memory, or "
        f"crashed{limit}; see its log"
    )


def give_up(stage: OpenStage, place: Place, reason: str) -> None:
    """End the job, or fill the block and go on, as the job's `on_error` says.

    The job also ends if more than half of the stage's finished blocks were filled, and at least `max_filled_blocks`.
    """
    options = stage.manifest.options
    if options.on_error == "fail":
        fail_block(stage, place, reason)
        return
    if not _is_missing(
        stage, place
    ):  # others have done it: this process was slow, and must store nothing over their pixels
        return
    try:
        fill_block(stage.context, stage.number, stage.planned.tiling.block(place), options.fill_value)
    except Exception as error:  # the functions of partials may raise anything on these pixels
        if isinstance(error, PASSING) and not isinstance(error, FINAL):
            raise  # the batch is tried again
        fail_block(stage, place, f"{reason}; and it cannot be filled: {errors.reason_of(error)}")
        return
    with about(blocks=format_places([place])):
        log.warning("job %s: %s is filled: %s", stage.job_id, stage.describe(place), reason)
    match stage.ledger.fill(stage.job_id, stage.number, place, reason=reason):
        case Filling.SPOILT:
            with about(blocks=format_places([place])):
                log.warning("job %s: %s was done meanwhile; sent again", stage.job_id, stage.describe(place))
            retry_alone(stage, [place])
        case Filling.TOO_LATE:
            fail_block(stage, place, "it was done, and then filled by a worker that had been stopped; resume the job")
    filled = sum(block.stage == stage.number for block in stage.ledger.filled_blocks(stage.job_id))
    done = stage.ledger.info(stage.job_id).blocks_done
    if filled >= stage.settings.max_filled_blocks and 2 * filled > done:
        fail_block(stage, place, f"{filled} of the {done} blocks done so far were given up, the last one: {reason}")


def _is_missing(stage: OpenStage, place: Place) -> bool:
    """Whether the job is in this stage, and the block has no receipt."""
    ledger, job_id, number = stage.ledger, stage.job_id, stage.number
    if not ledger.renew(job_id, number, owner=stage.owner, lease_s=stage.settings.lease_s):
        return False
    return not ledger.receipts(job_id, number, [place])
