"""`python -m benchmarks`: compares lepton_celery with its peers, and writes a table and a plot to docs/."""

from __future__ import annotations

import time
from pathlib import Path

import click

from benchmarks import document, plot
from benchmarks.cases import cases
from benchmarks.folder import work_folder
from benchmarks.runner import Runner
from benchmarks.systems import TITLES


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if value else ()


@click.command(help="Measure lepton_celery beside its peers.")
@click.option("--quick", is_flag=True, help="Small pictures, one round: to see that everything runs.")
@click.option("--workloads", callback=_names, help="Which, such as W1,W4; all unless given.")
@click.option("--systems", callback=_names, help=f"Which of {','.join(TITLES)}; all unless given.")
@click.option("--repeat", type=click.IntRange(1), default=3, show_default=True, help="Fewest runs of each system.")
@click.option("--seconds", type=float, default=500.0, show_default=True, help="More runs, and no new case, after that.")
@click.option("--limit", type=float, default=60.0, show_default=True, help="Seconds that one run may take.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
@click.option("--work", type=click.Path(path_type=Path), help="Where pictures go meanwhile; in memory unless given.")
def main(
    quick: bool,
    workloads: tuple[str, ...],
    systems: tuple[str, ...],
    repeat: int,
    seconds: float,
    limit: float,
    out: Path,
    work: Path | None,
) -> None:
    unknown = [name for name in systems if name not in TITLES]
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: there are {', '.join(TITLES)}", param_hint="--systems")
    chosen = list(cases(is_quick=quick, workloads=workloads))
    if not chosen:
        raise click.BadParameter(f"no workload is called {', '.join(workloads)}", param_hint="--workloads")
    started = time.monotonic()

    def say(line: str) -> None:
        click.echo(f"{time.monotonic() - started:6.1f} s  {line}")

    with work_folder(work) as folder:
        runner = Runner(chosen, systems or tuple(TITLES), folder, limit_s=limit, say=say)
        runner.run(1 if quick else repeat, seconds, most=1 if quick else 2 * repeat)
        name = "benchmarks.svg"
        out.mkdir(parents=True, exist_ok=True)
        plot.draw(out / name, chosen, runner.results)
        text = document.peers(chosen, runner.results, plot=name, idle=runner.idle, left_out=runner.left_out)
        document.replace_section(out / "benchmarks.md", "peers", text)
        say(f"written: {out / 'benchmarks.md'}, {out / name}")


if __name__ == "__main__":
    main()
