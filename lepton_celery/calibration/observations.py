"""Measured runs of functions and stores, and the figures that are fitted to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lepton_celery.catalogue import get_entry
from lepton_celery.catalogue.entries import Entry
from lepton_celery.planning.cost.model import Figure, Overheads, function_of

Row = tuple[float, float, float]
"""The calls, units, and units times taps of a run."""


@dataclass
class Observations:
    """The measured runs: seconds by the kind and key of a figure, and then by row."""

    rows: dict[tuple[str, str], dict[Row, float]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, kind: str, key: str, calls: float, units: float, taps: float, seconds: float) -> None:
        """Record a run; the quickest of several equal runs counts."""
        row = (calls, units, units * taps)
        self.rows[kind, key][row] = min(seconds, self.rows[kind, key].get(row, seconds))

    def figures(self) -> dict[str, dict[str, Figure]]:
        """The figure of each kind and key, fitted to its runs.

        A function with a single row gets the catalogue's costs per pixel and tap, scaled to that row.
        """
        figures: dict[str, dict[str, Figure]] = defaultdict(dict)
        for (kind, key), rows in self.rows.items():
            is_single = kind == "compute" and len(rows) == 1
            figures[kind][key] = _scaled(get_entry(function_of(key)), rows) if is_single else fitted(rows)
        return figures


def _scaled(entry: Entry, rows: Mapping[Row, float]) -> Figure:
    [((calls, units, taps), seconds)] = rows.items()
    call_ns = Overheads().call_s * 1e9
    shipped_ns = units * entry.cost_ns + taps * entry.tap_ns
    factor = max(0.0, seconds * 1e9 - calls * call_ns) / shipped_ns
    return Figure(entry.cost_ns * factor, call_ns, entry.tap_ns * factor, seconds)


def fitted(rows: Mapping[Row, float]) -> Figure:
    """The figure with non-negative costs whose relative errors for these runs are smallest (least squares)."""
    from scipy import optimize  # 0.3 s, which no listing of the commands should take

    seconds = np.array(list(rows.values()))
    matrix = np.array(list(rows)) / seconds[:, None]
    scale = np.maximum(matrix.max(axis=0), 1e-30)  # of each column, because calls are few and pixels many
    (call, unit, tap), _ = optimize.nnls(matrix / scale, np.ones(len(seconds)))
    unit_ns, call_ns, tap_ns = (1e9 * float(x) for x in (unit / scale[1], call / scale[0], tap / scale[2]))
    return Figure(unit_ns, call_ns, tap_ns, float(seconds.sum()))
