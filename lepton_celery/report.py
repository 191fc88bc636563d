"""What a plan will do, and what a job did, in words."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lepton_celery.graph import SOURCE, Node
from lepton_celery.ledger.base import JobInfo, JobState
from lepton_celery.plan import Plan
from lepton_celery.planner import Limits, Options, make_plan

_HIDDEN = {
    "lepton.source": "read",
    "lepton.extent": "min and max",
    "lepton.histogram": "histogram",
    "lepton.any_negative": "any negative",
    "lepton.digit": "rank search",
    "lepton.label_blocks": "label blocks",
    "lepton.relabel": "number labels",
    "lepton.settle_blocks": "label blocks",
    "lepton.holds": "keep components",
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
) -> str:
    """How lazy nodes would be computed: stages, blocks, halo, bytes, memory per worker and predicted time.

    Args:
        nodes: what would be computed together.
        block_shape: pixels per axis; None: chosen.
        workers: worker processes; None: one per processor here.
        limits: what the plan may ask for.

    Raises:
        InputError: the plan is refused.
    """
    workers = workers or os.cpu_count() or 1
    options = Options(block_shape=block_shape, workers=workers, limits=limits or Limits())
    return explain_plan(make_plan({str(at): node for at, node in enumerate(nodes)}, options), workers)


def explain_plan(plan: Plan, workers: int) -> str:
    """A plan in words, a line or two a stage."""
    lines = []
    total = 0.0
    for at, stage in enumerate(plan.stages):
        predicted = stage.predicted
        seconds = (predicted.compute_s + predicted.communication_s) / workers
        total += seconds
        block = "×".join(map(str, stage.block_shape))
        halo = f"halo {max(predicted.halo)} px" if any(predicted.halo) else "no halo"
        lines.append(f"stage {at + 1}/{len(plan.stages)}  {', '.join(_work(plan, at))}")
        batches = _count(-(-len(stage.grid) // stage.batch_blocks), "batch")
        lines.append(
            f"   {_count(len(stage.grid), 'block')} of {block}, {halo}, {batches}"
            f" · reads {size(predicted.read_bytes)}, writes {size(predicted.write_bytes)}"
            f" · {size(predicted.memory_bytes)} in each worker"
            f" · about {duration(seconds)} (compute {duration(predicted.compute_s)},"
            f" communication {duration(predicted.communication_s)})"
        )
    lines.append(f"{_count(plan.blocks, 'block')} in all, about {duration(total)} on {_count(workers, 'worker')}")
    return "\n".join(lines)


def predicted_seconds(plan: Plan, workers: int) -> float:
    """Predicted time of a job on so many workers, T = Σ (C_i + W_i)."""
    return sum(stage.predicted.compute_s + stage.predicted.communication_s for stage in plan.stages) / max(1, workers)


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
    weights = [stage.predicted.compute_s + stage.predicted.communication_s for stage in plan.stages]
    done = sum(weights[: info.stage_index])
    if info.blocks_total:
        done += weights[info.stage_index] * info.blocks_done / info.blocks_total
    return done / sum(weights)


def summarize(info: JobInfo, plan: Plan, workers: int) -> str:
    """What a finished job took, predicted beside actual."""
    seconds = (info.finished_at or info.updated_at) - info.created_at
    stats = info.stats
    moved = stats.get("read_bytes", 0.0) + stats.get("write_bytes", 0.0)
    compute = stats.get("compute_s", 0.0)
    communicate = stats.get("read_s", 0.0) + stats.get("write_s", 0.0)
    return (
        f"{_count(plan.blocks, 'block')} in {_count(len(plan.stages), 'stage')}, {size(moved)} moved\n"
        f"{duration(seconds)} (predicted {duration(predicted_seconds(plan, workers))} on {_count(workers, 'worker')}); "
        f"worker time: computing {duration(compute)}, reading and writing {duration(communicate)}"
    )
