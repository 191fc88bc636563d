"""Puts a trace through several rules, and tells what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lepton_celery.fleet.simulation.optimum import Optimum, offline_optimum, smallest_fixed_fleet
from lepton_celery.fleet.simulation.rules import CeleryAutoscaler, FixedFleet, KedaQueueLength, OwnPolicy, Rule
from lepton_celery.fleet.simulation.run import Result, simulate_trace
from lepton_celery.fleet.simulation.trace import Trace

RULES: dict[str, Callable[[Trace], Rule]] = {
    "lepton": OwnPolicy,
    "celery": CeleryAutoscaler,
    "keda": KedaQueueLength,
    "fixed": lambda trace: FixedFleet(smallest_fixed_fleet(trace)),
}
"""The ways to size a fleet that are compared, by name."""

HEADINGS = ("rule", "slot-hours", "× optimum", "peak", "started", "flapped", "idle", "missed")
"""Columns of the table, before those of the lanes."""


@dataclass(frozen=True)
class Comparison:
    """What became of a trace under several rules."""

    trace: Trace
    optimum: Optimum | None
    """The offline optimum; None if no fleet within the limits meets the targets."""
    results: Sequence[Result]

    def ratio(self, result: Result) -> float | None:
        """Slot-hours of a result in multiples of the optimum's."""
        return result.slot_seconds / self.optimum.slot_seconds if self.optimum else None

    def headings(self) -> list[str]:
        """The head of the table."""
        return [*HEADINGS, *(f"{lane}: p50, p95 of {target:g} s" for lane, target in self.trace.targets.items())]

    def rows(self) -> Iterator[list[str]]:
        """A row of the table for each rule, and one for the optimum."""
        for result in self.results:
            ratio = self.ratio(result)
            yield [
                result.rule,
                f"{result.slot_seconds / 3600:,.1f}",
                f"{ratio:.2f}" if ratio else "-",
                f"{result.peak:,}",
                f"{result.started:,}",
                f"{result.regretted:,}",
                f"{result.spending.idle / result.slot_seconds:.0%}",
                ", ".join(result.missed) or "none",
                *(
                    f"{_text(result.wait_s(lane, 0.5))}, {_text(result.wait_s(lane, 0.95))}"
                    for lane in self.trace.targets
                ),
            ]
        rest = ["-"] * (1 + len(self.trace.targets))
        if self.optimum is None:
            yield ["offline optimum", "none meets the targets", *["-"] * (len(HEADINGS) - 3), *rest]
        else:
            hours, started = self.optimum.slot_seconds / 3600, self.optimum.started
            yield ["offline optimum", f"{hours:,.1f}", "1.00", "-", f"{started:,.0f}", "0", "-", *rest]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "trace": self.trace.name,
            "optimum_slot_hours": self.optimum.slot_seconds / 3600 if self.optimum else None,
            "optimum_started_slots": self.optimum.started if self.optimum else None,
            "rules": [self._document(result) for result in self.results],
        }

    def _document(self, result: Result) -> dict[str, Any]:
        return {
            "rule": result.rule,
            "slot_hours": result.slot_seconds / 3600,
            "times_optimum": self.ratio(result),
            "starting_slot_hours": result.starting_seconds / 3600,
            "idle_slot_hours": result.spending.idle / 3600,
            "peak_slots": result.peak,
            "started_slots": result.started,
            "lost_slots": result.lost,
            "flapped_slots": result.regretted,
            "seconds": result.seconds,
            "missed": result.missed,
            "wait_s": {
                lane: {"target": target, "p50": result.wait_s(lane, 0.5), "p95": result.wait_s(lane, 0.95)}
                for lane, target in self.trace.targets.items()
            },
        }


def _text(seconds: float) -> str:
    """Seconds for a table."""
    return f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.1f}" if seconds >= 0.05 else "0"


def compare(
    trace: Trace, names: Sequence[str], *, seed: int = 1, told: Callable[[str], None] = lambda _: None
) -> Comparison:
    """Simulate a trace under the rules with these names; `told` is called with the name of each before it begins."""
    told("optimum")
    optimum = offline_optimum(trace)
    results = []
    for name in names:
        told(name)
        results.append(simulate_trace(trace, RULES[name](trace), seed=seed))
    return Comparison(trace, optimum, results)
