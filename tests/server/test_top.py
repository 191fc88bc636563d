"""`lepton top`: what its screen shows at several sizes, and what it prints into a pipe."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from click.testing import CliRunner
from rich.console import Console

from lepton_celery.cli import lepton as lepton_command
from lepton_celery.cli.top import Chosen, Seen, _line, screen
from lepton_celery.grid import StageNumber, StageOrdinal
from lepton_celery.ledger import JobState, open_ledger
from lepton_celery.ledger.info import JobInfo, StageTimes
from lepton_celery.views.fleet import CurrentWork, FleetView, LaneView, WorkerView
from lepton_celery.views.listing import JobPage, JobRow, row_of
from tests.server.ledgers import new_job
from tests.server.server import Server


def row(number: int, state: JobState = JobState.RUNNING, title: str = "cells [bold]of[/] slide 3") -> JobRow:
    at = time.time() - 600
    info = JobInfo(
        f"0123456789{number:02}", state, "batch", title, StageNumber(1), 3, 70, 1000, 100, at, at, tenant="laboratory"
    )
    times = {StageNumber(1): StageTimes(began=at)}
    return row_of(replace(info, predicted_s=(1.0, 2.0, 3.0), stage_times=times, rank=5))


def drawn(width: int, height: int | None, jobs: int = 40, workers: int = 30) -> list[str]:
    rows = [row(number) for number in range(jobs)]
    lanes = tuple(LaneView(lane, 7, 12345, 4e4, 12, 3, 99.0, 60.0) for lane in ("interactive", "default", "batch"))
    served = ("interactive", "default", "batch")
    work = (
        CurrentWork("0123456789ab", StageOrdinal(2), 12, 3.4),
        CurrentWork("0123456789ab", StageOrdinal(2), 0, None),
    )
    machines = tuple(
        WorkerView(f"celery@machine-{n:02}", served, 8, 5, "0.0.9", 3 * 10**9, work) for n in range(workers)
    )
    fleet = FleetView(1e9, 240, 150, lanes, machines, (), (), ())
    page = JobPage(tuple(rows), jobs, {"running": jobs, "done": 3}, (), (), {})
    console = Console(width=width, height=height, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(screen(Seen(fleet, page, rows), Chosen(), width, height))
    return capture.get().splitlines()


@pytest.mark.parametrize("size", [(80, 24), (80, 50), (200, 24), (200, 60), (40, 12)])
@pytest.mark.parametrize("counts", [(0, 0), (1, 1), (40, 2), (2, 40), (40, 40)])
def test_the_screen_fits_the_terminal(size: tuple[int, int], counts: tuple[int, int]) -> None:
    lines = drawn(*size, *counts)
    assert len(lines) <= max(size[1], 14)
    if size[0] >= 80:
        assert all(len(line.rstrip()) <= size[0] for line in lines)
        assert "q quit" in lines[-1]
    text = "\n".join(lines)
    assert ("012345678900" in text) == (counts[0] > 0) or size[0] < 80


def test_a_wide_screen_has_more_columns() -> None:
    narrow, wide = "\n".join(drawn(80, 24)), "\n".join(drawn(200, 24))
    for text in (narrow, wide):
        assert "150 of 240 slots busy" in text and "40 running, 3 done" in text
        assert "5 of 8" in text and "[bold]of" in text
    assert "batch:5 laboratory" in wide and "70/1000" in wide and "2/3" in wide and "release 0.0.9" in wide
    assert "laboratory" not in narrow


def test_a_pipe_gets_it_once(server: Server) -> None:
    ledger = open_ledger(server.url)
    new_job(ledger, "topmost")
    try:
        done = CliRunner(env={"LEPTON_BROKER_URL": server.url}).invoke(lepton_command, ["top"])
    finally:
        ledger.cancel("topmost")
        ledger.forget("topmost")
    assert done.exit_code == 0, done.output
    assert done.output.count("topmost") == 1
    assert "interactive" in done.output and "no workers" in done.output and "q quit" not in done.output


def test_a_ledger_that_does_not_answer_is_an_exit_code() -> None:
    done = CliRunner(env={"LEPTON_BROKER_URL": "redis://127.0.0.1:1/0"}).invoke(lepton_command, ["top"])
    assert done.exit_code == 4


def test_a_ledger_that_goes_away_takes_one_line_of_the_screen() -> None:
    text = "as it was at 12:00:00: the ledger at redis://*** does not answer: " + "a reason " * 50
    line = _line(text, 60, "red")
    assert line.cell_len == 60 and line.plain.startswith("as it was at 12:00:00") and line.plain.endswith("…")
