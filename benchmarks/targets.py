"""The target times of lepton_celery relative to other systems, and whether they are met."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.cases import Case
from benchmarks.runner import Measured, Results

OURS = "lepton"


@dataclass(frozen=True)
class Target:
    """An upper bound on our time divided by another system's."""

    system: str
    at_most: float
    words: str

    def shown(self, found: float | None) -> str:
        """The target, the measured ratio, and whether the target is met."""
        if found is None:
            return f"{self.words}: not measured"
        measured = f"{found:.2f}" if self.at_most > 0.1 else f"{1 / found:.0f} ×"
        return f"{self.words}: {measured}, {'met' if found <= self.at_most else '**missed**'}"


TARGETS: Mapping[str, tuple[Target, ...]] = {
    "W1": (Target("f", 1.05, "≤ 1.05 × f"),),
    "W2": (Target("f", 1.05, "≤ 1.05 × f"),),
    "W3": (Target("f", 1.1, "≤ 1.1 × f"),),
    "W3t": (Target("a", 1 / 2.5, "≤ 0.4 × a"),),
    "W4": (Target("f", 1.0, "≤ 1.0 × f"),),
    "W5": (Target("fb", 2.0, "≤ 2 × fb"), Target("h", 1 / 30, "≥ 30 × faster than a task per block (h)")),
    "V1": (),
}

DASK = ("c", "dz")
RAY = ("er", "eb")
CELERY = ("g", "h", "hb")


@dataclass(frozen=True)
class Ratio:
    """Our time divided by another system's, in a case in which both were measured."""

    value: float
    system: str
    case: str


def of_workload(cases: Sequence[Case], workload: str) -> Iterator[Case]:
    """The cases of a workload: those on memory maps first, otherwise in the order of the list, the largest first."""
    chosen = [case for case in cases if case.workload == workload]
    yield from sorted(chosen, key=lambda case: case.format != "npy")


def ratio(cases: Sequence[Case], results: Results, workload: str, systems: Collection[str]) -> Ratio | None:
    """The ratio to the fastest of the systems, in the first case in which one of them and ours were measured."""
    for case in of_workload(cases, workload):
        found = results.get(case.name, {})
        ours = found.get(OURS)
        theirs = {name: found[name] for name in systems if name in found and found[name].seconds}
        if ours is not None and ours.seconds and theirs:
            fastest = min(theirs, key=lambda name: theirs[name].median)
            return Ratio(ours.median / theirs[fastest].median, fastest, case.name)
    return None


def best_peer(found: Mapping[str, Measured], peers: Collection[str]) -> Measured | None:
    """The fastest of the peers in a case."""
    there = [found[name] for name in peers if name in found and found[name].seconds]
    return min(there, key=lambda measured: measured.median, default=None)


def summary(cases: Sequence[Case], results: Results) -> list[tuple[str, ...]]:
    """A row for each workload: ratios to a, f, and the best of Dask, of Ray and of plain Celery, and the targets."""
    rows = []
    for workload in dict.fromkeys(case.workload for case in cases):
        first = next(of_workload(cases, workload))
        rows.append(
            (
                workload,
                *(
                    _shown(ratio(cases, results, workload, systems), first.name, several=len(systems) > 1)
                    for systems in (("a",), ("f",), DASK, RAY, CELERY)
                ),
                "; ".join(
                    target.shown(found.value if (found := ratio(cases, results, workload, (target.system,))) else None)
                    for target in TARGETS.get(workload, ())
                )
                or "ahead of Dask and Ray",
            )
        )
    return rows


def _shown(found: Ratio | None, first: str, *, several: bool) -> str:
    if found is None:
        return "-"
    where = [found.system] * several + [found.case] * (found.case != first)
    return f"{found.value:.2f}" + (f" ({', '.join(where)})" if where else "")
