"""Refines the cost model by the measurements of a finished job.

Each line of a stage's prediction is compared with the time of its work in the job, and its figure moves towards the
measurement: further if the job measured more work, less far if the figure rests on more work already. One job changes a
measured figure by a factor of `MAX_RATIO` at most, because the machine may have been busy with other work.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from lepton_celery.grid import StageIndex, StageNumber
from lepton_celery.ledger.info import JobInfo, StageTimes
from lepton_celery.planning.cost.model import CostModel, Figure, Overheads, function_of
from lepton_celery.planning.plan import CostLine, Plan

MAX_RATIO = 3.0
"""Largest ratio between a job's measurement and a measured figure; larger ones are clipped to it."""
_MAX_RATIO_SHIPPED = 50.0
"""Largest ratio between a job's measurement and a shipped figure; larger ones are clipped to it."""
_FAST_RATIO = 0.6
"""A job that took less than this share of the predicted time counts as unexpectedly fast."""
_MIN_FAST_WEIGHT = 0.3
"""Smallest share by which an unexpectedly fast job moves a figure. Contention slows work down and nothing speeds it up, so a
fast job is better evidence than a slow one."""
_MAX_WEIGHT = 0.5
"""Largest share by which a job moves a figure that rests on enough work."""
_ENOUGH_S = 0.05
"""Seconds of measured work from which a figure rests on enough work."""
_MEMORY_S = 10.0
"""Largest number of seconds of earlier work by which a figure is weighed against a measurement."""
_MIN_WORK_S = 0.001
"""Seconds of work below which a measurement is ignored."""
_MIN_SHARE = 0.05
"""Share of a measurement below which a line's figure is not refined."""
_MIN_FACTOR = 0.05
"""Smallest factor by which a part of a figure changes."""
_OVERHEAD_WEIGHT = 0.3
"""Share by which a job moves a fixed cost towards its measurement."""
_MAX_OVERHEAD_S = {"block_s": 0.01, "receipt_s": 0.001, "batch_s": 0.05, "stage_s": 1.0}
"""Largest plausible fixed costs; a worker that measures more has waited for something else, such as another job."""

Sums = dict[str, float]
"""Sums of a stage's measurements by name; see `execution.timings`."""


def refine(model: CostModel, plan: Plan, info: JobInfo) -> CostModel:
    """The model, refined by a finished job."""
    sums_of: dict[StageIndex, Sums] = defaultdict(lambda: defaultdict(float))  # of all rounds of each stage
    for number, stats in info.stage_stats.items():
        for name, value in stats.items():
            sums_of[plan.stage_run(number).stage][name] += value
    for index, sums in sums_of.items():
        model = _refined_lines(model, plan, index, sums)
    model = _refined_merges(model, plan, info)
    model = replace(model, overheads=_refined_overheads(model.overheads, plan, info, sums_of))
    return replace(model, jobs=model.jobs + 1)


def _refined_lines(model: CostModel, plan: Plan, index: StageIndex, sums: Sums) -> CostModel:
    """The model, refined by the times of computing, reading and writing; several lines of one node share its time."""
    predicted = plan.stages[index].predicted
    done = sums.get("blocks", 0.0) / predicted.blocks if predicted.blocks else 0.0
    lines_of: dict[tuple[str, int], list[CostLine]] = defaultdict(list)
    for line in predicted.lines:
        lines_of[line.kind, line.node].append(line)
    for (kind, node), lines in lines_of.items():
        model = _moved(model, lines, done, sums.get(f"{kind} {node}", 0.0))
    return model


def _moved(model: CostModel, lines: list[CostLine], done: float, measured_s: float, fixed_s: float = 0.0) -> CostModel:
    """The model with the figures of some lines moved towards the time that they took together.

    Args:
        done: number of blocks done, as a share of the predicted number.
        measured_s: seconds of the lines and of `fixed_s`.
        fixed_s: a fixed cost that is not refined here.
    """
    known = [_figure(model, line) for line in lines]
    expected = [
        figure.seconds_for(line.units * done, calls=line.calls * done, taps=line.taps)
        for figure, line in zip(known, lines, strict=True)
    ]
    total_s = sum(expected)
    if measured_s < _MIN_WORK_S or total_s <= 0:
        return model
    work_s = max(measured_s - fixed_s, total_s / MAX_RATIO) if fixed_s else measured_s
    for figure, line, expected_s in zip(known, lines, expected, strict=True):
        share = expected_s / total_s
        if share >= _MIN_SHARE:
            moved = towards(figure, line, work_s / total_s, share * work_s)
            model = model.with_figures(line.kind, {line.key: moved})
    return model


