"""`lepton top`: jobs, lanes and workers, live on the terminal."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lepton_celery import __version__
from lepton_celery.cli.autoscale_fleet import lane_table
from lepton_celery.cli.console import output, table
from lepton_celery.cli.jobs import COLOURS
from lepton_celery.cli.where import need_settings
from lepton_celery.errors import BrokerUnreachable
from lepton_celery.jobs.report import ago
from lepton_celery.ledger import JobState, open_ledger
from lepton_celery.limits import MAX_ID_CHARS
from lepton_celery.planning.explain import counted, duration, size
from lepton_celery.text import shown
from lepton_celery.views.fleet import CurrentWork, FleetView, WorkerView, fleet_view
from lepton_celery.views.listing import MOST_LISTED, JobPage, JobQuery, JobRow, Listing

_SORTS = ("created", "remaining", "progress", "took", "lane", "state", "title")
"""What `s` sorts jobs by, one after the other."""
_WIDE = 120
"""Terminals of this width have room for all columns."""
_BAR = 12
"""Width of a progress bar, in columns."""
_PRINTED_JOBS = 50
"""Number of jobs that are shown if the output is not a terminal."""
_LEAST_JOBS = 3
"""Number of jobs that are shown however low the terminal is, at the expense of the workers."""


@dataclass(slots=True)
class Chosen:
    """What the keys have chosen."""

    sort: int = 0
    open_only: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read."""

    fleet: FleetView
    page: JobPage
    jobs: list[JobRow]
    """Those that have not ended first."""


@click.command()
@click.option("--interval", type=click.FloatRange(0.1), default=1.0, metavar="SECONDS", help="Time between two looks.")
def top(interval: float) -> None:
    """Show jobs, lanes and workers, live.

    \b
    q  quit        s  sort by another column        o  only jobs that have not ended

    If the output is no terminal, it is printed once.
    """
    settings = need_settings()
    ledger = open_ledger(settings.ledger)
    listing, console, chosen = Listing(ledger), output(), Chosen()

    def read() -> Seen:
        query = JobQuery(sort=_SORTS[chosen.sort], descending=_SORTS[chosen.sort] == "created", count=MOST_LISTED)
        page = listing.page(query)
        ended = [] if chosen.open_only else [row for row in page.jobs if not row.is_open]
        ended.sort(key=lambda row: row.updated_at, reverse=True)
        return Seen(fleet_view(ledger, settings, decisions=1), page, [row for row in page.jobs if row.is_open] + ended)

    if not console.is_terminal or console.is_dumb_terminal:
        console.print(screen(read(), chosen, _WIDE + 80, None))
        return
    _live(console, read, chosen, interval)


