"""Refines the cost model by what a job measured of itself.

Each line of a stage's prediction is compared with what its work took. The figure moves towards that by a share that grows
with the work measured and shrinks with the work it rests on, of which only the last seconds count. One job moves a
known figure by a factor of `MOST` at the most: a machine that was busy with something else must not spoil it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from lepton_celery.ledger.base import JobInfo, StageTimes
from lepton_celery.planning.cost.model import CostModel, Figure, Overheads, function_of
from lepton_celery.planning.plan import Part, Plan

MOST = 3.0
"""Factor by which a job's measurement may differ from a figure that was measured before, …"""
_MOST_UNKNOWN = 50.0
"""… and from one that was not."""
_CLEARLY_LESS = 0.6
"""Much makes work take longer than it should (a busy machine, what is loaded the first time), and nothing less: …"""
_LESS_WEIGHT = 0.3
"""… so a job that took so much less than a figure says moves it by this share at the least."""
_REMEMBERED_S = 10.0
"""Seconds of work that a figure rests on at most: what is older is outweighed."""
_LEAST_S = 0.001
"""Less work than this tells nothing."""
_SHARE = 0.3
"""How far a fixed cost moves, …"""
_MOST_S = {"block_s": 0.01, "receipt_s": 0.001, "batch_s": 0.05, "stage_s": 1.0}
"""… and what it is at the most: beyond, workers waited for something else, such as another job."""


def refine(model: CostModel, plan: Plan, info: JobInfo) -> CostModel:
    """The model, refined by a job that is done."""
    stages = _by_stage(plan, info)
    for at, sums in stages.items():
        model = _refined_parts(model, plan, at, sums)
    model = _refined_ends(model, plan, info)
    model = replace(model, overheads=_refined_overheads(model.overheads, plan, info, stages))
    origin = "refined" if model.origin == "calibrated" else model.origin
    return replace(model, origin=origin, jobs=model.jobs + 1)


def _by_stage(plan: Plan, info: JobInfo) -> dict[int, dict[str, float]]:
    """Statistics by stage of the plan, its rounds added up."""
    found: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for slot, sums in info.stage_stats.items():
        for name, value in sums.items():
            found[plan.place(slot)[0]][name] += value
    return {at: dict(sums) for at, sums in found.items()}


def _refined_parts(model: CostModel, plan: Plan, at: int, sums: Mapping[str, float]) -> CostModel:
    """By what computing, reading and writing took; several lines of one node share what it took."""
    predicted = plan.stages[at].predicted
    done = sums.get("blocks", 0.0) / predicted.blocks if predicted.blocks else 0.0
    together: dict[tuple[str, int], list[Part]] = defaultdict(list)
    for part in predicted.parts:
        together[part.kind, part.node].append(part)
    for (kind, node), parts in together.items():
        model = _moved(model, parts, done, sums.get(f"{kind} {node}", 0.0))
    return model


def _moved(model: CostModel, parts: Iterable[Part], done: float, measured_s: float, fixed_s: float = 0.0) -> CostModel:
    """The figures of some lines, moved towards what they took together."""
    parts = list(parts)
    known = [_figure(model, part) for part in parts]
    each = [
        figure.seconds_for(part.units * done, calls=part.calls * done, taps=part.taps)
        for figure, part in zip(known, parts, strict=True)
    ]
    expected_s = sum(each)
    if measured_s < _LEAST_S or expected_s <= 0:
        return model
    took = max(measured_s - fixed_s, expected_s / MOST) if fixed_s else measured_s
    for figure, part, expected in zip(known, parts, each, strict=True):
        share = expected / expected_s
        if share < 0.05:
            continue
        moved = towards(figure, part, done, took / expected_s, share * took)
        model = model.with_figures(part.kind, {part.key: moved})
    return model


def _figure(model: CostModel, part: Part) -> Figure:
    """The figure of a line; where none is known, the one that the prediction was made with."""
    name, _, dtype = part.key.partition(" ")
    units, calls = part.units * (1 + part.taps), part.calls
    spread = Figure(part.seconds * 1e9 / units, 0, part.seconds * 1e9 / units) if units else Figure(0, 0)
    otherwise = spread if units else Figure(0, part.seconds * 1e9 / max(calls, 1))
    known = model.figures.get(part.kind, {})
    if part.kind == "compute" and not any(function_of(key) == function_of(name) for key in known):
        return otherwise
    return model.figure(part.kind, name, dtype)


