"""docs/benchmarks.md: sections that are written anew one by one, tables of figures."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.runner import Measured, Results
from benchmarks.systems import TITLES
from benchmarks.workloads import WORKLOADS

HEAD = """# Benchmarks

<!-- written by `make bench`, `python -m benchmarks.growth`, `.guarantee` and `.prediction` -->
"""

SECTIONS = ("peers", "growth", "guarantee", "prediction")
"""In the order in which they stand."""


_QUIET = 0.3
"""Processors that others may use before times say little; our own sampling takes about 0.1."""


def replace_section(path: Path, name: str, text: str) -> None:
    """Write one section of the document anew, and leave the others as they are."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    parts = {section: _section(old, section) for section in SECTIONS} | {name: text.strip()}
    body = "\n\n".join(
        f"<!-- begin {section} -->\n{parts[section]}\n<!-- end {section} -->" for section in SECTIONS if parts[section]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}\n{body}\n", encoding="utf-8")


def _section(document: str, name: str) -> str:
    _, begun, rest = document.partition(f"<!-- begin {name} -->\n")
    return rest.partition(f"\n<!-- end {name} -->")[0] if begun else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def machine() -> str:
    """What the figures were measured on, in a sentence."""
    packages = []
    for name in ("celery", "scikit-image", "numpy", "zarr", "dask", "ray"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {', '.join(packages)}"
    )


def peers(cases: Sequence[Case], results: Results, *, rounds: int, plot: str) -> str:
    """The section on peers."""
    used = [name for name in TITLES if any(name in found for found in results.values())]
    lines = [
        "## Beside its peers",
        "",
        f"Measured on {machine()}.",
        "Absolute times move between machines and hours: compare ratios. Systems take turns, round after round",
        f"({rounds} here); medians of n runs. One run is an indication, differences under 10 % are not resolved.",
        "Starting workers and importing is left out; reading the input from the page cache and writing new files in memory",
        "(tmpfs) is in. One BLAS thread everywhere. Every output is compared with that of scikit-image on the whole image.",
        "Memory is the largest sum of anonymous memory of all processes of a system, its broker included. A system does its",
        "cases one after the other, so what a process kept of an earlier one is in it. CPU is processor time of all its",
        "processes during the run; foreign is how many processors others used meanwhile, our sampling included: where it",
        "is not near 0, compare CPU rather than time.",
        "",
        *_disturbed(results),
        f"![times beside those of scikit-image]({plot})",
        "",
        *table(("system", "what it is"), [(name, TITLES[name]) for name in used]),
        "",
    ]
    for case in sorted(cases, key=lambda case: case.name):
        lines += _case(case, results[case.name])
    return "\n".join(lines)


def _disturbed(results: Results) -> list[str]:
    """A warning, where others were at work on the machine."""
    seen = [used for found in results.values() for measured in found.values() for used in measured.foreign]
    if not seen or statistics.mean(seen) < _QUIET:
        return []
    return [
        f"**Others used {statistics.mean(seen):.1f} processors on average during this run: do not quote its times.**",
        "",
    ]


def _case(case: Case, found: dict[str, Measured]) -> list[str]:
    size = " × ".join(map(str, case.shape))
    block = " × ".join(map(str, case.block))
    batch = f", {case.batch} blocks a task where batched" if case.batch > 1 else ""
    note = f" Note: {case.note}." if case.note else ""
    missing = [name for name in case.systems if name not in found]
    left_out = f" Left out: {', '.join(missing)}." if missing else ""
    lines = [
        f"### {case.name}: {WORKLOADS[case.workload].title}",
        "",
        f"{size}, {case.blocks:,} blocks of {block}{batch}, {case.format}.{note}{left_out}",
        "",
    ]
    rows = [_row(name, measured, found) for name, measured in found.items()]
    head = ("system", "n", "median s", "min .. max s", "× a", "× f", "CPU s", "foreign", "memory MB", "beside a")
    return [*lines, *table(head, rows), ""]


def _row(name: str, measured: Measured, found: dict[str, Measured]) -> tuple[str, ...]:
    shown = f"**{name}**" if name in ("lepton", "inline") else name
    if not measured.seconds:
        return (shown, "0", "-", "-", "-", "-", "-", "-", "-", measured.failure.replace("|", "\\|"))
    return (
        shown,
        str(len(measured.seconds)),
        f"{measured.median:.2f}" if measured.median >= 10 else f"{measured.median:.3f}",
        f"{min(measured.seconds):.2f} .. {max(measured.seconds):.2f}",
        _ratio(measured, found.get("a")),
        _ratio(measured, found.get("f")),
        f"{statistics.median(measured.cpu):.2f}",
        f"{statistics.median(measured.foreign):.1f}",
        f"{max(measured.memory) / 2**20:.0f}",
        "; ".join(dict.fromkeys(measured.verdicts)) + (f"; {measured.failure}" if measured.failure else ""),
    )


def _ratio(measured: Measured, other: Measured | None) -> str:
    return f"{measured.median / other.median:.2f}" if other is not None and other.seconds else "-"
