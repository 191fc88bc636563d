"""Compute lazy nodes in this process, and get NumPy arrays."""

from __future__ import annotations

import math
import os
from typing import Any
from uuid import uuid4

import numpy as np

from lepton_celery import stores
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.source import SOURCE
from lepton_celery.config import load_settings
from lepton_celery.engines import inline
from lepton_celery.execution.steps import Context
from lepton_celery.graph.nodes import Image, Node, topological
from lepton_celery.kernels import loaded
from lepton_celery.ledger.memory import MemoryLedger
from lepton_celery.planning.cost import keep as costs
from lepton_celery.planning.plan import Plan, expanded_parents
from lepton_celery.planning.planner import Limits, Options, make_plan
from lepton_celery.stores.base import Target
from lepton_celery.stores.workspace import MemoryWorkspace

WORTH_PX = 1 << 24
"""Pixels, those of all stages added up, for which kernels are loaded: scikit-image takes about a second for them."""


def compute(
    *nodes: Node,
    block_shape: tuple[int, ...] | None = None,
    threads: int | None = None,
    limits: Limits | None = None,
    kernels: bool | None = None,
) -> Any:
    """The results of lazy nodes: an array for an image, a scalar or array for a value, columns by name for a table.

    Args:
        nodes: what to compute; several are computed together and come back as a tuple.
        block_shape: pixels per axis; None: chosen.
        threads: None: one per processor.
        limits: what the plan may ask for.
        kernels: whether compiled kernels are used, where there are any; None: as the setting says, for images that are
            worth the second it takes to load them.

    Raises:
        InputError: the plan is refused.
    """
    threads = threads or os.cpu_count() or 1
    outputs = {str(at): node for at, node in enumerate(nodes)}
    options = Options(
        block_shape=block_shape, workers=threads, limits=limits or Limits(), cost=costs.of_folder(), in_memory=True
    )
    plan = make_plan(outputs, options)
    workspace = MemoryWorkspace()
    context = Context(plan, workspace, arrays=arrays_of(plan, nodes), kernels=use_kernels(plan, kernels))
    images: dict[int, stores.MemoryOutput] = {}
    for index in set(plan.outputs.values()):
        node = plan.nodes[index]
        if node.gives == "image":
            target = Target("memory", node.shape, node.dtype, plan.block_of(index), "inline")
            images[index] = stores.MemoryOutput(target)
            context.attach(index, images[index])
    ledger = MemoryLedger()
    job_id = uuid4().hex[:12]
    ledger.create(job_id, {}, lane="default", title="", stages=len(plan.stages), blocks=first_blocks(plan))
    inline.run(context, ledger, job_id, threads=threads)
    for output in images.values():
        output.publish()
    results = []
    for index in plan.outputs.values():
        results.append(images[index].array if index in images else context.value(index))
    return results[0] if len(results) == 1 else tuple(results)


def use_kernels(plan: Plan, wanted: bool | None = None) -> bool:
    """Whether compiled kernels are used in this process: as wanted, otherwise as the settings have it.

    Where nobody said so, not for less pixels than it takes scikit-image to be done before the kernels are loaded.
    """
    if wanted is not None:
        return wanted
    pixels = sum(math.prod(stage.grid.shape) for stage in plan.stages)
    return (loaded() or pixels >= WORTH_PX) and load_settings().kernels


def arrays_of(plan: Plan, nodes: tuple[Node, ...]) -> dict[int, Array]:
    """The arrays in memory that a plan of these nodes reads, by the plan's node."""
    # lower() keeps the order of first use, and one node for each array
    given: list[Array] = []
    for node in topological(list(nodes), expanded_parents):
        if isinstance(node, Image) and node.array is not None and not any(node.array is other for other in given):
            given.append(node.array)
    indices = [
        i for i, node in enumerate(plan.nodes) if node.operation == SOURCE and node.arguments["url"] == "memory:"
    ]
    return {index: np.asarray(array) for index, array in zip(indices, given, strict=True)}


def first_blocks(plan: Plan) -> int:
    """Blocks of the first stage."""
    return len(plan.stages[0].grid) if plan.stages else 0
