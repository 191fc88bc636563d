"""Merges a stage: finds whole-image values from its partials, and computes other values from these."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from lepton_celery.errors import StoreError
from lepton_celery.execution.block import image_refs
from lepton_celery.execution.context import Context, partials_key
from lepton_celery.execution.library_warnings import caught_warnings
from lepton_celery.grid import BlockIndex, StageIndex, StageNumber
from lepton_celery.planning.plan import Stage, grid_over


def missing_blocks(context: Context, number: StageNumber) -> list[BlockIndex]:
    """Blocks that have a receipt but left no partial; the merge reopens them."""
    index, round = context.plan.stage_run(number)
    keys = [partials_key(node, level) for node, level in context.plan.partials_of(index).items()]
    keys += [(node, round) for node in context.plan.iterated(index)]
    blocks = len(context.plan.stages[index].grid)
    return sorted({block for key in keys for block in context.workspace.missing_partials(key, blocks)})


def merge_stage(context: Context, number: StageNumber) -> bool:
    """Find a stage's whole-image values from its partials. May run any number of times.

    Returns:
        Whether the stage must be repeated, because its round changed an image.
    """
    with caught_warnings(context.workspace):
        return _merge(context, number)


def _merge(context: Context, number: StageNumber) -> bool:
    plan = context.plan
    index, round = plan.stage_run(number)
    stage = plan.stages[index]
    changed = [_end_round(context, node, round, stage) for node in plan.iterated(index)]
    if any(changed):
        return True
    context.failures.clear()
    for merged, level in plan.to_merge(index).items():
        with _apart(context, merged, index):
            node = plan.nodes[merged]
            partials = context.workspace.partials(partials_key(merged, level), len(stage.grid))
            images = image_refs(node)
            grid = grid_over(stage, next(iter(images.values())).shape)
            value = node.entry.merge_partials(partials, context.arguments(node) | images, grid)
            context.put_value(merged, value, index)
    for computed in stage.values:
        with _apart(context, computed, index):
            node = plan.nodes[computed]
            with np.errstate(all="ignore"):
                value = node.entry.find_value(context.arguments(node))
            context.put_value(computed, value, index)
    return False


@contextmanager
def _apart(context: Context, node: int, stage: StageIndex) -> Iterator[None]:
    """Keep the error of a value for the outputs that need it, if other outputs of the job can do without it.

    At the end of an earlier stage the error ends the job, because the blocks of the next stage need the value.
    """
    try:
        yield
    except (StoreError, MemoryError):  # of the machine and not of the value: the merge can be tried again
        raise
    except Exception as error:  # of a library or of a user's function
        if stage + 1 < len(context.plan.stages) or not context.has_several_outputs:
            raise
        context.failures[node] = error


def _end_round(context: Context, node: int, round: int, stage: Stage) -> bool:
    """Whether an image needs another round; if not, the round is stored as the value of the image's node."""
    workspace, blocks = context.workspace, len(stage.grid)
    changed = np.array([bool(partial["changed"][0]) for _, partial in workspace.partials((node, round), blocks)])
    if round >= 2:
        workspace.discard_node((node, round - 2))  # later rounds do not read it
    is_settled = blocks == 1 and context.plan.nodes[node].entry.settles
    if changed.any() and not is_settled:
        workspace.put_value((node, round), changed)
        return True
    workspace.put_value(node, np.int64(round))
    return False
