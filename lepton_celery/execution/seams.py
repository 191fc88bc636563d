"""How visible block borders are in an image that splitting may have changed.

For functions that are not exact (`approximate` in the catalogue, and the user's own), the step between the two pixels on
either side of a block border is compared with the step between two pixels in the middle of a block. Equal steps on average
mean that nobody can tell where blocks met.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from lepton_celery import stores
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.promise import Exactness
from lepton_celery.execution.steps import Context
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.planning.plan import Plan, PlanNode, entry_of, grid_over
from lepton_celery.stores.base import ArrayReader

BORDERS = 64
"""Borders looked at in one image, dealt evenly; each costs two reads of two lines."""
_USERS = ("lepton.map_blocks", "lepton.map_overlap")


def inexact_outputs(plan: Plan) -> dict[int, int]:
    """Image outputs that come from a function that may not be exact: the output's node, and that function's."""
    found: dict[int, int] = {}
    reached: dict[int, int] = {}
    for index, node in enumerate(plan.nodes):
        entry = entry_of(node)
        exactness = Exactness.IDENTICAL
        if entry is not None:
            images = {name: _shown(plan.nodes[image]) for name, image in plan.images_of(node).items()}
            exactness = entry.promised({**node.arguments, **images}).exactness
        if exactness is Exactness.APPROXIMATE or node.operation in _USERS:
            reached[index] = index
        else:
            below = [reached[ref] for ref in node.refs() if ref in reached]
            reached |= {index: below[0]} if below else {}
    for index in plan.outputs.values():
        if index in reached and plan.nodes[index].gives == "image":
            found[index] = reached[index]
    return found


def _shown(node: PlanNode) -> Any:
    """An image as a promise looks at it: its shape and its dtype."""
    return SimpleNamespace(shape=node.shape, dtype=np.dtype(node.dtype))


def measure(context: Context) -> dict[str, float]:
    """The seam figure of each published image output that needs one, by path: see `figure`."""
    found: dict[str, float] = {}
    for node, cause in inexact_outputs(context.plan).items():
        for target in context.targets.get(node, ()):
            reader = stores.open_array(target.path, roots=context.roots)
            found[target.path] = figure(reader, _grid(context.plan, node, cause))
    return found


def _grid(plan: Plan, node: int, cause: int) -> BlockGrid:
    """The blocks in which the function was done, where they are the output's own kind, else those of the output."""
    shape = plan.nodes[node].shape
    for index in (cause, node):
        for at, stage in enumerate(plan.stages):
            if index in stage.stores and plan.nodes[index].shape == shape:
                return grid_over(plan.stages[at], shape)
    raise AssertionError("an output is stored by a stage")


def figure(reader: ArrayReader, grid: BlockGrid) -> float:
    """Mean step over block borders, divided by the mean step in the middle of blocks.

    About 1: no seams. 1.0 also for an image of one block, or one without any step at all.
    """
    borders = [
        (axis, at)
        for axis, (n, b) in enumerate(zip(grid.shape, grid.block_shape, strict=True))
        for at in range(b, n, b)
    ]
    chosen = borders[:: -(-len(borders) // BORDERS)] if borders else []
    across = [_step(reader, axis, at) for axis, at in chosen]
    within = [
        _step(reader, axis, at - grid.block_shape[axis] // 2) for axis, at in chosen if grid.block_shape[axis] > 1
    ]
    border, control = _mean(across), _mean(within)
    if border == control or not within:
        return 1.0
    return round(border / control, 4) if control else float("inf")


def _mean(steps: list[float]) -> float:
    return float(np.mean(steps)) if steps else 0.0


def _step(reader: ArrayReader, axis: int, at: int) -> float:
    """Mean difference between pixels `at - 1` and `at` on an axis, over a stretch of the others."""
    start, stop = [0] * len(reader.shape), list(reader.shape)
    start[axis], stop[axis] = at - 1, at + 1
    lines: Array = reader.read(Region(tuple(start), tuple(stop))).astype(np.float64)
    return float(np.nanmean(np.abs(np.diff(lines, axis=axis)))) if np.isfinite(lines).any() else 0.0


def words(figures: Mapping[str, Any]) -> str:
    """The figures for a person, a line each; empty where there are none."""
    return "\n".join(f"seams of {path}: {value:.2f} (1 is none)" for path, value in figures.items())
