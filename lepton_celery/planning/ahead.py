"""Which blocks of a stage can be done before the one before it is over.

A stage that finds a whole-image value is a barrier: what needs the value waits for all its blocks. A stage that only leaves
images is none: a block of the next one needs the blocks under what it reads, and no others.
"""

from __future__ import annotations

from collections.abc import Iterable

from lepton_celery.grid import BlockIndex, Place, StageIndex
from lepton_celery.planning.plan import Plan, grid_over
from lepton_celery.planning.regions import needed_regions


def can_run_ahead(plan: Plan, index: StageIndex) -> bool:
    """Whether blocks of a stage may begin while the one before is at work: nothing of that is merged, and what they read of
    it is known beforehand."""
    if index < 1:
        return False
    stage, before = plan.stages[index], plan.stages[index - 1]
    if before.reduces or before.values or before.combines or stage.combines:
        return False
    needed = needed_regions(plan, index, stage.grid.region(BlockIndex(0)))
    nodes = {*(node for node in needed if not plan.is_read(node, index)), *stage.stores, *stage.reduces}
    if any(plan.nodes[node].entry.is_iterated for node in (*nodes, *before.stores)):
        return False
    return not any(plan.nodes[node].entry.reads_itself for node in nodes)


def places_before(plan: Plan, index: StageIndex, blocks: Iterable[BlockIndex]) -> list[Place]:
    """Places of the blocks of the stage before that these blocks read, ascending."""
    stage, before = plan.stages[index], plan.stages[index - 1]
    found: set[BlockIndex] = set()
    for block in blocks:
        for node, region in needed_regions(plan, index, stage.grid.region(block)).items():
            if plan.intermediates.get(node) == index - 1:
                found.update(grid_over(before, plan.nodes[node].shape).overlapping(region))
    return sorted(map(before.tiling.place, found))
