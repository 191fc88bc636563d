"""The progress of a job while it is waited for: a bar on standard error, or in a notebook the job itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lepton_celery.jobs.report import progress_of
from lepton_celery.ledger.info import JobInfo
from lepton_celery.planning.plan import Plan

if TYPE_CHECKING:
    from lepton_celery.jobs.job import Job

_REDRAWN_S = 0.5
"""Seconds between two drawings of a job in a notebook."""


@contextmanager
def show_progress(plan: Plan, *, console: Console | None = None) -> Iterator[Callable[[JobInfo], None]]:
    """Draw a bar while the `with` block runs; call the yielded function with each new state of the job."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=36),
        TaskProgressColumn(),
        TextColumn("{task.fields[blocks]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = console or Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"stage 1/{len(plan.stages)}", total=1.0, blocks="")

        def draw(info: JobInfo) -> None:
            doing = "merging" if info.merging else f"{info.blocks_done}/{info.blocks_total} blocks"
            description = f"stage {info.stage_label}"
            bar.update(task, completed=progress_of(info), description=description, blocks=doing)

        yield draw


def in_notebook() -> bool:
    """Whether a notebook shows what this process displays."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


@contextmanager
def show_in_notebook(job: Job) -> Iterator[Callable[[JobInfo], None]]:
    """Show a job in the output of the cell while the `with` block runs; call the yielded function as it goes on."""
    from IPython.display import HTML, display

    handle: Any = display(HTML(job._repr_html_()), display_id=True)
    drawn_at = time.monotonic()

    def draw(info: JobInfo) -> None:
        nonlocal drawn_at
        if time.monotonic() - drawn_at >= _REDRAWN_S:
            handle.update(HTML(job._repr_html_()))
            drawn_at = time.monotonic()

    try:
        yield draw
    finally:
        handle.update(HTML(job._repr_html_()))
