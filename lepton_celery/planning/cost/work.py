"""The pixels that a stage's blocks compute and read of each image, added up over the stage.

A function computes its block and its halo, and blocks at the image's edge have less of a halo. Along each axis the lengths
of all blocks are added up from those of the first, a middle and the last block; the product of the axes is the exact sum
over all blocks, unless a halo reaches past a whole block: then the blocks next to the edge are counted as middle ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lepton_celery.grid import Region, StageIndex
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.regions import Regions, middle_box, needed_regions, on_grid

LARGE_PX = 1 << 21
"""Pixels of an image beyond which arrays no longer fit into the processor's caches."""
LARGE_RATIO = 1.25
"""Largest ratio of the time per pixel of a large array to that of a small one."""
LARGE_NS = 4.0
"""Largest additional time per pixel of a large array, in nanoseconds."""


class StageWork:
    """The pixels of all blocks of a stage, or of all boxes of blocks if it computes several at once."""

    def __init__(self, plan: Plan, stage_index: StageIndex, needed: Regions) -> None:
        """`needed` are the regions that the middle box of blocks needs."""
        self._plan = plan
        self._stage = plan.stages[stage_index]
        self.middle = middle_box(self._stage)
        self._counts = [-(-n // length) for n, length in zip(self._stage.shape, self.middle.shape, strict=True)]
        self._grid_boxes = [self.middle]
        self._boxes = [needed]
        if math.prod(self._counts) > 1:
            first, last = _corners(self._stage.shape, self.middle)
            self._grid_boxes = [first, self.middle, last]
            self._boxes = [needed_regions(plan, stage_index, first), needed, needed_regions(plan, stage_index, last)]
        self.share = math.prod(self._stage.shape) / self.middle.size
        """The stage's pixels, as a multiple of the middle box's."""

    def read_px(self, index: int) -> float:
        """Pixels of an image that all blocks need, halos included."""
        return self._total(index, [box.get(index) for box in self._boxes])

    def computed_px(self, index: int) -> float:
        """Pixels of an image that a function computes for all blocks, halos and trimmed pixels included."""
        return self._total(index, [self._computed(index, box.get(index)) for box in self._boxes])

    def result_px(self, index: int) -> float:
        """Pixels that a function computes for all blocks of a result that no other function of the stage takes."""
        node = self._plan.nodes[index]
        # the axes of a value are not those of the images that it is found from
        boxes = [on_grid(box, node.shape) if node.gives == "image" else box for box in self._grid_boxes]
        return self._total(index, [self._computed(index, box) for box in boxes])

    def _computed(self, index: int, region: Region | None) -> Region | None:
        node = self._plan.nodes[index]
        if region is None or node.gives != "image":
            return region
        shapes = [self._plan.nodes[image].shape for image in node.images.values()]
        return node.entry.computes(region, shapes, node.with_defaults)

    def _total(self, index: int, regions: Sequence[Region | None]) -> float:
        ndim = len(self._stage.shape)
        middle = regions[len(regions) // 2]
        assert middle is not None, "the middle box needs every image that the stage is charged for"
        if self._plan.nodes[index].shape[:ndim] != self._stage.shape or None in regions:
            return middle.size * self.share
        total = float(math.prod(middle.shape[ndim:]))
        for axis, count in enumerate(self._counts):
            lengths = [region.shape[axis] for region in regions if region is not None]
            total *= lengths[len(lengths) // 2] if count == 1 else lengths[0] + (count - 2) * lengths[1] + lengths[-1]
        return total


def _corners(shape: Sequence[int], box: Region) -> tuple[Region, Region]:
    """The first and the last box of a grid of boxes; the last one may be smaller."""
    first = Region((0,) * len(box.shape), box.shape)
    start = tuple((n - 1) // length * length for n, length in zip(shape, box.shape, strict=True))
    return first, Region(start, tuple(shape))


def large_factor(pixels: float, ns_per_px: float) -> float:
    """The time per pixel of an array of this many pixels, as a multiple of that of one that fits into the caches."""
    if pixels <= LARGE_PX or ns_per_px <= 0:
        return 1.0
    return min(LARGE_RATIO, 1 + LARGE_NS / ns_per_px)
