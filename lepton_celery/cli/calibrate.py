"""`lepton calibrate`: measure what work costs here, show it, or forget it."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table as RichTable

from lepton_celery import tuning
from lepton_celery.cli.where import find_settings
from lepton_celery.cost import CostModel
from lepton_celery.errors import InputError


@click.command()
@click.option(
    "--path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder to measure files in: one where outputs go. This one by default.",
)
@click.option(
    "--seconds", type=click.FloatRange(1), default=12.0, show_default=True, help="Try no more functions after that."
)
@click.option("--show", is_flag=True, help="Show the figures that plans go by; nothing is measured.")
@click.option("--reset", is_flag=True, help="Forget what was measured: the shipped figures count again.")
def calibrate(path: Path | None, seconds: float, show: bool, reset: bool) -> None:
    """Measure what functions, files, blocks and tasks cost on this machine, so that plans fit it; takes seconds.

    Run it on a machine like the workers', while nothing else runs. Jobs refine the figures afterwards.
    """
    if show and reset:
        raise InputError("both --show and --reset were given; give one of them")
    settings = find_settings()
    if reset:
        tuning.reset(settings)
        click.echo("forgotten: plans go by the shipped figures")
        return
    if show:
        _show(tuning.current(settings))
        return
    done = tuning.calibrate(path, seconds=seconds, settings=settings)
    measured = sum(len(figures) for figures in done.model.figures.values())
    click.echo(
        f"measured {measured} figures in {done.took_s:.0f} s; functions take {done.model.speed:.2f} × what is shipped"
    )
    for place in done.kept:
        click.echo(f"kept in  {place}")
    if settings is None:
        click.echo("tasks    no broker is configured: what a task costs is as shipped (`lepton up` starts workers)")
    elif not done.on_workers:
        click.echo("tasks    no worker answered: what a task costs is as shipped; start workers and calibrate again")


def _show(model: CostModel) -> None:
    console = Console()
    console.print(f"figures: {model.words}", highlight=False)
    table = RichTable("kind", "of", "ns a pixel or byte", "ns a tap", "µs a call", box=None, header_style="bold")
    for kind, figures in model.figures.items():
        for key, figure in sorted(figures.items()):
            table.add_row(
                kind,
                key or "others",
                f"{figure.unit_ns:.3g}",
                f"{figure.tap_ns:.3g}" if figure.tap_ns else "",
                f"{figure.call_ns / 1000:.3g}",
            )
    console.print(table)
    named = vars(model.overheads).items()
    console.print(
        ", ".join(f"{name.removesuffix('_s')} {seconds * 1000:.3g} ms" for name, seconds in named), highlight=False
    )
    console.print(f"functions that were not measured: {model.speed:.2f} × the catalogue's figures", highlight=False)
