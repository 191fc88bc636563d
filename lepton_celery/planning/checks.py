"""Checks of a plan that comes from outside: what its types do not say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from lepton_celery.errors import InputError
from lepton_celery.limits import MAX_AXES, MAX_BLOCKS, MAX_NODES, MAX_PIXELS, MAX_STAGES

if TYPE_CHECKING:
    from lepton_celery.planning.plan import Plan, PlanNode, Stage

_MAX_ITEM_BYTES = 16
"""Largest dtype of a pixel or a number: complex128."""


def check_node(position: int, node: PlanNode) -> None:
    """Refuse a node whose function, shape or dtype cannot be; InputError names it."""
    if position >= MAX_NODES:
        raise _damaged(f"it has more than {MAX_NODES:,} nodes")
    for problem in _problems_of_node(node):
        raise _damaged(f"node {position}, {node.operation}, {problem}")


def check_plan(plan: Plan) -> None:
    """Refuse a plan whose numbers do not fit together or exceed a limit.

    Raises:
        InputError: the message names the first stage that is wrong.
    """
    for problem in _problems(plan):
        raise _damaged(problem)


def _damaged(problem: str) -> InputError:
    return InputError(f"the plan is damaged: {problem}; it was changed by hand or by another release")


def _problems(plan: Plan) -> Iterator[str]:
    if not plan.nodes or not 1 <= len(plan.stages) <= MAX_STAGES:
        yield f"it has {len(plan.nodes):,} nodes and {len(plan.stages):,} stages"
    for index, stage in enumerate(plan.stages):
        for problem in _problems_of_stage(stage, plan):
            yield f"stage {index} {problem}"
    numbers = (*plan.outputs.values(), *plan.intermediates)
    if any(number >= len(plan.nodes) for number in numbers):
        yield f"its outputs and intermediate images name nodes up to {max(numbers)}, of {len(plan.nodes)}"
    if any(not 0 <= stage < len(plan.stages) for stage in plan.intermediates.values()):
        yield f"its intermediate images name stages that it does not have, of {len(plan.stages)}"


def _problems_of_node(node: PlanNode) -> Iterator[str]:
    if node.entry.is_refused:
        yield "is a function that cannot be split"
    if node.entry.is_source and not isinstance(node.arguments.get("url"), str):
        yield "names no image"
    is_image = node.gives == "image"
    least = 1 if is_image else -1  # the length of a list may depend on the pixels
    if len(node.shape) > MAX_AXES or min(node.shape, default=1) < least or abs(math.prod(node.shape)) > MAX_PIXELS:
        yield f"has the shape {node.shape}"
    try:
        dtype = np.dtype(node.dtype)
    except (TypeError, ValueError):
        yield f"has the dtype {node.dtype!r}"
        return
    if dtype.kind not in ("biufc" if is_image else "biufcO") or dtype.itemsize > _MAX_ITEM_BYTES or dtype.shape:
        yield f"has the dtype {node.dtype!r}"


def _problems_of_stage(stage: Stage, plan: Plan) -> Iterator[str]:
    lengths = {len(axes) for axes in (stage.shape, stage.block_shape, stage.tile, stage.box_blocks)}
    if len(lengths) > 1 or not stage.shape or math.prod(stage.shape) > MAX_PIXELS:
        yield f"has the shape {stage.shape} in blocks of {stage.block_shape}"
        return
    blocks = math.prod(-(-n // length) for n, length in zip(stage.shape, stage.block_shape, strict=True))
    if blocks > MAX_BLOCKS:
        yield f"has {blocks:,} blocks; at most {MAX_BLOCKS:,} are possible"
    numbers = (*stage.stores, *stage.reduces, *stage.values, *stage.combines)
    if any(number >= len(plan.nodes) for number in numbers):
        yield f"names nodes up to {max(numbers)}, of {len(plan.nodes)}"
        return
    for number in stage.stores:
        if plan.nodes[number].gives != "image" or plan.nodes[number].shape[: len(stage.shape)] != stage.shape:
            yield f"stores node {number}, which is no image of its shape {stage.shape}"
