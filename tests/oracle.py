"""What tests compare with: scikit-image and NumPy on the whole array, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue import get_entry
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.promise import Exactness
from lepton_celery.execution.block import run_block
from lepton_celery.execution.context import Context
from lepton_celery.execution.loop import run_stages
from lepton_celery.graph.nodes import Node
from lepton_celery.grid import StageNumber
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import make_plan
from lepton_celery.proving.compare import difference
from lepton_celery.stores import MemoryOutput, Target
from lepton_celery.stores.workspace import MemoryWorkspace


def assert_identical(found: Any, expected: Any) -> None:
    """Equal dtype, shape and bits; any NaN equals any NaN."""
    assert difference(found, expected) == ""


def bits(array: Array) -> Array:
    """The pixels as unsigned integers, which tell 0.0 from -0.0."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}").reshape(array.shape)


def evaluate(lazy: Node, block_shape: Sequence[int] | None = None) -> Any:
    """What the steps make of a node, block after block in this thread; `compute` takes longer to start than these run."""
    shape = None if block_shape is None else tuple(block_shape)
    planned = make_plan({"out": lazy}, PlanOptions(block_shape=shape, workers=1))
    plan = planned.plan
    context = Context(plan, MemoryWorkspace(), arrays=planned.lowered.arrays, kernels=True)
    index = plan.outputs["out"]
    node = plan.nodes[index]
    output = None
    if node.gives == "image":
        output = MemoryOutput(Target("memory", node.shape, node.dtype, plan.block_of(index), "test"))
        context.attach(index, output)

    def do_blocks(number: StageNumber) -> None:
        for block in plan.stage_of(number).grid.indices():
            run_block(context, number, block)

    run_stages(context, do_blocks)
    if output is None:
        return context.value(index)
    output.publish()
    return output.array


def assert_same_as_whole(lazy: Node, whole: Any, block_shape: Sequence[int]) -> None:
    """The lazy node computed in such blocks is what the function gave for the whole image, and what the node announced."""
    if not isinstance(whole, Mapping):
        assert lazy.dtype == np.asarray(whole).dtype
        found = np.shape(whole)
        assert lazy.shape == tuple(
            -1 if a < 0 else n for a, n in zip(lazy.shape, found, strict=True)
        )  # -1: as it comes
    assert_identical(evaluate(lazy, block_shape), whole)


def assert_as_promised(lazy: Node, whole: Any, block_shape: Sequence[int]) -> None:
    """As `assert_same_as_whole`, but only as near as the function's entry promises for these arguments."""
    promise = get_entry(lazy.operation).promised(lazy.arguments)
    if promise.exactness is Exactness.IDENTICAL:
        assert_same_as_whole(lazy, whole, block_shape)
        return
    assert difference(evaluate(lazy, block_shape), whole, promise) == ""


def picture(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Smooth blobs and noise, all over the range of the dtype (0 to 1 for floats), with ties."""
    from scipy.ndimage import uniform_filter

    random = np.random.default_rng(seed)
    values = uniform_filter(random.random(shape), 3)
    values = (values - values.min()) / max(values.max() - values.min(), 1e-9)
    values = np.where(random.random(shape) < 0.15, random.integers(0, 5, shape) / 4, values)
    return in_range(values, dtype)


def in_range(values: Array, dtype: Any) -> Array:
    """Numbers from 0 to 1 as pixels over the non-negative range of the dtype."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return values > 0.5
    if dtype.kind == "f":
        return values.astype(dtype)
    return (values * float(np.iinfo(dtype).max) * 0.999).astype(dtype)
