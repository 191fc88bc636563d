"""Finds the region of every image that a block needs, by walking the graph backwards from the block's results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lepton_celery.grid import BlockGrid, Region, StageIndex
from lepton_celery.planning.plan import Plan, Stage

Regions = Mapping[int, Region]
"""The region of each image that a block needs, by node."""
MAX_CHANNELS = 4
"""Length up to which a last axis counts as channels, which are never cut."""


def grid_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape that a grid of blocks tiles: the image's, without a last axis of channels."""
    has_channels = len(shape) >= 3 and shape[-1] <= MAX_CHANNELS
    return tuple(shape[:-1]) if has_channels else tuple(shape)


def on_grid(region: Region, shape: Sequence[int]) -> Region:
    """A region of a stage's grid as a region of an image of `shape`, which is whole on any axis of channels."""
    more = shape[region.ndim :]
    return Region((*region.start, *(0 for _ in more)), (*region.stop, *more))


def needed_regions(plan: Plan, stage_index: StageIndex, written: Region) -> dict[int, Region]:
    """The region of every image that is needed to write a region of a stage's grid, by node."""
    stage = plan.stages[stage_index]
    needed: dict[int, Region] = {}

    def need(index: int, region: Region) -> None:
        if region.size:  # a block may need only some of several concatenated images
            needed[index] = needed[index].union(region) if index in needed else region

    for index in results_of(plan, stage):
        need(index, on_grid(written, plan.nodes[index].shape))
    for index in range(len(plan.nodes) - 1, -1, -1):
        node = plan.nodes[index]
        if index in needed and node.pixels and not plan.is_read(index, stage_index):
            for image, region in reads_of(plan, index, needed[index]):
                need(image, region)
    return needed


def results_of(plan: Plan, stage: Stage) -> list[int]:
    """The images that a stage's blocks store or reduce, apart from labels and iterated images."""
    entries = ((index, plan.nodes[index].entry) for index in stage.stores)
    images = [index for index, entry in entries if not (entry.labels_blocks or entry.is_iterated)]
    return images + [image for index in stage.reduces for image in plan.nodes[index].pixels.values()]


def reads_of(plan: Plan, index: int, region: Region) -> list[tuple[int, Region]]:
    """The images that a node is computed from, and the region of each that `region` of the node needs."""
    node = plan.nodes[index]
    images = list(node.images.values())
    shapes = [plan.nodes[image].shape for image in images]
    return list(zip(images, node.entry.reads(region, shapes, node.with_defaults), strict=True))


def middle_of(grid: BlockGrid) -> Region:
    """The region of a block that has neighbours on all sides, if the grid has such a block."""
    return grid.region(grid.index([(count - 1) // 2 for count in grid.counts]))


def middle_box(stage: Stage) -> Region:
    """The region of a box of blocks, computed at once, near the middle of the grid."""
    middle = middle_of(stage.grid)
    lengths = [b * n for b, n in zip(stage.block_shape, stage.box_blocks, strict=True)]
    stop = tuple(min(a + length, n) for a, length, n in zip(middle.start, lengths, stage.shape, strict=True))
    start = tuple(max(0, z - length) for z, length in zip(stop, lengths, strict=True))
    return Region(start, stop)


def halo_of(plan: Plan, stage_index: StageIndex, written: Region, needed: Regions) -> tuple[int, ...]:
    """The widest halo of a block on each axis, over the images that lie on the stage's grid pixel by pixel."""
    shape = plan.stages[stage_index].shape
    halo = [0] * len(shape)
    for index, region in needed.items():
        if plan.nodes[index].shape[: len(shape)] == shape:
            for axis in range(len(shape)):
                before, after = written.start[axis] - region.start[axis], region.stop[axis] - written.stop[axis]
                halo[axis] = max(halo[axis], before, after)
    return tuple(halo)
