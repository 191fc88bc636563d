"""`lepton jobs`: lists jobs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from lepton_celery.cli.console import json_option, output, print_json, table
from lepton_celery.cli.documents import job_entry
from lepton_celery.cli.watching import redrawn
from lepton_celery.cli.where import need_settings
from lepton_celery.jobs.report import ago
from lepton_celery.ledger import JobState, open_ledger
from lepton_celery.limits import MAX_ID_CHARS
from lepton_celery.planning.explain import duration
from lepton_celery.priority import LANES
from lepton_celery.text import shown
from lepton_celery.views.listing import MOST_LISTED, JobQuery, JobRow, Listing, lasting

COLOURS: Mapping[str, str] = {
    JobState.DONE: "green",
    JobState.FAILED: "red",
    JobState.DAMAGED: "red",
    JobState.CANCELLED: "yellow",
    JobState.PAUSED: "yellow",
    JobState.RUNNING: "cyan",
}

_HEADINGS = ("job", "state", "stage", "blocks", "age", "took", "lane", "owner", "started", "title")

_WIDE = 110
"""Terminals of this width have room for the columns `lane` and `started`."""

_REASON_CHARS = 140
"""Longest reason of a damaged job in the list; `--json` and `lepton status` have the whole one."""


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
@click.option("--owner", metavar="NAME", help="List only the jobs of this owner; '' for those of none.")
@click.option("--watch", is_flag=True, help="Show the list again whenever it changes, until Ctrl-C.")
@json_option
def jobs(limit: int, watch: bool, as_json: bool, **filters: Any) -> None:
    """List the newest jobs.

    With --json and --watch, each change is a line of JSON.
    """
    query = JobQuery(**filters, count=limit)
    is_narrowed = any(value not in (None, ()) for value in filters.values())
    listing = Listing(open_ledger(need_settings().ledger), most=max(limit, MOST_LISTED) if is_narrowed else limit)

    def chosen() -> tuple[JobRow, ...]:
        return listing.page(query).jobs

    if watch:
        redrawn(
            chosen,
            show=as_table,
            document=(lambda rows: [job_entry(row) for row in rows]) if as_json else None,
            key=lambda rows: list(map(lasting, rows)),
        )
        return
    rows = chosen()
    if as_json:
        print_json([job_entry(row) for row in rows])
    else:
        output().print(as_table(rows))


def as_table(jobs: Sequence[JobRow]) -> Table | str:
    """The jobs, a line each."""
    if not jobs:
        return "no jobs yet; submit one with lepton run"
    width = output().width
    hidden = set() if width >= _WIDE else {"lane", "started"}
    hidden |= set() if any(row.owner for row in jobs) else {"owner"}
    shown = [name for name in _HEADINGS if name not in hidden]
    rows = [dict(zip(_HEADINGS, _cells(row), strict=True)) for row in jobs]
    return table(shown, [[row[name] for name in shown] for row in rows], width)


def _cells(row: JobRow) -> tuple[str | Text, ...]:
    filled = f", {row.filled_blocks} filled" if row.filled_blocks else ""
    return (
        shown(row.job, MAX_ID_CHARS),  # only somebody else writes longer ones
        Text(f"{row.state}{filled}", COLOURS[row.state]),
        row.stage_label,
        f"{row.blocks_done}/{row.blocks}",
        ago(time.time() - row.created_at),
        duration(row.took_s),
        row.priority + (f" {row.tenant}" if row.tenant else ""),
        shown(row.owner),
        datetime.fromtimestamp(row.created_at, UTC).astimezone().strftime("%d %b %H:%M:%S"),
        row.title if row.state != JobState.DAMAGED else shown(row.error, _REASON_CHARS),
    )