def _live(console: Console, read: Callable[[], Seen], chosen: Chosen, interval_s: float) -> None:
    """Draw what is read until `q`; a ledger that does not answer is named, and asked again."""
    with _keys() as key_within, Live(console=console, screen=True, auto_refresh=False) as live:
        seen: Seen | None = None
        read_at = ""
        while True:
            trouble = ""
            try:
                seen = read()
                read_at = _clock()
            except BrokerUnreachable as error:
                trouble = f"as it was at {read_at}: {error}" if read_at else str(error)
            width, height = console.size
            parts: list[RenderableType] = [_line(trouble, width, "red")] if trouble else []
            if seen is not None:
                parts.append(screen(seen, chosen, width, height - len(parts)))
            live.update(Group(*parts), refresh=True)
            key = key_within(interval_s)
            if key == "q":
                return
            if key == "s":
                chosen.sort = (chosen.sort + 1) % len(_SORTS)
            elif key == "o":
                chosen.open_only = not chosen.open_only


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """A function that waits for a key for some seconds, and returns it or an empty text."""
    if not sys.stdin.isatty():

        def no_key(seconds: float) -> str:
            time.sleep(seconds)
            return ""

        yield no_key
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def key(seconds: float) -> str:
        if not select.select([descriptor], [], [], seconds)[0]:
            return ""
        try:
            return os.read(descriptor, 1).decode("ascii", "replace") or "q"  # nothing to read: the terminal was closed
        except OSError:
            return "q"

    try:
        tty.setcbreak(descriptor)  # Ctrl-C works as elsewhere
        yield key
    finally:
        with suppress(termios.error):  # the terminal was closed
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def screen(seen: Seen, chosen: Chosen, width: int, height: int | None) -> Group:
    """The whole screen; without a height, as many lines as it takes."""
    fleet, states = seen.fleet, seen.page.states
    jobs = ", ".join(f"{states[state]} {state}" for state in map(str, JobState) if states.get(state)) or "no jobs"
    head = f"lepton {_clock()}   {fleet.busy_slots} of {counted(fleet.slots, 'slot')} busy   {jobs}"
    workers = fleet.workers
    if height is not None:  # head, lanes, workers and jobs with their headings, blank lines, the keys
        room = height - len(fleet.lanes) - 8
        workers = workers[: max(1, min(len(workers), (room - _LEAST_JOBS) // 2))]
        rows = max(1, room - len(workers) - (len(workers) < len(fleet.workers)))
    else:
        rows = _PRINTED_JOBS
    parts: list[RenderableType] = [_line(head, width, "bold"), lane_table(fleet, width), "", _workers(workers, width)]
    if len(workers) < len(fleet.workers):
        parts.append(Text(f"and {counted(len(fleet.workers) - len(workers), 'worker')} more", "dim"))
    nothing = "every job has ended" if seen.page.count else "no jobs; submit one with lepton run"
    parts += ["", _jobs(seen.jobs[:rows], width) if seen.jobs else Text(nothing, "dim")]
    if height is not None:
        more = f"   {len(seen.jobs) - rows} more jobs" if len(seen.jobs) > rows else ""
        of = "those that have not ended" if chosen.open_only else "all"
        keys = f"q quit   s sort: {_SORTS[chosen.sort]}   o jobs: {of}{more}"
        parts += [_line(keys, width, "dim")]
    return Group(*parts)


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


def _line(text: str, width: int, style: str) -> Text:
    """One line, whose end is cut if it does not fit."""
    line = Text(shown(text), style, no_wrap=True)
    line.truncate(width, overflow="ellipsis")
    return line


def _workers(workers: Sequence[WorkerView], width: int) -> Table | Text:
    if not workers:
        return Text("no workers; start some with lepton up or lepton worker", "dim")
    rows = [
        (
            shown(worker.worker, MAX_ID_CHARS),
            f"{'-' if worker.busy_slots is None else worker.busy_slots} of {worker.slots}",
            "-" if worker.memory_bytes is None else size(worker.memory_bytes),
            ", ".join(worker.lanes)
            + (f"   release {worker.release}" if worker.release not in ("", __version__) else ""),
            ", ".join(map(_work, worker.current)),
        )
        for worker in workers
    ]
    return table(("worker", "busy slots", "memory", "lanes", "working on"), rows, width)


def _work(work: CurrentWork) -> str:
    what = counted(work.blocks, "block") if work.blocks else "merge"
    return f"{shown(work.job, MAX_ID_CHARS)} stage {work.stage}: {what}" + (
        "" if work.for_s is None else f" for {duration(work.for_s)}"
    )


def _jobs(jobs: list[JobRow], width: int) -> Table:
    is_wide = width >= _WIDE
    headings: tuple[str, ...] = ("job", "state", "progress", "left")
    if is_wide:
        headings += ("stage", "blocks", "rate", "took", "lane", "age")
    return table((*headings, "title"), [_cells(row, is_wide) for row in jobs], width)


def _cells(row: JobRow, is_wide: bool) -> tuple[str | Text, ...]:
    full = min(_BAR, int(row.progress * _BAR))
    bar = Text("━" * full, COLOURS[row.state]) + Text("─" * (_BAR - full), "bright_black")
    cells: tuple[str | Text, ...] = (
        shown(row.job, MAX_ID_CHARS),
        Text(row.state, COLOURS[row.state]),
        bar + Text(f" {row.progress:4.0%}"),
        "-" if row.remaining_s is None else duration(row.remaining_s),
    )
    if is_wide:
        cells += (
            row.stage_label,
            f"{row.blocks_done}/{row.blocks}" + (f", {row.filled_blocks} filled" if row.filled_blocks else ""),
            "-" if row.blocks_per_s is None else f"{row.blocks_per_s:.3g}/s",
            duration(row.took_s),
            row.priority + (f" {row.tenant}" if row.tenant else "") + (f" ({row.owner})" if row.owner else ""),
            ago(time.time() - row.created_at),
        )
    return (*cells, row.error or row.waits_for or row.title)
