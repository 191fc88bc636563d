"""`lepton.compute`: lazy nodes computed in this process, as NumPy arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import uuid4

from lepton_celery.config import configured
from lepton_celery.engines import inline
from lepton_celery.execution.context import Context
from lepton_celery.execution.library_warnings import kept_warnings, tell
from lepton_celery.execution.outputs import collect_images
from lepton_celery.graph.nodes import Node
from lepton_celery.kernels import loaded
from lepton_celery.ledger.info import JobInfo
from lepton_celery.ledger.record import RunRecord
from lepton_celery.planning.cost.keep import model_of_folder
from lepton_celery.planning.options import Limits, PlanOptions
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.planner import make_plan
from lepton_celery.stores.workspace import MemoryWorkspace

MIN_KERNEL_PX = 1 << 24
"""Pixels, summed over all stages, from which loading kernels is worth its time: scikit-image takes a second for them."""


def compute(
    *nodes: Node,
    block_shape: tuple[int, ...] | None = None,
    threads: int | None = None,
    limits: Limits | None = None,
    kernels: bool | None = None,
    progress: bool = False,
) -> Any:
    """Compute lazy nodes: an image gives an array, a value a scalar or an array, a table its columns by name.

    Args:
        nodes: the nodes to compute; the results of several are returned as a tuple.
        block_shape: shape of a block in pixels; None to let the planner choose.
        threads: number of threads; None for one per processor.
        limits: limits of the plan.
        kernels: whether compiled kernels are used where there are any; None to follow the setting, except that small
            images do not load them, which takes a second.
        progress: whether to draw a progress bar on standard error.

    Raises:
        InputError: the plan is refused.
    """
    threads = threads or os.cpu_count() or 1
    outputs = {str(number): node for number, node in enumerate(nodes)}
    planned = make_plan(
        outputs, PlanOptions(block_shape, threads, limits or Limits(), model_of_folder().on_threads(), in_memory=True)
    )
    plan, arrays = planned.plan, planned.lowered.arrays
    context = Context(plan, MemoryWorkspace(), arrays=arrays, kernels=use_kernels(plan, kernels))
    images = collect_images(context)
    record = RunRecord(uuid4().hex[:12], {}, stages=[stage.predicted.wall_s for stage in plan.stages])
    with _bar(plan) if progress else nullcontext(lambda info: None) as draw:
        inline.run(context, record, threads=threads, on_progress=lambda: draw(record.info("inline")))
    for output in images.values():
        output.publish()
    tell(kept_warnings(context), stacklevel=2)
    results = [images[index].array if index in images else context.value(index) for index in plan.outputs.values()]
    return results[0] if len(results) == 1 else tuple(results)


def _bar(plan: Plan) -> AbstractContextManager[Callable[[JobInfo], None]]:
    from lepton_celery.jobs.progress_bar import show_progress  # imports Rich, which most callers do not need

    return show_progress(plan)


def use_kernels(plan: Plan, wanted: bool | None = None) -> bool:
    """Whether compiled kernels are used in this process.

    If `wanted` is None, the settings decide, but kernels are not loaded for fewer than `MIN_KERNEL_PX` pixels.
    """
    if wanted is not None:
        return wanted
    pixels = sum(math.prod(stage.grid.shape) for stage in plan.stages)
    return (loaded() or pixels >= MIN_KERNEL_PX) and configured().kernels
