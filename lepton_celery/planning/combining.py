"""Adds stages that combine partials in groups, if a stage has too many blocks for one merge."""

from __future__ import annotations

import math
from dataclasses import replace

from lepton_celery.grid import BlockGrid, StageIndex
from lepton_celery.planning.cost.predict import cost_name
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import Plan, Prediction, Stage
from lepton_celery.planning.tiles import compact, runs


def with_combining(plan: Plan, index: StageIndex, options: PlanOptions) -> tuple[Plan, int]:
    """The plan with the combining stages that a stage needs after it, and the number of these.

    The last of them merges the combined partials and computes the stage's values.
    """
    stage = plan.stages[index]
    combining = _combining_stages(plan, stage, options)
    if not combining:
        return plan, 0
    last, cost = combining[-1], options.cost
    blocks = float(len(last.grid))
    lines = stage.predicted.lines
    merges = [line for line in lines if line.kind == "merge" and line.node in last.combines]
    left = tuple(line for line in lines if line not in merges)
    moved = []  # to the last stage, which has fewer partials
    for line in merges:
        seconds = cost.figure("merge", line.key).seconds_for(line.units, calls=blocks)
        moved.append(line._replace(calls=blocks, seconds=seconds))
    first = replace(stage, values=(), predicted=replace(stage.predicted, lines=left))
    combining[-1] = replace(last, values=stage.values, predicted=replace(last.predicted, lines=tuple(moved)))
    intermediates = {
        image: StageIndex(stored_by + len(combining) * (stored_by > index))
        for image, stored_by in plan.intermediates.items()
    }
    stages = (*plan.stages[:index], first, *combining, *plan.stages[index + 1 :])
    return replace(plan, stages=stages, intermediates=intermediates), len(combining)


def _combining_stages(plan: Plan, stage: Stage, options: PlanOptions) -> list[Stage]:
    cost = options.cost
    nodes = tuple(index for index in stage.reduces if plan.nodes[index].entry.is_combined)
    stages: list[Stage] = []
    while nodes and len(stage.grid) > max(1, options.merge_blocks):
        group = compact(stage.grid.counts, max(2, options.fan_in))  # groups of one would never reduce the number
        block_shape = tuple(min(b * g, n) for b, g, n in zip(stage.block_shape, group, stage.shape, strict=True))
        grid = BlockGrid(stage.shape, block_shape)
        partial_s = sum(cost.figure("merge", cost_name(plan.nodes[index])).call_ns for index in nodes) * 1e-9
        block_s = cost.overheads.block_s + math.prod(group) * partial_s
        tile = runs(grid.counts, cost.batch_blocks(block_s, len(grid), options.workers))
        batch_blocks = math.prod(tile)
        batches = -(-len(grid) // batch_blocks)
        seconds = len(grid) * block_s + batches * cost.overheads.batch_s
        blocks_s = cost.stage_wall_s(seconds, batches, options.workers)
        stage = replace(
            stage,
            block_shape=block_shape,
            batch_blocks=batch_blocks,
            stores=(),
            reduces=(),
            values=(),
            predicted=Prediction(communication_s=seconds, blocks_s=blocks_s, blocks=len(grid)),
            tile=tile,
            box_blocks=(1,) * len(tile),
            combines=nodes,
            min_batch_blocks=cost.min_batch_blocks(block_s, batch_blocks),
        )
        stages.append(stage)
    return stages
