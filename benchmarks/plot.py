"""The plot of the table: a panel for each case, a bar for each system."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.runner import Results

_OWN, _REFERENCE, _OTHER = "#d1495b", "#30638e", "#b0b7bf"
_COLUMNS = 4
_CUT = 3.0
"""Longest bar, in times of scikit-image's; longer ones are cut and say so."""


def draw(path: Path, cases: Sequence[Case], results: Results) -> None:
    """Times as multiples of scikit-image's on the whole image, which is the line at 1."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same figures give the same file
    from matplotlib import pyplot

    shown = [case for case in cases if results[case.name].get("a") and results[case.name]["a"].seconds]
    if not shown:
        return
    rows = -(-len(shown) // _COLUMNS)
    figure, axes = pyplot.subplots(rows, _COLUMNS, figsize=(13, 2.6 * rows), squeeze=False, layout="constrained")
    for panel, case in zip(axes.flat, shown, strict=False):
        _panel(panel, case, results)
    for panel in axes.flat[len(shown) :]:
        panel.set_visible(False)
    figure.suptitle("time beside scikit-image on the whole image, less is better", fontsize=11)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _panel(panel: Any, case: Case, results: Results) -> None:
    found = {name: measured for name, measured in results[case.name].items() if measured.seconds}
    base = found["a"].median
    names = list(reversed(found))
    ratios = [found[name].median / base for name in names]
    colours = [_OWN if name in ("lepton", "inline") else _REFERENCE if name in ("a", "f") else _OTHER for name in names]
    panel.barh(names, [min(ratio, _CUT) for ratio in ratios], color=colours)
    for at, ratio in enumerate(ratios):
        text = f" {ratio:.2f}" + (" (cut)" if ratio > _CUT else "")
        inside = ratio > 0.7 * _CUT
        panel.text(min(ratio, _CUT), at, text + " " * inside, va="center", ha="right" if inside else "left", fontsize=8)
    panel.axvline(1, color="#333333", linewidth=0.8, linestyle=":")
    panel.set_xlim(0, _CUT)
    panel.set_title(case.name, fontsize=10)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
