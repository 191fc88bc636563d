"""A progress bar for a job, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lepton_celery.jobs.report import progress_of
from lepton_celery.ledger.info import JobInfo
from lepton_celery.planning.plan import Plan


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
