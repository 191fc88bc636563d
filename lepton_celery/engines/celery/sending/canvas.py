"""Split → process → merge as Celery canvas: chords of batches, in waves that overlap.

    wave 0   process_batch × n ─┐
    wave 1   process_batch × n ─┤ close_wave: send the next wave
    …                          ─┘

The batch that brings the last receipt of a stage merges it at once; a wave's end looks whether one was left undone. A stage
that is one wave needs no such end, and goes as a group.

Tasks are named, not imported: whoever submits needs none of the workers' code. A message carries the job's id and block
numbers, its size does not depend on the job's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from celery import Celery, chord, group
from celery.canvas import Signature
from kombu.exceptions import KombuError

from lepton_celery.config import LANES, Settings
from lepton_celery.engines.celery.sending.messages import short_id
from lepton_celery.engines.celery.sending.publisher import publisher_of
from lepton_celery.engines.celery.sending.queues import queue_of
from lepton_celery.errors import BrokerUnreachable
from lepton_celery.grid import Place, StageIndex, StageNumber
from lepton_celery.ledger.base import Ledger
from lepton_celery.ledger.info import JobInfo
from lepton_celery.planning.ahead import can_run_ahead
from lepton_celery.planning.batches import batches, format_places, places_between
from lepton_celery.planning.plan import Plan

PROCESS = "lepton.process"
CLOSE = "lepton.close"
TIDY = "lepton.tidy"

_AHEAD_PER_WORKER = 2
"""Batches of the next stage that are sent behind a stage's own, for each worker."""
_WINDOW_PER_WORKER = 4
"""Batches of a job in the broker for each worker process that its plan was made for."""


def process_signature(app: Celery, info: JobInfo, blocks: Sequence[Place]) -> Signature:
    """One batch."""
    text = format_places(blocks)
    return _signature(app, PROCESS, info, (info.job_id, info.stage, text), f"blocks {_short(text)}")


def _short(text: str) -> str:
    return text if len(text) <= 24 else text[:20] + " ..."


def close_signature(app: Celery, info: JobInfo) -> Signature:
    """The end of a wave, or a look whether a stage can be merged."""
    return _signature(app, CLOSE, info, (info.job_id, info.stage), "close wave")


def _signature(app: Celery, task: str, info: JobInfo, args: tuple[Any, ...], what: str) -> Signature:
    """A task on the job's lane; Flower shows the text instead of the arguments."""
    options = {
        "queue": queue_of(info.lane),
        "task_id": short_id(),
        "ignore_result": True,
        "argsrepr": f"job {info.job_id} stage {info.stage_label} {what}",
        "kwargsrepr": "",
    }
    return app.signature(task, args=args, immutable=True, app=app, options=options)


def send_wave(app: Celery, info: JobInfo, batches: Sequence[Sequence[Place]], *, closed: bool = True) -> None:
    """Publish batches as one chord, or as a group if no `close_wave` is to follow; a batch alone, which ends its stage by
    itself, as a task."""
    publisher = publisher_of(app)
    header = [process_signature(publisher, info, batch) for batch in batches]
    with _publishing():
        if len(header) == 1:
            header[0].apply_async()
        elif closed:
            # the id becomes that of the chord's group, which every message carries
            chord(header, close_signature(publisher, info), app=publisher, task_id=short_id()).apply_async()
        elif header:
            group(header, app=publisher).apply_async()


def send_merge(app: Celery, info: JobInfo) -> None:
    """Ask for a look whether the stage can be merged."""
    with _publishing():
        close_signature(publisher_of(app), info).apply_async()


def send_tidy(app: Celery, job_id: str) -> None:
    """Have what a job has left removed, by a worker that has nothing more urgent to do."""
    options = {"queue": queue_of(LANES[-1]), "ignore_result": True, "argsrepr": f"job {job_id}", "kwargsrepr": ""}
    publisher = publisher_of(app)
    with _publishing():
        publisher.signature(TIDY, args=(job_id,), immutable=True, app=publisher, options=options).apply_async()


@contextmanager
def _publishing() -> Iterator[None]:
    """What a broker that is away raises, in this package's words."""
    try:
        yield
    except KombuError as error:
        raise BrokerUnreachable(
            f"the broker does not answer: {error}; start it, or correct LEPTON_BROKER_URL (`lepton up` starts one here)"
        ) from error


def fill_window(
    app: Celery, ledger: Ledger, settings: Settings, info: JobInfo, plan: Plan, *, keep: bool = False
) -> list[Place]:
    """Send waves of a job's stage until its window is full or all of it is sent.

    Returns:
        The first batch, where the caller keeps it to do it itself; it is not sent.
    """
    stage = plan.stages[info.stage_index]
    # all workers have work, and the next wave is sent while they are at it
    window = max(settings.window_batches, _WINDOW_PER_WORKER * plan.workers)
    kept: list[Place] = []
    while True:
        start, stop = ledger.dispatch(
            info.job_id,
            info.stage,
            count=stage.blocks_in(max(settings.wave_batches, window // 3)),
            window=stage.blocks_in(window),
        )
        if stop == start:
            return kept
        wave = batches(stage, plan.workers, places_between(start, stop))
        is_last = stop == len(stage.grid)
        if keep and not kept and (is_last or len(wave) > 1):  # else nobody would send the next wave
            kept = wave.pop(0)
        send_wave(app, info, wave, closed=start > 0 or not is_last)
        if is_last:
            _send_ahead(app, info, plan)
            return kept


def _send_ahead(app: Celery, info: JobInfo, plan: Plan) -> None:
    """Behind a stage's last batches, the first ones of the next, where that is no barrier: for workers that find nothing
    left to do in this one. Those that come too early are dropped, and sent again with their stage."""
    following = info.stage + 1
    if following >= len(plan.stages) or not can_run_ahead(plan, StageIndex(following)):
        return
    stage = plan.stages[following]
    some = places_between(0, min(len(stage.grid), stage.blocks_in(_AHEAD_PER_WORKER * plan.workers)))
    publisher, its_info = publisher_of(app), replace(info, stage=StageNumber(following))
    with _publishing():
        group(
            [process_signature(publisher, its_info, batch) for batch in batches(stage, plan.workers, some)],
            app=publisher,
        ).apply_async()
