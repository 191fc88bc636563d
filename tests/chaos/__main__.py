"""`python -m tests.chaos --seconds 300 --seed 1`: exits with 1 after any violation."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from tests.chaos.storm import FAULTS, Options, Storm

_NAMES = [fault.name for fault in FAULTS]


@click.command(help="Run jobs on real workers while everything fails, and check their outputs.")
@click.option("--seconds", type=float, default=300.0, show_default=True, help="Duration of the run.")
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="Seed of the faults; their timing depends on the machine.",
)
@click.option("--faults", type=int, default=0, help="Number of faults to end after; 0: end when the time is up.")
@click.option("--every", type=float, default=0.4, show_default=True, help="Seconds between faults, on average.")
@click.option("--kinds", default="", help=f"Kinds of faults, separated by commas; all by default: {', '.join(_NAMES)}.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Concurrent jobs.")
@click.option("--workers", type=click.IntRange(1), default=3, show_default=True, help="Workers.")
@click.option("--concurrency", type=click.IntRange(1), default=2, show_default=True, help="Processes per worker.")
@click.option("--settings", default="test", show_default=True, help="Module in settings/; empty: the defaults.")
@click.option("--rlimit", is_flag=True, help="Simulate full disks by a limit on file size, without mounting.")
@click.option("--directory", type=click.Path(path_type=Path), help="Directory to keep; a temporary one by default.")
@click.option("--quiet", is_flag=True, help="Only the table at the end.")
def main(
    seconds: float,
    seed: int,
    faults: int,
    every: float,
    kinds: str,
    jobs: int,
    workers: int,
    concurrency: int,
    settings: str,
    rlimit: bool,
    directory: Path | None,
    quiet: bool,
) -> None:
    chosen = tuple(kind.strip() for kind in kinds.split(",") if kind.strip())
    if unknown := [kind for kind in chosen if kind not in _NAMES]:
        raise click.BadParameter(f"{', '.join(unknown)}: there are {', '.join(_NAMES)}", param_hint="--kinds")
    can_mount = os.geteuid() == 0 and not rlimit
    options = Options(
        seed=seed,
        seconds=seconds,
        faults=faults,
        every_s=every,
        kinds=chosen,
        jobs=jobs,
        workers=workers,
        concurrency=concurrency,
        settings=settings,
        can_mount=can_mount,
    )
    # end the workers and unmount the disks
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    report = Storm(options, directory=directory, say=(lambda line: None) if quiet else click.echo).run()
    click.echo(report)
    sys.exit(1 if report.violations else 0)


if __name__ == "__main__":
    main()
