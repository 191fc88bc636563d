"""Compares ways to size a fleet on the traces of the package: `python -m benchmarks.autoscaling`.

Writes the section of docs/autoscaling.md between its two marks, and the pictures beside it. Needs the extra `simulation`.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product, repeat
from pathlib import Path

import click

from benchmarks.document import table
from benchmarks.traces import made
from lepton_celery.fleet.simulation.comparison import RULES, Comparison, compare
from lepton_celery.fleet.simulation.plot import draw
from lepton_celery.fleet.simulation.trace import SHIPPED, shipped_trace

_BEGIN, _END = "<!-- begin comparison -->", "<!-- end comparison -->"
_STARTS = (5.0, 20.0, 60.0)
"""Times of a worker's start for which the policy is compared with the optimum, in seconds."""
_SEEDS = (101, 102, 103, 104, 105)
"""Seeds of traces that the package does not have."""
_HELD_OUT = ("steady", "burst", "giant", "poison")
_TARGET = 1.15
"""Slot-hours that the policy may need, in multiples of the optimum's."""


def section(comparisons: Sequence[Comparison], others: Sequence[str]) -> str:
    """The generated section."""
    lines = [verdict(comparisons), ""]
    for compared in comparisons:
        trace = compared.trace
        lines += [
            f"### {trace.name}",
            "",
            f"{trace.about[0].upper()}{trace.about[1:]}: {len(trace.arrivals):,} jobs with",
            f"{trace.work_s / 3600:,.1f} slot-hours of work; {trace.minimum} to {trace.maximum:,} slots; a start takes",
            f"{trace.startup_s:g} s.",
            "",
            *table(compared.headings(), list(compared.rows())),
            "",
            f"![slots, outstanding work and waits of the trace {trace.name}](autoscaling-{trace.name}.svg)",
            "",
        ]
    return "\n".join([*lines, *others])


def verdict(comparisons: Sequence[Comparison]) -> str:
    """Whether the policy meets what it must, in a sentence."""
    found = []
    for compared in comparisons:
        (own,) = [result for result in compared.results if result.rule == "lepton"]
        ratio = compared.ratio(own) or 0.0
        late = "".join(f", {lane} late" for lane in own.missed)
        over = f", {ratio - _TARGET:.2f} too much" if ratio > _TARGET else ""
        found.append(
            f"{compared.trace.name} {ratio:.2f}{over}{late} ({own.regretted:,} of {own.started:,} slots flapped)"
        )
    return (
        f"Slot-hours of our policy in multiples of the offline optimum, of which at most {_TARGET} are wanted, all targets "
        f"(95th percentiles) being met unless a lane is called late: {'; '.join(found)}."
    )


def _held_out(kind: str, seed: int, startup_s: float) -> Comparison:
    """The policy on another trace of a kind."""
    return compare(replace(made(kind, seed), startup_s=startup_s), ["lepton"], seed=seed)


def held_out(told: Callable[[str], None]) -> Iterator[str]:
    """A table of the policy on traces of other seeds, where starts take shorter and longer."""
    rows = []
    with ProcessPoolExecutor(2) as pool:
        for kind, startup_s in product(_HELD_OUT, _STARTS):
            told(f"{kind} with other seeds, {startup_s:g} s")
            found = list(pool.map(_held_out, repeat(kind), _SEEDS, repeat(startup_s)))
            results = [result for compared in found for result in compared.results]
            ratios = sorted(compared.ratio(compared.results[0]) or math.inf for compared in found)
            flapping = sorted(100 * result.flapping for result in results)
            missed = Counter(lane for result in results for lane in result.missed)
            rows.append(
                (
                    kind,
                    f"{startup_s:g} s",
                    *(f"{value:.2f}" for value in (ratios[0], statistics.median(ratios), ratios[-1])),
                    ", ".join(f"{lane} in {times}" for lane, times in missed.items()) or "none",
                    *(f"{value:.1f}" for value in (statistics.median(flapping), flapping[-1])),
                )
            )
    yield "### Other traces, and other starts"
    yield ""
    yield "The traces above were looked at when the policy was written, with starts of 20 s. These were not: they are of the"
    yield f"same kinds, with {len(_SEEDS)} other seeds each. (Three seeds of burst and giant were, with 20 s, to choose"
    yield "between 0.33 and 0.5 of what will arrive in an impatient lane; it became 0.4.)"
    yield ""
    head = ("kind", "a start takes", "× optimum: min", "median", "max", "targets missed", "% flapped: median", "max")
    yield from table(head, rows)


@click.command(help="Compare ways to size a fleet; writes a section of docs/autoscaling.md.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
@click.option("--trace", "names", type=click.Choice(SHIPPED), multiple=True, help="Only these traces, and no document.")
def main(out: Path, names: tuple[str, ...]) -> None:
    comparisons = []
    for name in names or SHIPPED:
        compared = compare(shipped_trace(name), list(RULES), told=click.echo)
        draw(out / f"autoscaling-{name}.svg", compared)
        click.echo("\n".join(table(compared.headings(), list(compared.rows()))))
        comparisons.append(compared)
    text = section(comparisons, list(held_out(click.echo)) if not names else [])
    if names:
        click.echo(text)
        return
    page = out / "autoscaling.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    page.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{rest.partition(_END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
