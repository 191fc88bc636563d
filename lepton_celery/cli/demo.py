"""`lepton demo`: the main job from end to end, and the comparison with scikit-image on the whole image."""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from lepton_celery import stores
from lepton_celery.cli import galaxies
from lepton_celery.config import load_settings
from lepton_celery.engines.celery.app import create_app
from lepton_celery.engines.celery.sending.queues import with_broker
from lepton_celery.errors import LeptonError
from lepton_celery.grid import Region
from lepton_celery.jobs.report import summarize
from lepton_celery.jobs.submit import submit
from lepton_celery.local.local import LocalStack


class NotIdentical(LeptonError):
    """The result differs from scikit-image's on the whole image."""


@click.command(help="Find the galaxies in a large photograph on a local stack, and compare with the whole image.")
@click.option("--directory", type=click.Path(path_type=Path), default=Path("examples/output"), show_default=True)
@click.option("--side", type=click.IntRange(64), default=8192, show_default=True, help="Pixels of the image's side.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Worker processes.")
@click.option("--flower/--no-flower", default=True, show_default=True, help="Run the dashboard meanwhile.")
@click.option("--compare/--no-compare", default=True, show_default=True, help="Compare with the whole image.")
@click.option("--broker-url", envvar="LEPTON_BROKER_URL", help="Use this broker; none is started.")
def demo(directory: Path, side: int, workers: int, flower: bool, compare: bool, broker_url: str | None) -> None:
    console = Console(highlight=False, soft_wrap=True)
    directory = directory.absolute()
    photo = directory / f"hubble-{side}.tif"
    if not photo.exists():
        with console.status(f"enlarging the Hubble deep field to {side} × {side} pixels (first use) …"):
            galaxies.photograph(photo, side)
    console.print(f"[bold]input[/]    {photo}  {side} × {side} × 3, {photo.stat().st_size / 1e6:.0f} MB")
    console.print("[bold]work[/]     rgb2gray → gaussian → Otsu → label → region table, overlay")
    with console.status("starting the local stack …"):
        stack = LocalStack(directory / ".stack", workers=workers, flower=flower, broker_url=broker_url)
        stack.start()
    try:
        stack.stop_on_signals()
        console.print(
            f"[bold]stack[/]    broker, {workers} prefork workers"
            + (f", Flower at {stack.flower_url}" if flower else "")
        )
        labels, table, overlay = (str(directory / name) for name in ("galaxies.zarr", "galaxies.csv", "galaxies.png"))
        lazy = galaxies.galaxies(photo)
        app = create_app(with_broker(load_settings(), stack.broker_url))
        outputs = {labels: lazy.labels, table: lazy.table, overlay: lazy.overlay}
        job = submit(outputs, app=app, priority="interactive", title="galaxies", workers=workers, overwrite=True)
        console.print(f"[bold]job[/]      {job.id}")
        info = job.wait(progress=True)
        rows = stores.read_table(table)
        console.print(
            f"[bold]found[/]    {len(rows['label']):,} galaxies, {rows['area'].sum() / side**2:.1%} of the sky"
        )
        first, second = summarize(info, job.manifest().plan).split("\n")
        console.print(f"[bold]done[/]     {first}")
        console.print(f"[bold]time[/]     {second}")
        for name, path in (("labels", labels), ("table", table), ("picture", overlay)):
            console.print(f"[bold]{name:<8}[/] {path}")
    except KeyboardInterrupt:
        console.print("stopping: workers finish the batch in hand …")
        raise
    finally:
        with console.status("stopping the local stack …"):
            stack.stop()
    if compare:
        _compare(console, photo, labels, table)


def _compare(console: Console, photo: Path, labels: str, table: str) -> None:
    started = time.perf_counter()
    with console.status("the same with scikit-image on the whole image, in one process …"):
        expected, rows = galaxies.whole(photo)
        seconds = time.perf_counter() - started
        reader = stores.open_array(labels)
        found = reader.read(Region.whole(reader.shape))
        columns = stores.read_table(table)
    if found.dtype != expected.dtype or not np.array_equal(found, expected):
        differ = int(np.count_nonzero(found != expected))
        raise NotIdentical(f"{differ:,} of {expected.size:,} label pixels differ from scikit-image's")
    for name, column in rows.items():
        if not np.array_equal(columns[name], column):
            raise NotIdentical(f"column {name} of the region table differs from scikit-image's")
    console.print(
        f"[bold]check[/]    [green]identical[/] to scikit-image on the whole image ({seconds:.1f} s in one process): "
        f"{expected.size:,} pixels, {len(rows['label']):,} rows"
    )
