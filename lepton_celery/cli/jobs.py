"""`lepton jobs`: lists jobs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.table import Table
from rich.text import Text

from lepton_celery.cli.console import json_option, output, print_json, table
from lepton_celery.cli.documents import job_entry
from lepton_celery.cli.watching import redrawn
from lepton_celery.cli.where import need_settings
from lepton_celery.jobs.find import list_jobs
from lepton_celery.jobs.report import ago, took_s
from lepton_celery.ledger.info import JobInfo, JobState
from lepton_celery.limits import MAX_ID_CHARS
from lepton_celery.planning.explain import duration
from lepton_celery.priority import LANES
from lepton_celery.text import shown

COLOURS = {
    JobState.DONE: "green",
    JobState.FAILED: "red",
    JobState.DAMAGED: "red",
    JobState.CANCELLED: "yellow",
    JobState.PAUSED: "yellow",
    JobState.RUNNING: "cyan",
}

_HEADINGS = ("job", "state", "stage", "blocks", "age", "took", "lane", "started", "title")

_WIDE = 110
"""Terminals of this width have room for the columns `lane` and `started`."""

_REASON_CHARS = 140
"""Longest reason of a damaged job in the list; `--json` and `lepton status` have the whole one."""

_LISTED = 10_000
"""Number of the newest jobs among which those in a state are found."""


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, help="Largest number of jobs to list.")
@click.option(
    "--state",
    "states",
    type=click.Choice([str(state) for state in JobState]),
    multiple=True,
    help="List only these jobs; may be repeated.",
)
@click.option("--lane", type=click.Choice(LANES), help="List only the jobs of this lane.")
@click.option("--tenant", metavar="NAME", help="List only the jobs of this tenant; '' for those of none.")
@click.option("--watch", is_flag=True, help="Show the list again whenever it changes, until Ctrl-C.")
@json_option
def jobs(limit: int, states: tuple[str, ...], lane: str | None, tenant: str | None, watch: bool, as_json: bool) -> None:
    """List the newest jobs.

    With --json and --watch, each change is a line of JSON.
    """
    settings = need_settings()

    def chosen() -> list[JobInfo]:
        is_narrowed = bool(states or lane) or tenant is not None
        infos = list_jobs(limit=_LISTED if is_narrowed else limit, settings=settings)
        return [
            info
            for info in infos
            if (not states or info.state in states) and lane in (None, info.lane) and tenant in (None, info.tenant)
        ][:limit]

    if watch:
        redrawn(
            chosen,
            show=as_table,
            document=(lambda infos: [job_entry(info) for info in infos]) if as_json else None,
        )
        return
    infos = chosen()
    if as_json:
        print_json([job_entry(info) for info in infos])
    else:
        output().print(as_table(infos))


def as_table(infos: Sequence[JobInfo]) -> Table | str:
    if not infos:
        return "no jobs yet; submit one with lepton run"
    width = output().width
    shown = [name for name in _HEADINGS if width >= _WIDE or name not in ("lane", "started")]
    rows = [dict(zip(_HEADINGS, _row(info), strict=True)) for info in infos]
    return table(shown, [[row[name] for name in shown] for row in rows], width)


def _row(info: JobInfo) -> tuple[str | Text, ...]:
    filled = f", {info.filled} filled" if info.filled else ""
    return (
        shown(info.job_id, MAX_ID_CHARS),  # only somebody else writes longer ones
        Text(f"{info.state}{filled}", COLOURS[info.state]),
        info.stage_label,
        f"{info.blocks_done}/{info.blocks_total}",
        ago(time.time() - info.created_at),
        duration(took_s(info)),
        info.priority + (f" {info.tenant}" if info.tenant else ""),
        datetime.fromtimestamp(info.created_at, UTC).astimezone().strftime("%d %b %H:%M:%S"),
        info.title if info.state is not JobState.DAMAGED else shown(info.error, _REASON_CHARS),
    )
