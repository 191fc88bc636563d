"""Measures seams: how visible block borders are in an image that splitting may have changed.

For functions that are not exact (`approximate` in the catalogue, and the user's own), the step between the two pixels on
either side of a block border is compared with the step between two pixels in the middle of a block. If the steps are equal
on average, the borders are invisible.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lepton_celery import stores
from lepton_celery.catalogue.promise import Exactness
from lepton_celery.execution.context import Context
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.planning.plan import Plan, grid_over
from lepton_celery.stores.base import ArrayReader

MAX_BORDERS = 64
"""Largest number of borders examined in one image, evenly spaced; each takes two reads of two lines."""


def inexact_outputs(plan: Plan) -> dict[int, int]:
    """The node of each image output that depends on an inexact function, and the node of this function."""
    cause_of: dict[int, int] = {}
    for index, node in enumerate(plan.nodes):
        approximate = node.entry.promised(node.arguments).exactness is Exactness.APPROXIMATE
        if approximate or (node.gives == "image" and node.entry.own_functions):
            cause_of[index] = index
        elif inherited := [cause_of[ref] for ref in node.refs() if ref in cause_of]:
            cause_of[index] = inherited[0]
    images = (index for index in plan.outputs.values() if plan.nodes[index].gives == "image")
    return {index: cause_of[index] for index in images if index in cause_of}


def measure(context: Context) -> dict[str, float]:
    """The `seam_figure` of each published image output that may be inexact, by path."""
    figures: dict[str, float] = {}
    for node, cause in inexact_outputs(context.plan).items():
        for target in context.targets.get(node, ()):
            reader = stores.open_array(target.path, roots=context.roots)
            figures[target.path] = seam_figure(reader, _grid(context.plan, node, cause))
    return figures


def _grid(plan: Plan, node: int, cause: int) -> BlockGrid:
    """The blocks in which the function was computed, if they tile the output; else the output's blocks."""
    shape = plan.nodes[node].shape
    index = cause if plan.nodes[cause].shape == shape else node
    stages = [stage for stored in (index, node) for stage in plan.stages if stored in stage.stores]
    return grid_over(stages[0], shape)


def seam_figure(reader: ArrayReader, grid: BlockGrid) -> float:
    """Mean step across block borders, divided by the mean step in the middle of blocks.

    About 1 means that there are no seams. The figure is also 1.0 for a constant image or an image of one block.
    """
    lengths = grid.block_shape
    borders = [(axis, border) for axis, b in enumerate(lengths) for border in range(b, grid.shape[axis], b)]
    chosen = borders[:: max(1, -(-len(borders) // MAX_BORDERS))]
    across = [_step(reader, axis, border) for axis, border in chosen]
    within = [_step(reader, axis, border - lengths[axis] // 2) for axis, border in chosen if lengths[axis] > 1]
    if not within or np.mean(across) == np.mean(within):
        return 1.0
    control_step = float(np.mean(within))
    return round(float(np.mean(across)) / control_step, 4) if control_step else float("inf")


def _step(reader: ArrayReader, axis: int, position: int) -> float:
    """Mean difference between the pixels at `position - 1` and `position` on an axis, over all other axes."""
    start, stop = [0] * len(reader.shape), list(reader.shape)
    start[axis], stop[axis] = position - 1, position + 1
    lines = reader.read(Region(tuple(start), tuple(stop))).astype(np.float64)
    return float(np.nanmean(np.abs(np.diff(lines, axis=axis)))) if np.isfinite(lines).any() else 0.0


def describe(figures: Mapping[str, Any]) -> str:
    """The figures as text, one per line; empty if there are none."""
    return "\n".join(f"seams of {path}: {value:.2f} (1 is none)" for path, value in figures.items())
