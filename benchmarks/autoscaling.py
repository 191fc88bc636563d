"""Compares ways to size a fleet on the traces of the package: `python -m benchmarks.autoscaling`.

Writes the section of docs/autoscaling.md between its two marks, and the pictures beside it. Needs the extra `simulation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.document import table
from lepton_celery.fleet.simulation.comparison import RULES, Comparison, compare
from lepton_celery.fleet.simulation.plot import draw
from lepton_celery.fleet.simulation.rules import OwnPolicy
from lepton_celery.fleet.simulation.run import simulate_trace
from lepton_celery.fleet.simulation.trace import SHIPPED, shipped_trace

_BEGIN, _END = "<!-- begin comparison -->", "<!-- end comparison -->"
_STARTS = (5, 20, 60, 120)
"""Times of a worker's start for which the policy is compared with the optimum, in seconds."""
_SEEDS = (1, 2, 3)
_TARGET = 1.15
"""Slot-hours that the policy may need, in multiples of the optimum's."""


def section(comparisons: Sequence[Comparison], starts: Sequence[str]) -> str:
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
    return "\n".join([*lines, *starts])


def verdict(comparisons: Sequence[Comparison]) -> str:
    """Whether the policy meets what it must, in a sentence."""
    found = []
    for compared in comparisons:
        (own,) = [result for result in compared.results if result.rule == "lepton"]
        ratio = compared.ratio(own) or 0.0
        late = "".join(f", {lane} late" for lane in own.missed)
        over = f", {ratio - _TARGET:.2f} too much" if ratio > _TARGET else ""
        found.append(f"{compared.trace.name} {ratio:.2f}{over}{late} ({own.turns_per_hour:.1f} turns an hour)")
    return (
        f"Slot-hours of our policy in multiples of the offline optimum, of which at most {_TARGET} are wanted, all targets "
        f"(95th percentiles) being met unless a lane is called late: {'; '.join(found)}."
    )


def with_other_starts() -> Iterator[str]:
    """A table of the policy where starts take shorter and longer, and with other random times."""
    rows = []
    for name in ("steady", "burst"):
        for startup_s in _STARTS:
            trace = replace(shipped_trace(name), startup_s=float(startup_s))
            compared = compare(trace, ["lepton"], seed=_SEEDS[0])
            others = [simulate_trace(trace, OwnPolicy(trace), seed=seed) for seed in _SEEDS[1:]]
            found = [*compared.results, *others]
            ratios = [f"{compared.ratio(result) or 0:.2f}" for result in found]
            missed = sorted({lane for result in found for lane in result.missed})
            turns = max(result.turns_per_hour for result in found)
            rows.append((name, f"{startup_s} s", ", ".join(ratios), f"{turns:.1f}", ", ".join(missed) or "none"))
    yield "### Other starts, and other random times"
    yield ""
    yield f"Our policy with {len(_SEEDS)} seeds each. The optimum pays for starts too."
    yield ""
    yield from table(("trace", "a start takes", "× optimum", "turns/h at most", "missed"), rows)


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
    text = section(comparisons, list(with_other_starts()) if not names else [])
    if names:
        click.echo(text)
        return
    page = out / "autoscaling.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    page.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{rest.partition(_END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
