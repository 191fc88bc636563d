"""Stages that combine the partials of very many blocks group by group, before they are merged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from lepton_celery.grid import BlockGrid, StageIndex
from lepton_celery.planning.cost.figures import cost_name
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import CostLine, Plan, Prediction, Stage


def with_combining(plan: Plan, index: StageIndex, options: PlanOptions) -> tuple[Plan, int]:
    """The plan with as many combining stages behind a stage as its grid needs, and their number."""
    stages = _combining_stages(plan, plan.stages[index], options)
    if not stages:
        return plan, 0
    plan = _inserted(plan, index, stages)
    return _merged_later(plan, index, StageIndex(index + len(stages)), options.cost), len(stages)


def group_shape(counts: Sequence[int], fan_in: int) -> tuple[int, ...]:
    """About `fan_in` blocks, as compact as the grid allows; at least two, so that grouping comes to an end."""
    group = [1] * len(counts)
    while math.prod(group) < max(2, fan_in) and any(n > size for n, size in zip(counts, group, strict=True)):
        axis = min((size, axis) for axis, size in enumerate(group) if counts[axis] > size)[1]
        group[axis] *= 2
    return tuple(group)


def _combining_stages(plan: Plan, stage: Stage, options: PlanOptions) -> list[Stage]:
    cost = options.cost
    nodes = tuple(index for index in stage.reduces if plan.nodes[index].entry.is_combined)
    stages: list[Stage] = []
    while nodes and len(stage.grid) > max(1, options.merge_blocks):
        group = group_shape(stage.grid.counts, options.fan_in)
        block_shape = tuple(min(b * g, n) for b, g, n in zip(stage.block_shape, group, stage.shape, strict=True))
        blocks = len(BlockGrid(stage.shape, block_shape))
        partial_s = sum(cost.figure("merge", cost_name(plan.nodes[index])).call_ns for index in nodes) * 1e-9
        block_s = cost.overheads.block_s + math.prod(group) * partial_s
        batch_blocks = cost.batch_blocks(block_s, blocks, options.workers)
        batches = -(-blocks // batch_blocks)
        seconds = blocks * block_s + batches * cost.overheads.batch_s
        wall_s = cost.stage_wall_s(seconds, batches, options.workers, 0.0)
        predicted = replace(Prediction.none(len(stage.shape)), communication_s=seconds, wall_s=wall_s, blocks=blocks)
        stage = Stage(
            stage.shape,
            block_shape,
            batch_blocks,
            stores=(),
            reduces=(),
            values=(),
            predicted=predicted,
            combines=nodes,
            min_batch_blocks=cost.min_batch_blocks(block_s, batch_blocks),
        )
        stages.append(stage)
    return stages


def _inserted(plan: Plan, index: StageIndex, stages: Sequence[Stage]) -> Plan:
    """The plan with stages behind a stage; the last of them computes the values that it computed."""
    first = replace(plan.stages[index], values=())
    last = replace(stages[-1], values=plan.stages[index].values)
    intermediates = {
        image: StageIndex(stage + len(stages) * (stage > index)) for image, stage in plan.intermediates.items()
    }
    all_stages = (*plan.stages[:index], first, *stages[:-1], last, *plan.stages[index + 1 :])
    return replace(plan, stages=all_stages, intermediates=intermediates)


def _merged_later(plan: Plan, index: StageIndex, last: StageIndex, cost: CostModel) -> Plan:
    """The plan with a stage's merges predicted for the stage that has combined its partials."""
    stage, end = plan.stages[index], plan.stages[last]
    moved = [line for line in stage.predicted.lines if line.kind == "merge" and line.node in end.combines]
    cheaper = [_merge_of(line, len(end.grid), cost) for line in moved]
    gone_s, added_s = sum(line.seconds for line in moved), sum(line.seconds for line in cheaper)
    before = replace(
        stage.predicted,
        lines=tuple(line for line in stage.predicted.lines if line not in moved),
        merge_s=stage.predicted.merge_s - gone_s,
        wall_s=stage.predicted.wall_s - gone_s,
    )
    after = replace(end.predicted, lines=tuple(cheaper), merge_s=added_s, wall_s=end.predicted.wall_s + added_s)
    return plan.with_stage(index, replace(stage, predicted=before)).with_stage(last, replace(end, predicted=after))


def _merge_of(line: CostLine, blocks: int, cost: CostModel) -> CostLine:
    """A merge's line, for partials of fewer blocks."""
    seconds = cost.figure("merge", line.key).seconds_for(line.units, calls=blocks)
    return line._replace(calls=float(blocks), seconds=seconds)