def _figure(model: CostModel, line: CostLine) -> Figure:
    """The figure of a line; if the model has none, the figure that the prediction was made with."""
    known = model.figures.get(line.kind, {})
    if line.kind != "compute" or any(function_of(key) == function_of(line.key) for key in known):
        return model.figure(line.kind, line.key)
    units = line.units * (1 + line.taps)
    if not units:
        return Figure(0, line.seconds * 1e9 / max(line.calls, 1))
    unit_ns = line.seconds * 1e9 / units
    return Figure(unit_ns, 0, unit_ns)


def towards(figure: Figure, line: CostLine, ratio: float, measured_s: float) -> Figure:
    """A figure moved towards `ratio` times the seconds that it predicts for a line.

    Its costs per call, unit and tap move in proportion to their shares of the time: a job of tiny blocks corrects mainly the
    cost per call.
    """
    largest = MAX_RATIO if figure.seconds else _MAX_RATIO_SHIPPED
    ratio = min(largest, max(1 / largest, ratio))
    weight = measured_s / (measured_s + min(figure.seconds, _MEMORY_S)) if figure.seconds else 1.0
    weight = min(weight, _MAX_WEIGHT) if figure.seconds >= _ENOUGH_S else weight
    weight = max(weight, _MIN_FAST_WEIGHT) if ratio < _FAST_RATIO else weight
    parts = [line.calls * figure.call_ns, line.units * figure.unit_ns, line.units * line.taps * figure.tap_ns]
    shares = [part / sum(parts) for part in parts]
    change = weight * (ratio - 1) / sum(share**2 for share in shares)
    call, unit, tap = (max(_MIN_FACTOR, 1 + change * share) for share in shares)
    seconds = min(_MEMORY_S, figure.seconds + measured_s)
    return Figure(figure.unit_ns * unit, figure.call_ns * call, figure.tap_ns * tap, seconds)


def _refined_merges(model: CostModel, plan: Plan, info: JobInfo) -> CostModel:
    """The model, refined by the times of merges, each from a stage's last receipt to its end."""
    for number, times in info.stage_times.items():
        if times.received is None or times.ended is None or times.ended < times.received:
            continue  # the last if the server's clock was set back
        predicted = plan.stage_of(number).predicted
        lines = [line for line in predicted.lines if line.kind in ("merge", "publish")]
        measured_s, expected_s = times.ended - times.received, sum(line.seconds for line in lines)
        if expected_s > model.overheads.stage_s:
            model = _moved(model, lines, 1.0, measured_s, fixed_s=model.overheads.stage_s)
        else:
            model = replace(model, overheads=_nearer(model.overheads, "stage_s", measured_s - expected_s))
    return model


def _refined_overheads(overheads: Overheads, plan: Plan, info: JobInfo, sums_of: dict[StageIndex, Sums]) -> Overheads:
    """Fixed costs, refined by the time of blocks and batches in addition to their work, and by the waits between batches."""
    sums = defaultdict(float, info.stats)
    if sums["boxes"]:
        work_s = sums["compute_s"] + sums["read_s"] + sums["write_s"]
        combined_s = sum(value for name, value in sums.items() if name.startswith("combine "))
        overheads = _nearer(overheads, "block_s", (sums["block_s"] - work_s - combined_s) / sums["boxes"])
    if sums["batches"]:
        waits = [_wait_s(plan, info.stage_times.get(StageNumber(index)), found) for index, found in sums_of.items()]
        known = {"batch_s": sums["batches"] * overheads.batch_s, "receipt_s": sums["blocks"] * overheads.receipt_s}
        measured_s = sums["batch_s"] - sums["block_s"] + sum(waits)
        # each moves in proportion to its share: small batches correct mainly `batch_s`, large ones `receipt_s`
        excess_s = measured_s - sum(known.values())
        squares = sum(value**2 for value in known.values())
        for name, value in known.items():
            overheads = _nearer(overheads, name, getattr(overheads, name) * (1 + excess_s * value / squares))
    return overheads


def _wait_s(plan: Plan, times: StageTimes | None, sums: Sums) -> float:
    """Seconds that workers waited between a stage's batches, without the idle time at its end, which predictions include."""
    if times is None or times.began is None or times.received is None or not sums.get("batches"):
        return 0.0
    busy_s = sums.get("batch_s", 0.0)
    idle_s = busy_s / sums["batches"] * (plan.workers - 1) / 2
    return max(0.0, (times.received - times.began) * plan.workers - busy_s - idle_s)


def _nearer(overheads: Overheads, name: str, measured_s: float) -> Overheads:
    """The fixed costs with one of them moved towards its measurement."""
    known: float = getattr(overheads, name)
    believed = min(MAX_RATIO * known, _MAX_OVERHEAD_S[name], max(known / MAX_RATIO, measured_s))
    return replace(overheads, **{name: known + _OVERHEAD_WEIGHT * (believed - known)})
