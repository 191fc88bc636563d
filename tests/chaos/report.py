"""The results of a chaos run, as a table of words and numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import ceil


@dataclass
class Report:
    """The results of a run."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    impossible: set[str] = field(default_factory=set)
    """Kinds of faults that are not possible on this machine."""
    jobs: int = 0
    cancelled: int = 0
    overtaken: int = 0
    """Jobs that failed because their twin had published."""
    resumed: int = 0
    refused: int = 0
    never_begun: int = 0
    repeats: int = 0
    """Repeated runs of blocks, in jobs that note their runs."""
    recoveries: list[float] = field(default_factory=list)
    """Seconds from the death of a worker until others had taken all its work."""
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{name:<24}{count:>6}" for name, count in sorted(self.faults.items())]
        lines.append(f"{'faults':<24}{self.faults.total():>6}")
        lines.append(f"{'jobs done':<24}{self.jobs:>6}")
        lines.append(f"{'jobs cancelled':<24}{self.cancelled:>6}")
        lines.append(f"{'jobs overtaken':<24}{self.overtaken:>6}")
        lines.append(f"{'jobs resumed':<24}{self.resumed:>6}")
        lines.append(f"{'submissions refused':<24}{self.refused:>6}")
        lines.append(f"{'jobs never begun':<24}{self.never_begun:>6}")
        lines.append(f"{'blocks done again':<24}{self.repeats:>6}")
        lines.append(f"{'recoveries':<24}{len(self.recoveries):>6}")
        if self.recoveries:
            ordered = sorted(self.recoveries)
            lines.append(f"{'recovery, median':<24}{ordered[len(ordered) // 2]:>6.1f} s")
            lines.append(f"{'recovery, 95 of 100':<24}{ordered[ceil(0.95 * len(ordered)) - 1]:>6.1f} s")
            lines.append(f"{'recovery, longest':<24}{ordered[-1]:>6.1f} s")
        lines.append(f"{'time':<24}{self.seconds:>6.0f} s")
        lines.append(f"{'seed':<24}{self.seed:>6}")
        lines.append(f"{'violations':<24}{len(self.violations):>6}")
        lines += [f"not possible here: {name}" for name in sorted(self.impossible)]
        return "\n".join(lines + self.violations)
