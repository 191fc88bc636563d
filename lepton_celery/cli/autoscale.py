"""`lepton autoscale`: how many workers there should be."""

from __future__ import annotations

from pathlib import Path

import click

from lepton_celery.cli.autoscale_export import export
from lepton_celery.cli.autoscale_fleet import fleet, status
from lepton_celery.cli.console import json_option, messages, output, print_json, table
from lepton_celery.cli.where import need_settings
from lepton_celery.errors import InputError
from lepton_celery.fleet.simulation.comparison import RULES, Comparison, compare
from lepton_celery.fleet.simulation.plot import draw
from lepton_celery.fleet.simulation.recording import record_trace
from lepton_celery.fleet.simulation.trace import SHIPPED, read_trace, shipped_trace, write_trace
from lepton_celery.fleet.targets import TARGETS
from lepton_celery.ledger import open_ledger


class _Group(click.Group):
    """Takes `--export` for the command `export`, and other options without a command for those of `fleet`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--export" in args:
            args = ["export", *(arg for arg in args if arg != "--export")]
        elif not args or (args[0].startswith("-") and args[0] not in ("-h", "--help")):
            args = ["fleet", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Group)
def autoscale() -> None:
    """How many workers there should be, decided by the outstanding work.

    \b
    Without a command, this starts and stops workers on this machine (`fleet`):
        lepton autoscale --min 1 --max 8 --target-wait interactive=2s,batch=60s
    With --export, it serves how many an orchestrator should run (`export`):
        lepton autoscale --export --max 8,batch=100
    """


autoscale.add_command(fleet)
autoscale.add_command(status)
autoscale.add_command(export)


@autoscale.command()
@click.option("--trace", "path", type=click.Path(path_type=Path), help="A trace: JSON lines, as `record` writes them.")
@click.option("--synthetic", type=click.Choice(SHIPPED), help="A trace that comes with this package.")
@click.option(
    "--policy",
    "names",
    type=click.Choice(list(RULES)),
    multiple=True,
    help="What sizes the fleet; may be repeated.  [default: all]",
)
@click.option("--seed", type=int, default=1, help="Seed of the random times.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw slots, backlog and waits into this file."
)
@json_option
def simulate(
    path: Path | None, synthetic: str | None, names: tuple[str, ...], seed: int, plot: Path | None, as_json: bool
) -> None:
    """Simulate a fleet, and compare our policy with others.

    The others are Celery's own autoscaler, KEDA's rule of queue lengths, the smallest fixed fleet that could meet every
    target, and the least slot-hours with which somebody who knew all jobs in advance could have met the targets.
    """
    if (path is None) == (synthetic is None):
        raise InputError("give either --trace FILE or --synthetic NAME")
    trace = read_trace(path) if path is not None else shipped_trace(synthetic or "")
    compared = compare(
        trace, names or list(RULES), seed=seed, told=lambda name: messages().print(f"simulating: {name}")
    )
    if plot is not None:
        draw(plot, compared)
    if as_json:
        print_json(compared.to_json())
    else:
        _show(compared)


def _show(compared: Comparison) -> None:
    trace, console = compared.trace, output()
    console.print(f"{trace.name}: {trace.about}")
    console.print(
        f"{len(trace.arrivals):,} jobs, {trace.work_s / 3600:,.1f} slot-hours of work; "
        f"{trace.minimum} to {trace.maximum} slots; a start takes {trace.startup_s:g} s"
    )
    console.print(table(compared.headings(), list(compared.rows()), max(console.width, 200)))
    console.print(
        "idle is a share of the slot-hours; slots flapped that were stopped and soon ordered again, or the reverse; "
        "p50 and p95 are seconds that batches waited"
    )


@autoscale.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--limit", type=click.IntRange(1), default=100_000, help="Number of the newest jobs to record.")
def record(path: Path, limit: int) -> None:
    """Record the jobs that the ledger knows as a trace.

    The trace has when jobs came, their lanes, and how many blocks of what predicted time they have; no titles, no paths, and
    numbers for tenants. Its first line has the fleet that a simulation gives them: change it as you need.
    """
    settings = need_settings()
    trace = record_trace(open_ledger(settings.ledger), TARGETS, keys=settings.secret_key, limit=limit)
    write_trace(path, trace)
    output().print(f"recorded {len(trace.arrivals):,} jobs, {trace.work_s:,.0f} s of work, in {path}")
