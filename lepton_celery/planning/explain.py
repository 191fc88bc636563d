"""`lepton.explain`: a plan and its alternatives as text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from lepton_celery.graph.nodes import Node
from lepton_celery.grid import StageIndex
from lepton_celery.planning.cost.keep import model_of_folder
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.planning.options import Limits, PlanOptions
from lepton_celery.planning.plan import Plan, Stage
from lepton_celery.planning.planner import alternatives, make_plan

_INTERNAL = {
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
"""The names that are shown for internal entries."""


def explain(
    *nodes: Node | Mapping[str, Node],
    block_shape: tuple[int, ...] | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
    cost: CostModel | None = None,
) -> str:
    """The plan for lazy nodes as text: stages, blocks, bytes, memory and predicted times, and the alternatives.

    An alternative that would save less than a tenth of the time counts as equally quick.

    Args:
        nodes: nodes that would be computed together, or the outputs of `submit` or `run`: a mapping from each path to its
            node. Paths tell the file formats, whose reading and writing is part of the prediction.
        block_shape: shape of a block in pixels; None to let the planner choose.
        workers: worker processes; None for one per processor of this machine.
        limits: limits of the plan.
        cost: the cost model; None for the model of this folder.

    Raises:
        InputError: the plan is refused.
    """
    workers = workers or os.cpu_count() or 1
    options = PlanOptions(block_shape, workers, limits=limits or Limits(), cost=cost or model_of_folder())
    return explain_outputs(_named(nodes), options)


def _named(nodes: Sequence[Node | Mapping[str, Node]]) -> dict[str, Node]:
    """The nodes by path, or by number if they have none."""
    named: dict[str, Node] = {}
    for number, given in enumerate(nodes):
        named |= given if isinstance(given, Mapping) else {str(number): given}
    return named


def explain_outputs(outputs: Mapping[str, Node], options: PlanOptions) -> str:
    """The plan for outputs by path, as text like that of `explain`."""
    planned = make_plan(outputs, options)
    lines = [explain_plan(planned.plan, options)]
    if others := alternatives(planned):
        lines.append(f"alternatives, instead of {duration(planned.plan.predicted_s)}")
        width = max(len(difference) for difference, _ in others)
        for difference, other in others:
            memory_bytes = max(stage.predicted.memory_bytes for stage in other.stages)
            batches = max(-(-len(stage.grid) // stage.batch_blocks) for stage in other.stages)
            demands = f"{size(memory_bytes)} in each worker, {counted(batches, 'batch')} at most"
            lines.append(f"   {duration(other.predicted_s):>10}  {difference:{width}}  {demands}")
    return "\n".join(lines)


def explain_plan(plan: Plan, options: PlanOptions) -> str:
    """A plan as text, a few lines for each stage."""
    lines = []
    for index, stage in enumerate(plan.stages):
        work = ", ".join(work_of(plan, StageIndex(index)))
        lines.append(f"stage {index + 1}/{len(plan.stages)}  {work}")
        lines += [f"   {line}" for line in _stage_lines(stage, options)]
    blocks, workers = counted(plan.blocks, "block"), counted(plan.workers, "worker")
    lines.append(f"{blocks} in all, about {duration(plan.predicted_s)} on {workers}")
    lines.append(f"figures: {plan.costs}")
    return "\n".join(lines)


def _stage_lines(stage: Stage, options: PlanOptions) -> list[str]:
    """The blocks, memory, bytes and predicted times of a stage, as lines of text."""
    predicted = stage.predicted
    blocks = f"{counted(len(stage.grid), 'block')} of {'×'.join(map(str, stage.block_shape))}"
    halo = f"halo {max(predicted.halo)} px" if any(predicted.halo) else "no halo"
    batches = -(-len(stage.grid) // stage.batch_blocks)
    sent = counted(batches, "batch")
    memory = f"{size(predicted.memory_bytes)} of {size(options.limits.worker_memory_bytes)} in each worker"
    reads = f"reads {size(predicted.read_bytes)}"
    if predicted.read_bytes:
        overread = f"{_factor(predicted.halo_overread)} for the halo"
        reads += f" ({overread}, {_factor(predicted.decode_overread)} for whole chunks)"
    work = f"compute {duration(predicted.compute_s)}, communication {duration(predicted.communication_s)}"
    alone = f", then {duration(predicted.merge_s)} merging alone" if predicted.merge_s >= 0.005 else ""
    return [
        f"{blocks}, {halo}, {sent} · {memory}",
        f"{reads}, writes {size(predicted.write_bytes)}",
        f"about {duration(predicted.wall_s)}: worker time {work}{alone}",
    ]


def _factor(factor: float) -> str:
    return f"×{factor:.2f}" if factor < 10 else f"×{factor:.0f}"


def work_of(plan: Plan, index: StageIndex) -> list[str]:
    """The steps of a stage in their order, as short texts."""
    stage = plan.stages[index]
    needed = {*stage.stores, *stage.reduces}
    words: list[str] = []
    for number, node in reversed(list(enumerate(plan.nodes))):
        if number not in needed:
            continue
        if plan.is_read(number, index) and number not in stage.stores:
            words.append("read input" if node.entry.is_source else f"read {_name(node.operation)}")
        else:
            needed.update(node.images.values())
            words.append(_name(node.operation) + (" (kept)" if plan.intermediates.get(number) == index else ""))
    return words[::-1] + [f"{_name(plan.nodes[node].operation)} (groups of blocks)" for node in stage.combines]


def costs_of(plan: Plan, index: StageIndex) -> dict[str, float]:
    """The predicted seconds of one worker process for each function of a stage, and for reading and writing."""
    seconds: dict[str, float] = {}
    for line in sorted(plan.stages[index].predicted.lines, key=lambda line: (line.kind != "compute", line.node)):
        what = _name(plan.nodes[line.node].operation) if line.kind == "compute" else "reading, writing and merging"
        seconds[what] = seconds.get(what, 0.0) + line.seconds
    return seconds


def _name(operation: str) -> str:
    return _INTERNAL.get(operation, operation.rpartition(".")[2])


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 block`, `1,024 batches`."""
    plural = {"batch": "batches"}.get(noun, noun + "s")
    return f"{count:,} {noun if count == 1 else plural}"


def duration(seconds: float) -> str:
    """Seconds as text: `0.04 s`, `12.3 s`, `3 min 20 s`, `5 h 12 min`."""
    if seconds >= 6000:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours:,} h {minutes} min"
    if seconds >= 100:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s"
    return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"


def size(number: float) -> str:
    """Bytes as text: `1.5 GB`."""
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if round(number) >= 1000:
            number, unit = number / 1000, larger
    return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
