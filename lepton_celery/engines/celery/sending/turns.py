"""The waves of the jobs of a lane, sent in turns: `ledger.turns` says whose turn it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from celery import Celery

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.errors import BrokerUnreachable, LeptonError, reason_of
from lepton_celery.grid import Place
from lepton_celery.ledger import JobInfo, JobState, Ledger
from lepton_celery.ledger.lane_window import SHORTEST_S, UNKNOWN_S, Turn
from lepton_celery.log_fields import about
from lepton_celery.planning.batches import batches, places_between
from lepton_celery.planning.plan import Plan, Stage
from lepton_celery.tenants import OTHERS, Terms, terms_of
from lepton_celery.text import logger, shown

log = logger(__name__)

_MAX_TURNS = 32
"""Largest number of waves that a process sends at a time, so that it returns to its own work."""


@lru_cache(64)
def terms(tenants: tuple[str, ...]) -> dict[str, Terms]:
    """The terms of tenants by name; see `Settings.tenants`."""
    return terms_of(tenants)


def _terms_of(settings: Settings, tenant: str) -> Terms:
    known = terms(settings.tenants)
    return known.get(tenant) or known.get(OTHERS) or Terms()


def weight_of(settings: Settings, tenant: str) -> float:
    """The weight of a tenant."""
    return _terms_of(settings, tenant).weight


def is_limited(settings: Settings, tenant: str) -> bool:
    """Whether a tenant may not occupy all slots."""
    return bool(_terms_of(settings, tenant).slots)


def enter(ledger: Ledger, info: JobInfo, plan: Plan | None = None) -> None:
    """Have a job take part in the turns of its lane, or correct what is known of it there.

    When a stage opens, its plan tells what a block takes, until that is measured.
    """
    block_s = None
    if plan is not None:
        stage = plan.stages[info.stage_index]
        block_s = stage.predicted.work_s / max(1, stage.predicted.blocks)
        # nobody knows what functions of the user's own take, until they are measured
        block_s = max(block_s, SHORTEST_S / stage.batch_blocks, UNKNOWN_S if plan.functions else 0.0)
    ledger.turns.note(info, block_s)


def send_turns(app: Celery, ledger: Ledger, settings: Settings, lane: str, plan_of: Callable[[str], Plan]) -> None:
    """Send the next waves of a lane until its window is full or all is sent.

    Args:
        app, ledger, settings: the application, its ledger and its settings.
        lane: the lane.
        plan_of: gives the plan of a job, or raises an error of this package if this process cannot read it.
    """
    known, slots = terms(settings.tenants), ledger.slots(lane)
    for _ in range(_MAX_TURNS):
        turn = ledger.turns.next(lane, slots, known)
        if turn is None:
            return
        try:
            plan = plan_of(turn.job_id)
            _send_wave(app, ledger, ledger.info(turn.job_id), plan, turn)
        except BrokerUnreachable:
            raise
        except LeptonError as error:  # a job of another release, a damaged or a forgotten one: others go on
            with about(job=turn.job_id):
                log.debug("job %s loses its turn: %s", shown(turn.job_id), reason_of(error))
            ledger.turns.leave(lane, turn.job_id)


def send_first_turns(app: Celery, ledger: Ledger, settings: Settings, info: JobInfo, plan: Plan) -> None:
    """Send the first waves of a job, if it is its turn. Otherwise workers send them as they go on with other jobs.

    Raises:
        BrokerUnreachable: the broker does not answer, whether or not something was to be sent.
    """
    enter(ledger, info, plan)
    known, slots = terms(settings.tenants), ledger.slots(info.lane) or plan.workers
    turn = ledger.turns.next(info.lane, slots, known, only=info.job_id)
    if turn is None and settings.ledger != settings.broker_url:  # else the broker has just answered
        canvas.waiting_messages(app, info.lane)
    while turn is not None and not _send_wave(app, ledger, info, plan, turn):
        info = ledger.info(info.job_id)
        turn = ledger.turns.next(info.lane, slots, known, only=info.job_id)


def _send_wave(app: Celery, ledger: Ledger, info: JobInfo, plan: Plan, turn: Turn) -> bool:
    """Send the wave of a turn: the next blocks of the job's stage, or all of them if the job is small.

    Returns:
        Whether the job has nothing more to send.
    """
    if info.state is not JobState.RUNNING:
        ledger.turns.leave(info.lane, info.job_id)
        return True
    stage = plan.stages[info.stage_index]
    count = len(stage.grid) if plan.is_small else turn.blocks
    if turn.messages:
        likely = places_between(info.dispatched, min(len(stage.grid), info.dispatched + count))
        count = sum(map(len, _wave_of(plan, stage, likely, turn)[: turn.messages]))
    start, stop = ledger.dispatch(info.job_id, info.stage, count=count)
    is_last = stop >= len(stage.grid)
    if stop > start:
        wave = _wave_of(plan, stage, places_between(start, stop), turn)
        canvas.send_wave(app, info, wave, closed=start > 0 or not is_last, urgent=turn.is_first)
    if is_last or stop - start != turn.blocks:
        enter(ledger, replace(info, dispatched=int(stop)))
    return is_last


def _wave_of(plan: Plan, stage: Stage, places: list[Place], turn: Turn) -> list[list[Place]]:
    """The batches of these places."""
    return [places] if plan.is_small else batches(stage, plan.workers, places, largest=turn.batch_blocks)


def reserve(ledger: Ledger, info: JobInfo, plan: Plan) -> list[Place]:
    """Take the first batch of a stage that was just opened, which the caller does without a message.

    Of a small job, that is the whole stage.
    """
    stage = plan.stages[info.stage_index]
    count = len(stage.grid)
    if not plan.is_small:
        count = len(batches(stage, plan.workers, places_between(0, min(count, stage.batch_blocks)))[0])
    start, stop = ledger.dispatch(info.job_id, info.stage, count=count)
    return places_between(start, stop)
