"""Plots the times of all systems relative to lepton_celery: a line for each workload, a dot for each system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import targets
from benchmarks.cases import Case
from benchmarks.runner import Results
from benchmarks.systems import TITLES
from benchmarks.workloads import WORKLOADS

OURS, REFERENCE, OTHER, FAINT = "#d1495b", "#30638e", "#8d96a0", "#dfe3e6"
"""Colours of the plots of this folder."""

_TITLES = {
    "a": "scikit-image",
    "f": "by hand",
    "fb": "by hand, batched",
    "c": "Dask threads",
    "dz": "Dask distributed",
    "er": "Ray",
    "eb": "Ray, batched",
    "g": "naive chord",
    "h": "chord",
    "hb": "chord, batched",
    "inline": "inline",
}
_LANES = ((5, "bottom"), (-5, "top"), (15, "bottom"), (-15, "top"))
"""Offsets of a dot's label in points, and its vertical alignment; the first one that is free is used."""
_CHARACTER = 0.0068
"""Width of a character of a label, as a fraction of the axis."""


def pyplot() -> Any:
    """`matplotlib.pyplot`, set up so that the same data give the same SVG file."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {
        "svg.hashsalt": "benchmarks",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    from matplotlib import pyplot as found

    return found


def draw(path: Path, cases: Sequence[Case], results: Results) -> None:
    """Plot each system's time as a multiple of lepton_celery's, which is the line at 1."""
    import math

    panels = {name: _ratios([case for case in cases if case.format == name], results) for name in ("npy", "zarr")}
    panels = {name: rows for name, rows in panels.items() if rows}
    if not panels:
        return
    plt = pyplot()
    figure, axes = plt.subplots(
        len(panels),
        figsize=(10.5, 0.75 + sum(0.8 * len(rows) + 0.7 for rows in panels.values())),
        squeeze=False,
        layout="constrained",
        sharex=True,
        height_ratios=[len(rows) for rows in panels.values()],
    )
    values = [value for rows in panels.values() for row in rows.values() for value in row.values()]
    ends = (min(0.4, 0.8 * min(values)), max(4.0, 1.6 * max(values)))
    for panel, (name, rows) in zip(axes.flat, panels.items(), strict=True):
        _panel(panel, rows, math.log10(ends[1] / ends[0]))
        panel.set_xlim(*ends)
        panel.set_title("memory maps (.npy)" if name == "npy" else "Zarr", loc="left", fontsize=10, fontweight="bold")
    figure.suptitle(
        "Time in multiples of lepton_celery's: dots on the right are slower, on the left faster", x=0.01, ha="left"
    )
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _ratios(cases: Sequence[Case], results: Results) -> dict[str, dict[str, float]]:
    """The ratios by workload and system, each from the first case in which both systems were measured."""
    found: dict[str, dict[str, float]] = {}
    for workload in dict.fromkeys(case.workload for case in cases):
        ratios = {name: targets.ratio(cases, results, workload, (name,)) for name in TITLES if name != targets.OURS}
        row = {name: 1 / ratio.value for name, ratio in ratios.items() if ratio is not None}
        if row:
            found[workload] = row
    return found


def _panel(panel: Any, rows: Mapping[str, Mapping[str, float]], decades: float) -> None:
    import math

    panel.set_xscale("log")
    panel.set_ylim(len(rows) - 0.45, -0.55)
    panel.axvline(1, color=OURS, linewidth=1.6)
    for at, row in enumerate(rows.values()):
        panel.axhline(at, color=FAINT, linewidth=0.8, zorder=0)
        taken = [-math.inf] * len(_LANES)
        for name, value in sorted(row.items(), key=lambda item: item[1]):
            colour = OURS if name == "inline" else REFERENCE if name in ("a", "f", "fb") else OTHER
            panel.plot(value, at, "o", color=colour, markersize=6)
            place, half = math.log10(value) / decades, _CHARACTER * len(_TITLES[name]) / 2
            lane = next((n for n, end in enumerate(taken) if end < place - half), taken.index(min(taken)))
            taken[lane] = place + half
            above, align = _LANES[lane]
            panel.annotate(
                _TITLES[name],
                (value, at),
                xytext=(0, above),
                textcoords="offset points",
                ha="center",
                va=align,
                fontsize=7.5,
                color=colour if colour != OTHER else "#5c656e",
            )
    panel.set_yticks(range(len(rows)), [f"{name}  {_short(name)}" for name in rows])
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g} ×")


def _short(workload: str) -> str:
    words = {"W3": "labels, areas", "W3t": "labels, region table", "W4": "four filters fused", "V1": "volume"}
    return words.get(workload, WORKLOADS[workload].title.partition("(")[0].partition(",")[0])
