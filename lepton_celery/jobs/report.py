"""Reports of jobs as text: progress, and measured times beside predicted ones."""

from __future__ import annotations

import time

from lepton_celery.grid import StageIndex
from lepton_celery.ledger.info import JobInfo, JobState, StageTimes
from lepton_celery.planning.explain import counted, duration, size, work_of
from lepton_celery.planning.plan import Plan

_MAX_CHARS = 48
"""Longest description of a stage in a table, in characters."""


def progress_of(info: JobInfo) -> float:
    """The fraction of a job that is done, 0 to 1; stages count by their predicted times, if somebody noted those."""
    if info.state is JobState.DONE:
        return 1.0
    weights = info.predicted_s if len(info.predicted_s) == info.stages else (1.0,) * info.stages
    done = sum(weights[: info.stage_index])
    if info.blocks_total:
        done += weights[info.stage_index] * info.blocks_done / info.blocks_total
    return done / (sum(weights) or 1.0)


def took_s(info: JobInfo) -> float:
    """Seconds that a job took, or that it has run so far."""
    ended = info.finished_at or (time.time() if info.state.is_open else info.updated_at)
    return max(0.0, ended - info.created_at)


def ago(seconds: float) -> str:
    """An age as text, in its largest unit: `12 s ago`, `3 h ago`, `2 days ago`."""
    for unit, length_s in (("day", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if (count := int(seconds // length_s)) >= 1:
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''} ago"
    return f"{max(0, int(seconds))} s ago"


def summarize(info: JobInfo, plan: Plan) -> str:
    """The time and the bytes of a finished job, in two lines."""
    stats = info.stats
    moved = stats.get("read_bytes", 0.0) + stats.get("write_bytes", 0.0)
    communication_s = stats.get("read_s", 0.0) + stats.get("write_s", 0.0)
    return (
        f"{counted(plan.blocks, 'block')} in {counted(len(plan.stages), 'stage')}, {size(moved)} moved\n"
        f"{duration(took_s(info))} (predicted {duration(plan.predicted_s)} on {counted(plan.workers, 'worker')}); "
        f"worker time: computing {duration(stats.get('compute_s', 0.0))}, "
        f"reading and writing {duration(communication_s)}"
    )


def compare(info: JobInfo, plan: Plan) -> str:
    """A table of predicted and actual times of each stage: elapsed, and all workers' computing (C) and other work (W)."""
    rows: list[tuple[str, ...]] = [("", "time", "", "C", "", "W", ""), ("stage", *("predicted", "actual") * 3)]
    for number, stage in enumerate(plan.stages):
        index, predicted = StageIndex(number), stage.predicted
        expected = (predicted.wall_s, predicted.compute_s, predicted.communication_s)
        pairs = zip(expected, actual_times(info, plan, index), strict=True)
        cells = [cell for guess, actual in pairs for cell in (duration(guess), _known(actual))]
        rows.append((f"{number + 1} {', '.join(work_of(plan, index))}", *cells))
    began = next(iter(info.stage_times.values()), StageTimes()).began
    waited = None if began is None else began - info.created_at
    rows.append(("before", duration(plan.startup_s), _known(waited), *("",) * 4))
    return "\n".join([*_table(rows), f"figures: {plan.costs}"])


def _known(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines, the first column aligned left and the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[0] = min(widths[0], _MAX_CHARS)
    lines = []
    for name, *cells in rows:
        short = name if len(name) <= _MAX_CHARS else f"{name[: _MAX_CHARS - 2]} …"
        aligned = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        lines.append(f"{short:{widths[0]}}  {aligned}".rstrip())
    return lines


def actual_times(info: JobInfo, plan: Plan, index: StageIndex) -> tuple[float | None, float | None, float | None]:
    """Seconds that a stage took: elapsed, its workers' computing, and their other work; None if unknown."""
    spans = [
        times.ended - times.began
        for number, times in info.stage_times.items()
        if plan.stage_run(number).stage == index and times.began is not None and times.ended is not None
    ]
    wall_s = sum(spans) if spans else None
    rounds = [sums for number, sums in info.stage_stats.items() if plan.stage_run(number).stage == index]
    if not rounds:
        return wall_s, None, None
    compute_s = sum(sums.get("compute_s", 0.0) for sums in rounds)
    busy_s = sum(sums.get("batch_s", sums.get("block_s", 0.0)) for sums in rounds)
    return wall_s, compute_s, max(0.0, busy_s - compute_s)
