"""Which blocks of a stage can be done before the one before it is over.

A stage that finds a whole-image value is a barrier: what needs the value waits for all its blocks. A stage that only leaves
images is none: a block of the next one needs the blocks under what it reads, and no others.
"""

from __future__ import annotations

from collections.abc import Iterable

from lepton_celery.catalogue.entries import Iterated
from lepton_celery.grid import BlockIndex, Place
from lepton_celery.planning.plan import Plan, entry_of, grid_over, needed_regions, reads_itself


def can_run_ahead(plan: Plan, stage_index: int) -> bool:
    """Whether blocks of a stage may begin while the one before is at work: nothing of that is merged, and what they read of
    it is known beforehand."""
    if stage_index < 1:
        return False
    stage, before = plan.stages[stage_index], plan.stages[stage_index - 1]
    if before.reduces or before.values or before.combines or stage.combines:
        return False
    needed = needed_regions(plan, stage_index, stage.grid.region(BlockIndex(0)))
    at_work = {*(index for index in needed if not plan.is_read(index, stage_index)), *stage.stores, *stage.reduces}
    if any(isinstance(entry_of(plan.nodes[index]), Iterated) for index in (*at_work, *before.stores)):
        return False
    entries = [entry_of(plan.nodes[index]) for index in at_work]
    return not any(entry is not None and reads_itself(entry) for entry in entries)


def places_before(plan: Plan, stage_index: int, blocks: Iterable[BlockIndex]) -> list[Place]:
    """Places of the blocks of the stage before that these blocks read, ascending."""
    stage, before = plan.stages[stage_index], plan.stages[stage_index - 1]
    found: set[BlockIndex] = set()
    for block in blocks:
        for index, region in needed_regions(plan, stage_index, stage.grid.region(block)).items():
            if plan.kept.get(index) == stage_index - 1:
                found.update(grid_over(before, plan.nodes[index].shape).overlapping(region))
    return sorted(map(before.order.place, found))
