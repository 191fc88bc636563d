"""Comparison of blocks with scikit-image and NumPy on the whole array, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue import get_entry
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.promise import Exactness
from lepton_celery.execution.block import run_blocks
from lepton_celery.execution.context import Context
from lepton_celery.execution.loop import run_stages
from lepton_celery.execution.outputs import collect_images
from lepton_celery.graph.nodes import Node
from lepton_celery.grid import StageNumber
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import make_plan
from lepton_celery.proving import samples
from lepton_celery.proving.compare import difference
from lepton_celery.stores.workspace import MemoryWorkspace


def assert_identical(found: Any, expected: Any) -> None:
    """Equal dtype, shape and bits; any NaN equals any NaN."""
    assert difference(found, expected) == ""


def evaluate(lazy: Node, block_shape: Sequence[int] | None = None, *, kernels: bool = True) -> Any:
    """A node's result, computed block by block in this thread, since `compute` would take longer to start."""
    shape = None if block_shape is None else tuple(block_shape)
    planned = make_plan({"out": lazy}, PlanOptions(block_shape=shape, workers=1))
    plan = planned.plan
    context = Context(plan, MemoryWorkspace(), arrays=planned.lowered.arrays, kernels=kernels)
    index = plan.outputs["out"]
    output = collect_images(context).get(index)

    def do_blocks(number: StageNumber) -> None:
        for block in plan.stage_of(number).grid.indices():
            run_blocks(context, number, [block])

    run_stages(context, do_blocks)
    if output is None:
        return context.value(index)
    output.publish()
    return output.array


def assert_same_as_whole(lazy: Node, whole: Any, block_shape: Sequence[int] | None) -> None:
    """A node computed in blocks has the pixels of the whole image, and the dtype and shape that it announces."""
    if not isinstance(whole, Mapping):
        assert lazy.dtype == np.asarray(whole).dtype
        # -1 stands for a length that depends on the pixels
        assert lazy.shape == tuple(-1 if n < 0 else m for n, m in zip(lazy.shape, np.shape(whole), strict=True))
    assert_identical(evaluate(lazy, block_shape), whole)


def assert_as_promised(lazy: Node, whole: Any, block_shape: Sequence[int]) -> None:
    """A node computed in blocks is as near to the whole image as the entry promises for these arguments."""
    promise = get_entry(lazy.operation).promised(lazy.arguments)
    if promise.exactness is Exactness.IDENTICAL:
        assert_same_as_whole(lazy, whole, block_shape)
        return
    assert difference(evaluate(lazy, block_shape), whole, promise) == ""


def picture(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """One of the prover's images: noise over the range of the dtype (0 to 1 for floats)."""
    return samples.sample("noise", shape, np.dtype(dtype), seed)
