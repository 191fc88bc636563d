"""The lifetimes of a block's arrays, from which plans predict memory and by which blocks free their arrays."""

from __future__ import annotations

import math
import os

from lepton_celery.errors import PlanTooLarge
from lepton_celery.grid import StageIndex
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.regions import Regions, middle_of, needed_regions, reads_of
from lepton_celery.stores.chunk_cache import CACHE_BYTES

_TEMPORARIES = 2
"""Number of temporary arrays of a function, each as large as its result."""
_PARTIAL_COPIES = 3
"""Number of temporary arrays that a partial takes, each as large as the block."""


class LiveArrays:
    """The arrays that a block still needs, while its nodes are computed in order.

    An array is freed when the last node that uses it has been computed. Storing or reducing a result is a use too.
    """

    def __init__(self, plan: Plan, stage_index: StageIndex, needed: Regions) -> None:
        self._plan, self._stage = plan, stage_index
        self._uses = dict.fromkeys(needed, 0)
        for index in needed:
            for image in self.inputs_of(index):
                self._uses[image] = self._uses.get(image, 0) + 1
        stage = plan.stages[stage_index]
        for index in (*stage.stores, *stage.reduces):
            node = plan.nodes[index]
            for image in node.pixels.values() if node.entry.leaves_partials else (index,):
                self._uses[image] = self._uses.get(image, 0) + 1

    def inputs_of(self, index: int) -> list[int]:
        """The arrays from which a node is computed; none if it is read from a store."""
        return [] if self._plan.is_read(index, self._stage) else list(self._plan.nodes[index].pixels.values())

    def after(self, index: int) -> list[int]:
        """The arrays that are no longer needed once this node is computed."""
        freed = []
        for image in self.inputs_of(index):
            self._uses[image] -= 1
            if self._uses[image] == 0:
                freed.append(image)
        return freed


def peak_bytes(plan: Plan, stage_index: StageIndex, needed: Regions) -> int:
    """The peak memory of a block's arrays, including the temporaries of functions and decoded chunks."""
    live_arrays = LiveArrays(plan, stage_index, needed)
    sizes = {index: region.size * plan.nodes[index].itemsize for index, region in needed.items()}
    live = peak = sum(read_by_functions(plan, stage_index, needed).values())
    read = {index: plan.nodes[index] for index in needed if plan.is_read(index, stage_index)}
    for node in read.values():
        if ".zarr" in str(node.arguments.get("url")) or node.entry.labels_blocks:  # decoded chunks are cached
            live += min(CACHE_BYTES, node.size_bytes)
    for index in sorted(needed):
        live += sizes[index]
        peak = max(peak, live + (0 if index in read else _TEMPORARIES * sizes[index]))
        live -= sum(sizes.get(image, 0) for image in live_arrays.after(index))
    reduced = plan.stages[stage_index].reduces
    largest = max((sizes.get(image, 0) for index in reduced for image in plan.nodes[index].refs()), default=0)
    scratch = max((_scratch(plan, index) for index in reduced), default=0)
    return max(peak, live + _PARTIAL_COPIES * largest, scratch)


def check_arrays(plan: Plan, limit_bytes: int, pieces: int) -> None:
    """Refuse a plan, which may come from anybody, with a block that does not fit into a worker's memory in any way.

    Args:
        limit_bytes: memory that a block may take; 0 for as much as the machine has.
        pieces: largest number of pieces in which a block is computed if its functions allow that.

    Raises:
        PlanTooLarge: the message names the stage and its largest array.
    """
    limit_bytes = limit_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for index in map(StageIndex, range(len(plan.stages))):
        stage = plan.stages[index]
        needed = needed_regions(plan, index, middle_of(stage.grid))
        largest = max((region.size * plan.nodes[image].itemsize for image, region in needed.items()), default=0)
        if largest > limit_bytes * (pieces if plan.can_be_cut(index) else 1):
            raise PlanTooLarge(
                f"blocks of {stage.block_shape} in stage {index} need an array of {largest:,} bytes, and this worker has "
                f"{limit_bytes:,}; use smaller blocks, or raise LEPTON_MEMORY_LIMIT_BYTES of the workers"
            )


def _scratch(plan: Plan, index: int) -> int:
    """Bytes that a reduction needs to read whole images itself, as declared by its entry."""
    node = plan.nodes[index]
    first = plan.nodes[next(iter(node.images.values()))]
    return node.entry.scratch_bytes * math.prod(first.shape)


def read_by_functions(plan: Plan, stage_index: StageIndex, needed: Regions) -> dict[int, int]:
    """Bytes of each image that a block's functions read themselves, as declared by their geometry."""
    read: dict[int, int] = {}
    for index in needed:
        entry = plan.nodes[index].entry
        if entry.reads_itself and not plan.is_read(index, stage_index):
            for image, region in reads_of(plan, index, needed[index]):
                read[image] = max(read.get(image, 0), region.size * plan.nodes[image].itemsize)
    return read
