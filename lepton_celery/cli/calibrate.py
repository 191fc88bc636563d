"""`lepton calibrate`: measures the cost model of this machine, shows it, or removes it."""

from __future__ import annotations

from pathlib import Path

import click

from lepton_celery.calibration import calibrate as calibration
from lepton_celery.cli.where import find_settings
from lepton_celery.errors import InputError
from lepton_celery.planning.cost.model import CostModel


@click.command()
@click.option(
    "--path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder in which file access is measured, such as that of the outputs.  [default: this folder]",
)
@click.option(
    "--seconds", type=click.FloatRange(1), default=8.0, help="Start no more measurements of functions after this time."
)
@click.option("--show", is_flag=True, help="Show the figures that plans use, without measuring.")
@click.option("--reset", is_flag=True, help="Remove the measured figures, so that plans use the shipped ones.")
def calibrate(path: Path | None, seconds: float, show: bool, reset: bool) -> None:
    """Measure the time that work takes on this machine.

    Plans use the figures of functions, files, blocks and tasks that this measures in a few seconds. Run it on a machine
    like the workers', while nothing else runs there. Jobs refine the figures afterwards.
    """
    if show and reset:
        raise InputError("both --show and --reset were given; give one of them")
    settings = find_settings()
    if reset:
        calibration.reset(settings)
        click.echo("removed the measured figures; plans use the shipped ones")
        return
    if show:
        _show(calibration.current(settings))
        return
    done = calibration.calibrate(path, seconds=seconds, settings=settings)
    measured = sum(len(figures) for figures in done.model.figures.values())
    click.echo(
        f"measured {measured} figures in {done.took_s:.0f} s; functions take {done.model.speed:.2f} × the shipped times"
    )
    for location in done.kept:
        click.echo(f"kept in  {location}")
    if settings is None:
        click.echo("tasks    not measured, because no broker is configured (`lepton up` starts one)")
    elif not done.on_workers:
        click.echo("tasks    not measured, because no worker answered; start workers and calibrate again")


def _show(model: CostModel) -> None:
    click.echo(f"figures: {model.provenance}")
    click.echo(f"{'':51}{'ns a pixel or byte':>20}{'ns a tap':>10}{'µs a call':>12}")
    for kind, figures in model.figures.items():
        for key, figure in sorted(figures.items()):
            tap = f"{figure.tap_ns:.3g}" if figure.tap_ns else ""
            call = f"{figure.call_ns / 1000:.3g}"
            click.echo(f"{kind:9}{key or 'others':42}{figure.unit_ns:>20.3g}{tap:>10}{call:>12}")
    for name, seconds in vars(model.overheads).items():
        click.echo(f"{'each':9}{name.removesuffix('_s'):42}{'':30}{seconds * 1e6:>12.3g}")
    click.echo(f"functions that were not measured: {model.speed:.2f} × the times in the catalogue")
