"""What a plan will do, and what a job did, in words."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from lepton_celery.catalogue.source import SOURCE
from lepton_celery.graph.nodes import Node
from lepton_celery.ledger.base import JobInfo, JobState, StageTimes
from lepton_celery.planning.cost import keep as costs
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.planning.cost.predict import WAVE_BATCHES
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.planner import Limits, Options, alternatives, make_plan

_HIDDEN = {
    "lepton.source": "read",
    "lepton.extent": "min and max",
    "lepton.histogram": "histogram",
    "lepton.any_negative": "any negative",
    "lepton.digit": "rank search",
    "lepton.label_blocks": "label blocks",
    "lepton.relabel": "number labels",
    "lepton.decide_components": "label blocks",
    "lepton.where_true": "keep components",
    "lepton.table": "region table",
    "lepton.objects": "bounding boxes",
    "lepton.measured_table": "region table",
    "lepton.select": "slice",
    "lepton.rescale": "rescale_intensity",
    "lepton.unsharp": "unsharp_mask",
    "lepton.unsharp_clipped": "unsharp_mask",
}


def explain(
    *nodes: Node,
    block_shape: tuple[int, ...] | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
    cost: CostModel | None = None,
) -> str:
    """How lazy nodes would be computed, and why: stages, blocks, bytes, memory, predicted times, and what else there was.

    Args:
        nodes: what would be computed together.
        block_shape: pixels per axis; None: chosen.
        workers: worker processes; None: one per processor here.
        limits: what the plan may ask for.
        cost: what work costs; None: the model of this folder.

    Raises:
        InputError: the plan is refused.
    """
    options = Options(
        block_shape=block_shape,
        workers=workers or os.cpu_count() or 1,
        limits=limits or Limits(),
        cost=cost or costs.of_folder(),
    )
    return explain_outputs({str(at): node for at, node in enumerate(nodes)}, options)


def explain_outputs(outputs: Mapping[str, Node], options: Options) -> str:
    """The same for outputs by path."""
    plan = make_plan(outputs, options)
    lines = [explain_plan(plan, options.limits.worker_memory_bytes)]
    others = alternatives(outputs, options, plan)
    if others:
        lines.append(f"instead of {duration(plan.predicted_s)}")
        width = max(len(other.what) for other in others)
        for other in others:
            lines.append(f"   {duration(other.plan.predicted_s):>10}  {other.what:{width}}  {_at_once(other.plan)}")
    return "\n".join(lines)


def _at_once(plan: Plan) -> str:
    memory = max(stage.predicted.memory_bytes for stage in plan.stages)
    batches = max(-(-len(stage.grid) // stage.batch_blocks) for stage in plan.stages)
    return f"{size(memory)} in each worker, {_count(batches, 'batch')} at most"


def explain_plan(plan: Plan, limit_bytes: int | None = None) -> str:
    """A plan in words, a few lines a stage."""
    lines = []
    of_limit = "" if limit_bytes is None else f" of {size(limit_bytes)}"
    for at, stage in enumerate(plan.stages):
        predicted = stage.predicted
        blocks = f"{_count(len(stage.grid), 'block')} of {'×'.join(map(str, stage.block_shape))}"
        halo = f"halo {max(predicted.halo)} px" if any(predicted.halo) else "no halo"
        batches = -(-len(stage.grid) // stage.batch_blocks)
        sent = f"{_count(batches, 'batch')} in {_count(-(-batches // WAVE_BATCHES), 'wave')}"
        work = f"compute {duration(predicted.compute_s)}, communication {duration(predicted.communication_s)}"
        reads = f"reads {size(predicted.read_bytes)}"
        if predicted.read_bytes:
            reads += f" ({_times(predicted.halo_times)} for the halo, {_times(predicted.chunk_times)} for whole chunks)"
        alone = f", then {duration(predicted.merge_s)} merging alone" if predicted.merge_s >= 0.005 else ""
        lines += [
            f"stage {at + 1}/{len(plan.stages)}  {', '.join(_work(plan, at))}",
            f"   {blocks}, {halo}, {sent} · {size(predicted.memory_bytes)}{of_limit} in each worker",
            f"   {reads}, writes {size(predicted.write_bytes)}",
            f"   about {duration(predicted.wall_s)}: worker time {work}{alone}",
        ]
    lines.append(f"{_count(plan.blocks, 'block')} in all, about {duration(plan.predicted_s)} on {_workers(plan)}")
    lines.append(f"figures: {plan.costs}")
    return "\n".join(lines)


def _times(factor: float) -> str:
    return f"×{factor:.2f}" if factor < 10 else f"×{factor:.0f}"


def _workers(plan: Plan) -> str:
    return _count(plan.workers, "worker")


def _work(plan: Plan, at: int) -> Sequence[str]:
    """What a stage does, in the order in which it does it."""
    stage = plan.stages[at]
    seen: set[int] = set()
    stack = [*stage.stores, *stage.reduces]
    combined = [f"{_word(plan.nodes[index].operation)} (groups of blocks)" for index in stage.combines]
    while stack:
        index = stack.pop()
        if index in seen:
            continue
        seen.add(index)
        reads = plan.is_read(index, at) and index not in stage.stores
        if not reads and plan.nodes[index].operation != SOURCE:
            stack += plan.images_of(plan.nodes[index]).values()
    words = []
    for index in sorted(seen):
        operation = plan.nodes[index].operation
        if plan.is_read(index, at) and index not in stage.stores:
            words.append("read input" if operation == SOURCE else f"read {_word(operation)}")
        else:
            words.append(_word(operation) + (" (kept)" if plan.kept.get(index) == at else ""))
    return words + combined


def _word(operation: str) -> str:
    return _HIDDEN.get(operation, operation.rpartition(".")[2])


def _count(number: int, noun: str) -> str:
    plural = {"batch": "batches"}.get(noun, noun + "s")
    return f"{number:,} {noun if number == 1 else plural}"


def duration(seconds: float) -> str:
    """Seconds in words: `0.04 s`, `12.3 s`, `3 min 20 s`."""
    if seconds >= 100:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s"
    return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"


def size(number: float) -> str:
    """Bytes in words: `1.5 GB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if round(number) < 1000 or unit == "TB":
            return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError("unreachable")


def progress_of(info: JobInfo, plan: Plan) -> float:
    """The share of a job that is done, 0 to 1, its stages weighed by their predicted time."""
    if info.state is JobState.DONE:
        return 1.0
    weights = [stage.predicted.wall_s for stage in plan.stages]
    done = sum(weights[: info.stage_index])
    if info.blocks_total:
        done += weights[info.stage_index] * info.blocks_done / info.blocks_total
    return done / sum(weights)


def summarize(info: JobInfo, plan: Plan) -> str:
    """What a finished job took, in two lines."""
    seconds = (info.finished_at or info.updated_at) - info.created_at
    stats = info.stats
    moved = stats.get("read_bytes", 0.0) + stats.get("write_bytes", 0.0)
    compute = stats.get("compute_s", 0.0)
    communicate = stats.get("read_s", 0.0) + stats.get("write_s", 0.0)
    return (
        f"{_count(plan.blocks, 'block')} in {_count(len(plan.stages), 'stage')}, {size(moved)} moved\n"
        f"{duration(seconds)} (predicted {duration(plan.predicted_s)} on {_workers(plan)}); "
        f"worker time: computing {duration(compute)}, reading and writing {duration(communicate)}"
    )


def compare(info: JobInfo, plan: Plan) -> str:
    """Predicted beside actual, a line a stage: time, and of all workers together computing (C) and all else (W)."""
    rows: list[tuple[str, ...]] = [("", "time", "", "C", "", "W", ""), ("stage", *("predicted", "actual") * 3)]
    for at, stage in enumerate(plan.stages):
        predicted, actual = stage.predicted, _actual(info, plan, at)
        pairs = zip((predicted.wall_s, predicted.compute_s, predicted.communication_s), actual, strict=True)
        cells = [text for pair in pairs for text in (duration(pair[0]), "-" if pair[1] is None else duration(pair[1]))]
        rows.append((f"{at + 1} {', '.join(_work(plan, at))}", *cells))
    began = next(iter(info.stage_times.values()), StageTimes()).began
    waited = None if began is None else began - info.created_at
    rows.append(("before", duration(plan.begin_s), "-" if waited is None else duration(waited), *("",) * 4))
    widths = [max(len(row[at]) for row in rows) for at in range(7)]
    widths[0] = min(widths[0], _LONGEST)
    lines = []
    for name, *cells in rows:
        short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 2]} …"
        lines.append(f"{short:{widths[0]}}  " + "  ".join(f"{c:>{w}}" for c, w in zip(cells, widths[1:], strict=True)))
    return "\n".join([*(line.rstrip() for line in lines), f"figures: {plan.costs}"])


_LONGEST = 48
"""Characters of a stage's work in a table."""


def _actual(info: JobInfo, plan: Plan, at: int) -> tuple[float | None, float | None, float | None]:
    """What a stage took: seconds from beginning to end, computing, and all else of its workers; None: not known."""
    slots = [slot for slot in info.stage_times if plan.place(slot)[0] == at]
    spans = [
        times.ended - times.began
        for times in (info.stage_times[slot] for slot in slots)
        if times.began is not None and times.ended is not None
    ]
    found = [sums for slot, sums in info.stage_stats.items() if plan.place(slot)[0] == at]
    if not found:
        return (sum(spans) if spans else None), None, None
    compute = sum(sums.get("compute_s", 0.0) for sums in found)
    busy = sum(sums.get("batch_s", sums.get("block_s", 0.0)) for sums in found)
    return (sum(spans) if spans else None), compute, max(0.0, busy - compute)
