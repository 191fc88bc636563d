"""The course of a job: how many blocks of each stage were left, and how many slots were busy, at up to 600 moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_celery.grid import StageIndex, StageNumber, StageOrdinal
from lepton_celery.jobs.job import Job
from lepton_celery.ledger import JobInfo, JobState
from lepton_celery.ledger.block_record import Lease
from lepton_celery.ledger.history import Stretch
from lepton_celery.views.places import runs_of

MOST_MOMENTS = 600
"""Largest number of moments, however long the job takes."""
_FEWEST_MOMENTS = 60

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StageCourse:
    """The course of a stage, while it was open; of a stage that is repeated, from its first round to its last."""

    stage: StageOrdinal
    first: int
    """The moment with which its values begin, counted from 0."""
    left: tuple[int, ...]
    """Number of blocks that are not done at each moment; of the round, if the stage is repeated."""
    busy: tuple[float, ...]
    """Number of slots that were busy with the stage, on average since the moment before."""


@dataclass(frozen=True, slots=True)
class Course:
    """The course of a job."""

    times: tuple[float, ...]
    """The moments, in seconds since the job began."""
    stages: tuple[StageCourse, ...]
    """The stages that have begun."""


class _Work(NamedTuple):
    """Intervals of work on one stage in one round, in seconds since the job began."""

    began: Floats
    ended: Floats
    blocks: Floats


def course(job: Job) -> Course:
    """The course of a job.

    Raises:
        BrokerUnreachable: the ledger does not answer.
    """
    info, plan, history = job.info(), job.manifest().plan, job.history()
    leases = list(job.open_blocks().leases.values()) if info.state.is_open else []
    known = [stretch.ended for stretch in history]
    length_s = max(1e-3, (info.finished_at or max([*known, info.updated_at])) - info.created_at)
    moments = min(MOST_MOMENTS, max(_FEWEST_MOMENTS, 2 * len(history)))
    times = np.linspace(0.0, length_s, moments)
    runs: dict[StageIndex, list[StageNumber]] = {}
    for number in sorted(info.stage_times):
        runs.setdefault(plan.stage_run(number).stage, []).append(number)
    work = _by_number(history, info.created_at)
    stages = [
        found
        for stage, numbers in sorted(runs.items())
        if (found := _stage(stage, numbers, len(plan.stages[stage].grid), _Known(info, times, work, leases)))
    ]
    return Course(tuple(np.round(times, 3).tolist()), tuple(stages))


def _by_number(history: Sequence[Stretch], since: float) -> dict[StageNumber, _Work]:
    """The work on each stage and round. A slot does one thing at a time, whatever a busy server's clock makes of it."""
    found: dict[StageNumber, list[tuple[float, float, int]]] = {}
    free: dict[str, float] = {}
    for one in sorted(history, key=lambda stretch: stretch.began):
        if one.ended >= one.began:
            began = max(one.began, free.get(one.slot, 0.0))
            ended = free[one.slot] = max(
                one.ended, began + 5e-4
            )  # times have milliseconds; work takes longer than none
            found.setdefault(one.stage, []).append((began - since, ended - since, sum(map(len, runs_of(one.places)))))
    return {number: _Work(*np.array(rows, np.float64).T) for number, rows in found.items()}


class _Known(NamedTuple):
    """What is known of a job."""

    info: JobInfo
    times: Floats
    work: dict[StageNumber, _Work]
    leases: list[Lease]


def _stage(stage: StageIndex, numbers: Sequence[StageNumber], blocks: int, known: _Known) -> StageCourse | None:
    """The course of a stage, whose rounds have these numbers; None if none has begun."""
    times = known.times
    windows = [(number, window) for number in numbers if (window := _window(number, known)) is not None]
    if not windows:
        return None
    first, last = windows[0][1].start, max(window.stop for _, window in windows)
    left, busy = np.full(len(times), blocks, np.float64), np.zeros(len(times))
    for number, window in windows:
        done, worked = _progress(number, known)
        left[window] = np.clip(blocks - done[window], 0, blocks)
        busy[1:] += np.diff(worked) / np.diff(times)
        if number != known.info.stage or known.info.state is JobState.DONE:
            left[window.stop - 1] = 0  # filled blocks are in no history
        else:
            left[window.stop - 1] = known.info.blocks_total - known.info.blocks_done
    shown = slice(first, last)
    counts, slots = np.rint(left[shown]).astype(int).tolist(), busy[shown].round(2).tolist()
    return StageCourse(StageOrdinal(stage + 1), first, tuple(counts), tuple(slots))


def _window(number: StageNumber, known: _Known) -> slice | None:
    """The moments from the last one before a stage began to the first one after it ended."""
    moments, times = known.info.stage_times[number], known.times
    if moments.began is None:
        return None
    began = moments.began - known.info.created_at
    ended = times[-1] if moments.ended is None else moments.ended - known.info.created_at
    first = max(0, int(np.searchsorted(times, began, "right")) - 1)
    last = min(len(times) - 1, int(np.searchsorted(times, ended, "left")))
    return slice(first, max(first, last) + 1)


def _progress(number: StageNumber, known: _Known) -> tuple[Floats, Floats]:
    """Until each moment, the number of blocks that were done, and the seconds that slots have worked."""
    none = np.zeros(0)
    work = known.work.get(number, _Work(none, none, none))
    since = {lease.owner: lease.since - known.info.created_at for lease in known.leases}
    held = np.array([at for at in since.values() if at < known.times[-1]] if number == known.info.stage else [])
    began, ended = np.append(work.began, held), np.append(work.ended, np.full(len(held), known.times[-1]))
    return _until(known.times, work.began, work.ended, work.blocks), _until(known.times, began, ended, ended - began)


def _until(times: Floats, began: Floats, ended: Floats, amounts: Floats) -> Floats:
    """How much of amounts, each spread evenly over an interval, there is until each moment."""
    if not len(began):
        return np.zeros(len(times))
    rates = amounts / (ended - began)
    at, changes = np.append(began, ended), np.append(rates, -rates)
    order = np.argsort(at, kind="stable")
    at, rate = at[order], np.cumsum(changes[order])
    found: Floats = np.interp(times, at, np.append(0.0, np.cumsum(rate[:-1] * np.diff(at))))
    return found
