"""What shows text from outside: commands, notebooks, Flower's pages, workers' logs and errors."""

from __future__ import annotations

import logging
import runpy
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rich.console import Console

from lepton_celery import graph
from lepton_celery.cli import exits
from lepton_celery.cli.console import output, say
from lepton_celery.cli.documents import job_entry
from lepton_celery.cli.jobs import as_table
from lepton_celery.engines.celery.worker import log_lines
from lepton_celery.errors import InputError, JobError, reason_of
from lepton_celery.ledger.damage import damaged, info_of_damaged
from lepton_celery.ledger.info import JobInfo
from lepton_celery.views.listing import row_of

HOSTILE = [
    "[red]x[/blue]",
    "[/]",
    "a\nb  done  forged",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.elif",
    "half \ud800",
    "\x00\t\r",
    "x" * 100_000,
    "<script>alert(1)</script>",
    "redis://:s3#cret@host/0",
]


def info(**changes: Any) -> JobInfo:
    plain = {
        "job_id": "abc",
        "state": "running",
        "lane": "default",
        "title": "",
        "stage": 0,
        "stages": 1,
        "blocks_done": 0,
    }
    times = {"blocks_total": 4, "dispatched": 4, "created_at": 1e9, "updated_at": 1e9}
    return msgspec.convert(plain | times | changes, JobInfo)


def is_plain(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n")) and "s3" not in text and text.encode() is not None


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_table_of_jobs_has_a_line_for_each_job(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(highlight=False, markup=False, width=150)
    console.print(
        as_table([row_of(info(title=text, job_id="a" + text[:9], lane=text[:9])), row_of(info(title="other"))])
    )
    printed = capsys.readouterr().out
    assert is_plain(printed)
    assert len(printed.splitlines()) == 3
    assert "[/]" not in text or "[/]" in printed


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_errors_and_warnings_of_commands_are_plain(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(exits.Failure) as caught, exits.errors_as_messages(show_traceback=False):
        warnings.simplefilter("always")
        warnings.warn(text, UserWarning, stacklevel=1)
        raise InputError(f"the title {text} is wrong")
    say(text)
    printed = capsys.readouterr()
    assert is_plain(caught.value.message) and is_plain(printed.err) and is_plain(printed.out)
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_the_reason_of_an_error_has_an_encoding_and_a_length(text: str) -> None:
    error = ValueError(text)
    error.add_note(text)
    reason = reason_of(error)
    assert is_plain(reason) and "\n" not in reason
    assert reason.startswith("ValueError: ") and len(reason) < 5000


def test_a_notebook_shows_names_of_a_stored_graph_as_text() -> None:
    node: Any = graph.Image.__new__(graph.Image)
    node.operation, node.arguments = "<script>\u202e", {"properties": ["<b>"]}
    node.shape, node.dtype, node.array, node.gives = (4, 4), "uint8", None, "table"
    page = node._repr_html_()
    assert "<script>" not in page and "\u202e" not in page and "<b>\u202e" not in page
    assert "&lt;script&gt;" in page and "&lt;b&gt;" in page


def test_flowers_pages_show_messages_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    import flower.options  # noqa: F401  # defines the options that the configuration asks for

    monkeypatch.setenv("LEPTON_SETTINGS", "test")
    format_task = runpy.run_path(str(Path(__file__).parents[2] / "settings" / "flower.py"))["format_task"]
    for text in HOSTILE:
        task = format_task(SimpleNamespace(args=text, kwargs="{}", result="None", exception=text, traceback=text))
        assert is_plain(task.args) and is_plain(task.exception) and is_plain(task.traceback)
        assert task.kwargs == task.result == ""


def test_a_workers_log_shows_what_other_libraries_log_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler()
    celery = logging.getLogger("celery")
    celery.addHandler(handler)
    try:
        log_lines.install()
        for text in HOSTILE:
            logging.getLogger("celery.worker.strategy").error(
                "Task %(name)s[%(id)s] received", {"name": "x", "id": text}
            )
            logging.getLogger("celery.worker").error("unknown %r", KeyError(text))
    finally:
        celery.removeHandler(handler)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 * len(HOSTILE)
    assert all(is_plain(line) and line.startswith(("Task x[", "unknown KeyError(")) for line in lines)


def test_a_damaged_job_makes_no_wide_row() -> None:
    reason = str(damaged("x" * 40, "a reason that nobody can read " * 500))
    jobs = [row_of(info_of_damaged(JobError(reason, "x" * 40), 1e9)), row_of(info(title="other"))]
    console = output()  # not a terminal: rows have all the width that they want
    with console.capture() as printed:
        console.print(as_table(jobs))
    lines = printed.get().splitlines()
    assert len(lines) == 3
    assert max(len(line.rstrip()) for line in lines) < 400
    assert "is damaged (a reason" in lines[1]
    assert job_entry(jobs[0])["error"] == reason