def towards(figure: Figure, part: Part, done: float, ratio: float, measured_s: float) -> Figure:
    """A figure moved towards `ratio` times the seconds that it says of a line.

    What is said of calls, units and taps moves by their shares of the time: a job of tiny blocks tells of calls.
    """
    most = MOST if figure.seconds else _MOST_UNKNOWN
    ratio = min(most, max(1 / most, ratio))
    weight = measured_s / (measured_s + min(figure.seconds, _REMEMBERED_S)) if figure.seconds else 1.0
    weight = min(weight, 0.5) if figure.seconds >= 0.05 else weight
    weight = max(weight, _LESS_WEIGHT) if ratio < _CLEARLY_LESS else weight
    shares = [part.calls * figure.call_ns, part.units * figure.unit_ns, part.units * part.taps * figure.tap_ns]
    total = sum(shares)
    shares = [share / total for share in shares]
    change = weight * (ratio - 1) / sum(share**2 for share in shares)
    call, unit, tap = (max(0.05, 1 + change * share) for share in shares)
    return Figure(
        figure.unit_ns * unit,
        figure.call_ns * call,
        figure.tap_ns * tap,
        min(_REMEMBERED_S, figure.seconds + measured_s),
    )


def _refined_ends(model: CostModel, plan: Plan, info: JobInfo) -> CostModel:
    """By what merges took: from a stage's last receipt to its end."""
    for slot, times in info.stage_times.items():
        at = plan.place(slot)[0]
        if times.received is None or times.ended is None:
            continue
        parts = [part for part in plan.stages[at].predicted.parts if part.kind in ("merge", "publish")]
        took = times.ended - times.received
        if sum(part.seconds for part in parts) > model.overheads.stage_s:
            model = _moved(model, parts, 1.0, took, fixed_s=model.overheads.stage_s)
        else:
            rest = took - sum(part.seconds for part in parts)
            model = replace(model, overheads=_nearer(model.overheads, "stage_s", rest))
    return model


def _refined_overheads(
    overheads: Overheads, plan: Plan, info: JobInfo, stages: Mapping[int, Mapping[str, float]]
) -> Overheads:
    """By what blocks and batches took besides their work, and by what workers waited between batches."""
    sums: dict[str, float] = defaultdict(float)
    for found in stages.values():
        for name, value in found.items():
            sums[name] += value
    if sums["boxes"]:
        work = sums["compute_s"] + sums["read_s"] + sums["write_s"]
        combined = sum(value for name, value in sums.items() if name.startswith("combine "))
        overheads = _nearer(overheads, "block_s", (sums["block_s"] - work - combined) / sums["boxes"])
    if sums["batches"]:
        waits = [_wait_s(plan, info.stage_times.get(at, StageTimes()), found) for at, found in stages.items()]
        known = {"batch_s": sums["batches"] * overheads.batch_s, "receipt_s": sums["blocks"] * overheads.receipt_s}
        measured = sums["batch_s"] - sums["block_s"] + sum(waits)
        # each moves by its share: batches of few blocks tell what a batch costs, those of many what a receipt does
        off = measured - sum(known.values())
        squares = sum(value**2 for value in known.values())
        for name, value in known.items():
            overheads = _nearer(overheads, name, getattr(overheads, name) * (1 + off * value / squares))
    return overheads


def _wait_s(plan: Plan, times: StageTimes, sums: Mapping[str, float]) -> float:
    """Seconds that workers waited between a stage's batches, without the idle end that is reckoned with anyway."""
    if times.began is None or times.received is None or not sums.get("batches"):
        return 0.0
    busy = sums.get("batch_s", 0.0)
    idle = busy / sums["batches"] * (plan.workers - 1) / 2
    return max(0.0, (times.received - times.began) * plan.workers - busy - idle)


def _nearer(overheads: Overheads, name: str, measured_s: float) -> Overheads:
    known: float = getattr(overheads, name)
    bounded = min(MOST * known, _MOST_S[name], max(known / MOST, measured_s))
    return replace(overheads, **{name: known + _SHARE * (bounded - known)})
