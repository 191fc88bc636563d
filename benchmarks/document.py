"""Writes docs/benchmarks.md, whose sections are replaced one by one."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import targets
from benchmarks.cases import Case
from benchmarks.runner import Measured, Results
from benchmarks.systems import CANNOT, PEERS, TITLES
from benchmarks.workloads import WORKLOADS

HEAD = """# Benchmarks

The speed of lepton_celery beside its alternatives, how time and memory grow, and the cost of its ledger. These commands
measure everything here: `make bench` (ten minutes; peers and memory),
`make growth` (how time and memory grow, and a simulation of up to 10,000 workers), `python -m benchmarks.guarantee`,
`python -m benchmarks.small`, `python -m benchmarks.lanes` (small jobs beside large ones), `python -m benchmarks.crowd`
(a hundred jobs at once), `python -m benchmarks.steady` (thousands of jobs), `python -m benchmarks.damaged` (healthy jobs
beside damaged ones), `python -m benchmarks.prediction` and `python -m benchmarks.flower` (its pages for jobs).

<!-- the sections are written by these commands, one by one -->
"""

SECTIONS = (
    "peers",
    "small",
    "lanes",
    "crowd",
    "steady",
    "memory",
    "datapath",
    "growth",
    "simulation",
    "guarantee",
    "damaged",
    "prediction",
    "flower",
)
"""The sections in the order of the document."""

_QUIET = 0.3
"""Processors that other programs may use before the document warns; our own sampling uses about 0.1."""


def replace_section(path: Path, name: str, text: str) -> None:
    """Replace one section of the document, and leave the others unchanged."""
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
    """The lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def machine() -> str:
    """The machine and the versions of the packages, for a sentence of the document."""
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


def peers(cases: Sequence[Case], results: Results, *, plot: str, idle: float, left_out: Sequence[str]) -> str:
    """The section on peers."""
    used = [name for name in TITLES if any(name in found for found in results.values())]
    missing = [f"No time was left for {', '.join(left_out)}.", ""] if left_out else []
    lines = [
        "## Beside its peers",
        "",
        "The time of a job of lepton_celery, through Celery and from submission to result, divided by the time of the",
        "other system: below 1, lepton_celery is faster.",
        "",
        *table(
            ("workload", "× a", "× f", "× best of Dask", "× best of Ray", "× best plain Celery", "target"),
            targets.summary(cases, results),
        ),
        "",
        "In brackets: the fastest variant of the system, and the case, if it is not the first one of the workload.",
        "",
        *table(
            ("workload", "what is computed"),
            [(name, WORKLOADS[name].title) for name in dict.fromkeys(case.workload for case in cases)],
        ),
        "",
        *table(("system", "what it is"), [(name, TITLES[name]) for name in used]),
        "",
        f"![times of all systems beside that of lepton_celery]({plot})",
        "",
        *_disturbed(results),
        *missing,
        f"**How it was measured.** On {machine()}. Absolute times vary between machines and hours: compare ratios. In each",
        "case the systems take turns, and the table has medians of n runs. Differences under 10 % are not significant.",
        "Times include reading the input from the page cache and writing new files in memory (tmpfs), but not the start of",
        "workers and imports. Every system uses one BLAS thread. Every output is compared with that of scikit-image on the",
        "whole image. Memory is the largest sum of anonymous memory of all processes of a system, its broker included;",
        "memory that a process keeps from an earlier case counts. CPU is processor time of all processes of the system",
        "during the run. Foreign is the number of processors that others used meanwhile: our sampling and the waiting",
        f"systems use {idle:.2f} of a processor. Where foreign is not near 0, compare CPU rather than time.",
        "",
    ]
    for case in cases:
        if case.name not in left_out:
            lines += _case(case, results[case.name])
    return "\n".join(lines)


def _disturbed(results: Results) -> list[str]:
    """A warning if other programs used the machine during the measurements."""
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
    rows = [_row(name, found[name], found) for name in case.systems if name in found]
    rows += [
        (name, *["-"] * (len(_HEAD) - 2), why)
        for (workload, name), why in CANNOT.items()
        if workload == case.workload and not case.note
    ]
    return [*lines, *table(_HEAD, rows), ""]


_HEAD = (
    "system",
    "n",
    "median s",
    "min .. max s",
    "× a",
    "× f",
    "× best peer",
    "CPU s",
    "foreign",
    "memory MB",
    "beside a",
)


def _row(name: str, measured: Measured, found: dict[str, Measured]) -> tuple[str, ...]:
    shown = f"**{name}**" if name in ("lepton", "inline") else name
    if not measured.seconds:
        return (shown, "0", *["-"] * (len(_HEAD) - 3), measured.failure.replace("|", "\\|"))
    return (
        shown,
        str(len(measured.seconds)),
        f"{measured.median:.2f}" if measured.median >= 10 else f"{measured.median:.3f}",
        f"{min(measured.seconds):.2f} .. {max(measured.seconds):.2f}",
        _ratio(measured, found.get("a")),
        _ratio(measured, found.get("f")),
        _ratio(measured, targets.best_peer(found, PEERS)),
        f"{statistics.median(measured.cpu):.2f}",
        f"{statistics.median(measured.foreign):.1f}",
        f"{max(measured.memory) / 2**20:.0f}",
        "; ".join(dict.fromkeys(measured.verdicts)) + (f"; {measured.failure}" if measured.failure else ""),
    )


def _ratio(measured: Measured, other: Measured | None) -> str:
    return f"{measured.median / other.median:.2f}" if other is not None and other.seconds else "-"
