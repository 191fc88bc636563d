"""Draws a comparison: slots, outstanding work and waits over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lepton_celery.errors import InputError
from lepton_celery.fleet.simulation.comparison import Comparison
from lepton_celery.fleet.simulation.run import Result

COLOURS = {"lepton": "#d1495b", "celery": "#30638e", "keda": "#8d96a0", "fixed": "#edae49"}
"""The colour of each rule."""
_FAINT = "#dfe3e6"
_BINS = 60
"""Number of pieces of the time for which waits are shown."""
_POINTS = 500
"""Number of moments for which slots and work are shown."""


def draw(path: Path, comparison: Comparison) -> None:
    """Write a picture; its format is that of the file's suffix.

    Raises:
        InputError: Matplotlib is not installed, or does not know the format.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.ticker import StrMethodFormatter
    except ImportError as error:
        raise InputError(
            f"plots need Matplotlib, which cannot be imported ({error}); "
            "`pip install 'lepton-celery[simulation]'` installs it"
        ) from error
    look = {"svg.hashsalt": "lepton", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with mpl.rc_context(look):
        lanes = list(comparison.trace.targets)
        figure = Figure(figsize=(10, 1.7 * (2 + len(lanes))), layout="constrained")
        panels = figure.subplots(2 + len(lanes), sharex=True)
        for result in comparison.results:
            _lines(panels, result, COLOURS.get(result.rule, "#000000"))
        panels[0].set_ylabel("slots")
        panels[1].set_ylabel("outstanding\nwork, hours")
        for panel, lane in zip(panels[2:], lanes, strict=True):
            target = comparison.trace.targets[lane]
            panel.axhline(target, color=_FAINT, linewidth=3, zorder=0)
            panel.set_ylabel(f"wait in\n{lane}, s")
            panel.set_yscale("symlog", linthresh=1.0)
            panel.set_ylim(0, max(10.0, 3 * target, panel.get_ylim()[1]))
            panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        figure.align_ylabels(panels)
        panels[0].legend(ncols=4, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
        panels[0].set_title(f"{comparison.trace.name}: {comparison.trace.about}", loc="left", fontsize=10, pad=22)
        panels[-1].set_xlabel(
            "hours (waits: the 95th percentile of the batches that began then; grey lines: the targets)"
        )
        try:
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        except ValueError as error:
            raise InputError(f"{path}: {error}; give a name that ends in .svg, .png or .pdf") from None
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}; give another name") from None


def _lines(panels: Any, result: Result, colour: str) -> None:
    """The lines of a rule."""
    moments = result.moments[:: max(1, len(result.moments) // _POINTS)]
    hours = [moment.at / 3600 for moment in moments]
    common = {"color": colour, "linewidth": 1.2}
    panels[0].plot(hours, [moment.desired for moment in moments], label=result.rule, drawstyle="steps-post", **common)
    panels[1].plot(hours, [sum(moment.backlog_s) / 3600 for moment in moments], **common)
    width = result.seconds / _BINS
    for panel, lane in zip(panels[2:], result.trace.targets, strict=True):
        values = result.waits.over_time(lane, 0.95, width, _BINS)
        panel.plot([(n + 0.5) * width / 3600 for n in range(_BINS)], values, **common)
