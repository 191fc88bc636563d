"""The course of a job follows from its history, at no more than 600 moments."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from lepton_celery.grid import BlockGrid, Place, StageNumber
from lepton_celery.ledger import JobState
from lepton_celery.ledger.block_record import Lease, OpenBlocks
from lepton_celery.ledger.history import Stretch
from lepton_celery.ledger.info import JobInfo, StageTimes
from lepton_celery.planning.plan import StageRun
from lepton_celery.views.course import MOST_MOMENTS, Course, course

SINCE = 1e9
FIRST, SECOND = StageNumber(0), StageNumber(1)


def stretch(number: int, began: float, ended: float, places: str, slot: str = "w/1") -> Stretch:
    return Stretch(StageNumber(number), SINCE + began, SINCE + ended, 0.0, 0.0, 0.0, 0, 0, slot, places)


class Plan:
    def __init__(self, *blocks: int) -> None:
        self.stages = [type("Stage", (), {"grid": BlockGrid((count,), (1,))}) for count in blocks]

    def stage_run(self, number: StageNumber) -> StageRun:
        round, stage = divmod(number, len(self.stages))
        return StageRun(stage, round)  # type: ignore[arg-type]


class SomeJob:
    """What `course` reads of a job."""

    def __init__(self, info: JobInfo, plan: Plan, history: list[Stretch], leases: dict[Place, Lease]) -> None:
        self.info, self.history = lambda: info, lambda: history
        self.manifest = lambda: type("Manifest", (), {"plan": plan})
        self.open_blocks = lambda: OpenBlocks(b"", leases, {}, {})


def course_of(
    history: list[Stretch], blocks: tuple[int, ...], times: dict[int, tuple[float, float | None]], **known: Any
) -> Course:
    last = StageNumber(max(times))
    leases = known.pop("leases", {})
    given: dict[str, Any] = {"blocks_done": blocks[last % len(blocks)], "blocks_total": blocks[last % len(blocks)]}
    given |= {"state": JobState.DONE, "finished_at": SINCE + (times[last][1] or 0.0)} | known
    info = JobInfo(
        "j", lane="default", title="", stage=last, stages=len(blocks), dispatched=0, created_at=SINCE,
        updated_at=SINCE + known.get("updated_at", 0.0) if "updated_at" in known else SINCE,
        stage_times={
            StageNumber(n): StageTimes(SINCE + began, None, None if ended is None else SINCE + ended)
            for n, (began, ended) in times.items()
        },
        **{name: value for name, value in given.items() if name != "updated_at"},
    )  # fmt: skip
    return course(SomeJob(info, Plan(*blocks), history, leases))  # type: ignore[arg-type]


def at(found: Course, stage: int, seconds: float) -> tuple[int, float]:
    """Blocks left and busy slots of a stage."""
    shown = found.stages[stage]
    index = int(np.searchsorted(found.times, seconds)) - shown.first
    return shown.left[index], shown.busy[index]


def test_blocks_and_slots_of_two_stages() -> None:
    history = [
        stretch(0, 0, 4, "0-3", "w/1"),
        stretch(0, 2, 4, "4-7", "w/2"),
        stretch(0, 4, 5, "", "w/1"),  # a merge
        stretch(1, 6, 10, "0-1", "w/1"),
    ]
    found = course_of(history, (8, 2), {0: (0, 5), 1: (5, 10)})
    assert found.times[0] == 0 and found.times[-1] == pytest.approx(10)
    assert at(found, 0, 1.8) == (6, 1)
    assert at(found, 0, 3) == (3, 2)
    assert at(found, 0, 4.5) == (0, 1)
    assert at(found, 1, 5.6) == (2, 0)
    assert at(found, 1, 10) == (0, 1)
    first, second = found.stages
    assert first.first == 0 and found.times[second.first] == pytest.approx(5, abs=0.2)
    assert (first.left[0], first.left[-1], second.left[-1]) == (8, 0, 0)
    for stage in found.stages:
        assert len(stage.left) == len(stage.busy) and list(stage.left) == sorted(stage.left, reverse=True)


def test_a_slot_is_busy_with_one_thing_at_a_time() -> None:
    history = [stretch(0, 0, 4, "0-3"), stretch(0, 2, 5, ""), stretch(0, 1, 2, "4-5"), stretch(0, 3, 6, "6-7", "w/2")]
    [found] = course_of(history, (8,), {0: (0, 6)}).stages
    assert max(found.busy) == pytest.approx(2, abs=0.05)
    assert sum(found.busy) / len(found.busy) == pytest.approx(8 / 6, abs=0.05)
    assert found.left[-1] == 0


def test_filled_blocks_and_what_is_worked_on_now_count() -> None:
    history = [stretch(0, 0, 2, "0-1")]
    leases = {Place(3): Lease(SINCE + 2, SINCE + 9, "owner"), Place(4): Lease(SINCE + 2, SINCE + 9, "owner")}
    now = {"state": JobState.RUNNING, "blocks_done": 3, "finished_at": None, "updated_at": 4.0, "leases": leases}
    found = course_of(history, (8,), {0: (0, None)}, **now)
    assert found.times[-1] == pytest.approx(4)
    assert found.stages[0].left[-1] == 5  # one was filled
    assert at(found, 0, 3.5)[1] == pytest.approx(1)


def test_rounds_of_a_stage_are_one_course() -> None:
    history = [stretch(0, 0, 1, "0-3"), stretch(1, 1, 2, "0-3"), stretch(2, 2, 3, "0-3")]
    found = course_of(history, (4,), {0: (0, 1), 1: (1, 2), 2: (2, 3)})
    [only] = found.stages
    assert at(found, 0, 1.5)[0] == at(found, 0, 2.5)[0] == 2
    assert (only.left[0], only.left[-1]) == (4, 0)


def test_a_long_history_has_no_more_moments_and_takes_little_time() -> None:
    generator = np.random.default_rng(0)
    begins = np.sort(generator.uniform(0, 3600, 50_000))
    history = [stretch(0, b, b + 1, f"{n}", f"w/{n % 20}") for n, b in enumerate(begins.tolist())]
    began = time.process_time()
    found = course_of(history, (50_000,), {0: (0, 3601)})
    assert time.process_time() - began < 2
    assert len(found.times) == MOST_MOMENTS == len(found.stages[0].left)
    assert sum(found.stages[0].busy) / len(found.times) == pytest.approx(50_000 / 3601, rel=0.02)


def test_damaged_entries_and_empty_histories_are_no_trouble() -> None:
    history = [stretch(0, 5, 1, "0"), stretch(7, 1, 2, "0"), stretch(0, -50, -40, "x"), stretch(0, 1, 1, "0-9999")]
    found = course_of(history, (4,), {0: (0, 2)})
    assert all(0 <= left <= 4 for left in found.stages[0].left)
    assert course_of([], (4,), {0: (0, 2)}).stages[0].busy[0] == 0
