"""`lepton report`: writes a page about a job."""

from __future__ import annotations

from pathlib import Path

import click

from lepton_celery.cli.console import LONG, say
from lepton_celery.cli.where import need_settings
from lepton_celery.errors import StoreError
from lepton_celery.jobs.find import find_by_prefix
from lepton_celery.text import shown
from lepton_celery.views.report_page import report_page


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    show_default=False,
    help="The file to write; an existing one is replaced.  [default: report-JOB.html]",
)
@click.option("--pictures/--no-pictures", default=True, help="Show small pictures of the inputs and outputs.")
def report(job_id: str, path: Path | None, pictures: bool) -> None:
    """Write all about a job into one HTML page, to read, to keep and to print.

    JOB is the job's id, or the beginning of it. The page has the block maps, the timeline, predicted and measured times,
    pictures, troubles, and where the results come from. It needs no other file, no script and no network.
    """
    job = find_by_prefix(job_id, settings=need_settings())
    path = path or Path(f"report-{job.id}.html")
    page = report_page(job, pictures=pictures)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the report cannot be written to {path}: {error}") from error
    say(f"wrote {shown(path, LONG)}")
