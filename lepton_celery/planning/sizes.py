"""Chooses the blocks and batches of stages: the quickest of several block shapes that fit the limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from lepton_celery.errors import InputError, PlanTooLarge
from lepton_celery.grid import BlockIndex, Region, StageIndex
from lepton_celery.planning.bounds import remedy
from lepton_celery.planning.cost.model import BATCHES_PER_WORKER
from lepton_celery.planning.cost.predict import predict
from lepton_celery.planning.locations import Locations
from lepton_celery.planning.memory import peak_bytes
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.regions import MAX_CHANNELS, Regions, grid_shape, middle_box, middle_of, needed_regions
from lepton_celery.planning.shapes import BLOCK_PX, Shape, aligned, block_candidates, larger_candidates
from lepton_celery.planning.tiles import compact, runs

MAX_BOX_PX = 1 << 18
"""Largest number of pixels of a box of small blocks that are computed at once."""
USUAL_READ_PX = 1 << 22
"""Pixels of one image that a block of usual size reads at most, halo included."""
MIN_SAVING_OF_LARGER = 0.1
"""Share of the predicted time that blocks larger than usual must save: they take more memory, and to lose one costs more."""
MAX_WORK_RATIO = 1.5
"""Largest processor time of a stage, as a multiple of that of the block shape that takes least: other jobs, too, need the
workers that would finish it a little earlier."""
TIE_RATIO = 1.03
"""Block shapes whose predicted times differ by less than this ratio count as equally quick; the first of them is taken."""


class StageSizer:
    """Chooses the blocks and batches of the stages of one graph."""

    def __init__(self, options: PlanOptions, locations: Locations) -> None:
        self._options = options
        self._locations = locations

    def sized(self, plan: Plan, index: StageIndex) -> Plan:
        """The plan with a stage's blocks, batches and prediction.

        Raises:
            InputError: the block shape that was asked for does not fit.
            PlanTooLarge: the stage needs more than the limits allow.
        """
        if (whole := self._whole(plan, index)) is not None:
            return whole
        stage, limits = plan.stages[index], self._options.limits
        usual: list[Plan] = []
        larger: list[Plan] = []
        least: tuple[int, Shape] | None = None
        for block_shape in self.shapes(plan, index):
            trial = plan.with_stage(index, replace(stage, block_shape=block_shape))
            needed = needed_regions(trial, index, middle_of(trial.stages[index].grid))
            memory_bytes = peak_bytes(trial, index, needed)
            if memory_bytes > limits.worker_memory_bytes:
                least = min(least or (memory_bytes, block_shape), (memory_bytes, block_shape))
                continue
            reads_much = max((region.size for region in needed.values()), default=0) > USUAL_READ_PX
            trials = larger if reads_much or math.prod(block_shape) > 2 * BLOCK_PX else usual
            trials.append(self._batched(trial, index, needed, memory_bytes))
        if not usual + larger:
            assert least is not None, "there is at least one block shape"
            raise PlanTooLarge(
                f"blocks of {least[1]} need {least[0] / 2**20:.0f} MiB in each worker, over the limit of "
                f"{limits.worker_memory_bytes / 2**20:.0f} MiB; use smaller blocks or raise "
                "Limits(worker_memory_bytes=…) or LEPTON_WORKER_MEMORY_BYTES"
            )
        chosen = _best(usual, larger, index)
        grid = chosen.stages[index].grid
        if len(grid) > limits.blocks:
            raise PlanTooLarge(
                f"blocks of {grid.block_shape} make {len(grid):,} blocks of an image of {stage.shape}, over the limit of "
                f"{limits.blocks:,}; use larger blocks, or {remedy('blocks')}"
            )
        return chosen

    def _whole(self, plan: Plan, index: StageIndex) -> Plan | None:
        """The plan with a stage as one block, if that takes less time than a message; another shape could not save more."""
        stage, options = plan.stages[index], self._options
        if options.block_shape is not None or math.prod(stage.shape) > BLOCK_PX:
            return None
        trial = plan.with_stage(index, replace(stage, block_shape=stage.shape))
        needed = needed_regions(trial, index, middle_of(trial.stages[index].grid))
        memory_bytes = peak_bytes(trial, index, needed)
        if memory_bytes > options.limits.worker_memory_bytes or _has_own_functions(plan, index, needed):
            return None
        trial = self._batched(trial, index, needed, memory_bytes)
        return trial if trial.stages[index].predicted.work_s <= options.cost.overheads.batch_s else None

    def shapes(self, plan: Plan, index: StageIndex) -> list[Shape]:
        """The block shapes that are considered for a stage, adjusted to its function if that needs a stage of its own."""
        stage, shapes = plan.stages[index], self._wanted(plan, index)
        if not stage.stores:
            return shapes
        node, ndim = plan.nodes[stage.stores[0]], len(stage.shape)
        channels = node.shape[ndim:]  # never cut
        shapes = [node.entry.blocks_for(node.shape, (*shape, *channels), node.with_defaults)[:ndim] for shape in shapes]
        return list(dict.fromkeys(shapes))

    def _wanted(self, plan: Plan, index: StageIndex) -> list[Shape]:
        """The block shape that the options ask for, or the candidates."""
        stage, asked = plan.stages[index], self._options.block_shape
        if asked is None:
            return self._candidates(plan, index)
        has_channels = len(asked) == len(stage.shape) + 1 and asked[-1] <= MAX_CHANNELS
        spatial = asked[:-1] if has_channels else asked
        if len(spatial) == len(stage.shape):
            return [tuple(min(b, n) for b, n in zip(spatial, stage.shape, strict=True))]
        grids = {len(grid_shape(node.shape)) for node in plan.nodes if node.gives == "image"}
        fits_elsewhere = any(len(spatial) - ndim in (0, spatial[-1:] <= (MAX_CHANNELS,)) for ndim in grids)
        if not fits_elsewhere:
            raise InputError(f"block shape {spatial} for a grid of shape {stage.shape}; give one length per axis")
        return self._candidates(plan, index)

    def _candidates(self, plan: Plan, index: StageIndex) -> list[Shape]:
        """The shapes of `block_candidates`, also rounded to whole chunks of the images that the stage reads."""
        stage, ndim = plan.stages[index], len(plan.stages[index].shape)
        shapes = block_candidates(stage.shape, BATCHES_PER_WORKER * self._options.workers)
        read = needed_regions(plan, index, middle_of(stage.grid))
        for image in read:
            lies_on_grid = plan.is_read(image, index) and plan.nodes[image].shape[:ndim] == stage.shape
            if lies_on_grid and (chunks := self._locations.chunks_of(plan, image)) is not None:
                shapes += [aligned(block, chunks[:ndim], stage.shape) for block in shapes]
        if not _has_own_functions(plan, index, read):
            shapes += larger_candidates(stage.shape)  # what a user's own function needs for more pixels is not known
        return list(dict.fromkeys(shapes))

    def _batched(self, plan: Plan, index: StageIndex, needed: Regions, memory_bytes: int) -> Plan:
        """The plan with a stage's batches and prediction, and with the blocks that are computed at once."""
        stage = plan.stages[index]
        sized = predict(plan, index, needed, memory_bytes, self._options, self._locations)
        tile = compact(stage.grid.counts, sized.batch_blocks)
        box = self._box(plan, index, tile)
        if math.prod(box) == 1:
            tile = runs(stage.grid.counts, sized.batch_blocks)
        else:  # a block costs less in a box, so a batch holds more blocks
            boxed = plan.with_stage(index, replace(stage, box_blocks=box))
            wider = needed_regions(boxed, index, middle_box(boxed.stages[index]))
            memory_bytes = max(memory_bytes, peak_bytes(boxed, index, wider))
            sized = predict(boxed, index, wider, memory_bytes, self._options, self._locations)
            tile = tuple(map(max, compact(stage.grid.counts, sized.batch_blocks), box))
        blocks = math.prod(tile)
        smallest = min(sized.min_batch_blocks, blocks)
        sized = replace(sized, batch_blocks=blocks, min_batch_blocks=smallest, tile=tile, box_blocks=box)
        return plan.with_stage(index, sized)

    def _box(self, plan: Plan, index: StageIndex, tile: Shape) -> Shape:
        """The blocks along each axis that are computed at once: a tile, halved until its pixels and memory fit."""
        stage, one = plan.stages[index], (1,) * len(tile)
        if not plan.can_be_cut(index):
            return one
        # where images are concatenated, a box may need distant regions of the inputs
        first = stage.grid.region(BlockIndex(0))
        if not all(_lies_over(plan, index, image) for image in needed_regions(plan, index, first)):
            return one
        box = tile
        while math.prod(box) > 1:
            lengths = [min(b * n, m) for b, n, m in zip(stage.block_shape, box, stage.shape, strict=True)]
            region = Region.whole(lengths)
            if region.size <= MAX_BOX_PX:
                memory_bytes = peak_bytes(plan, index, needed_regions(plan, index, region))
                if memory_bytes <= self._options.limits.worker_memory_bytes:
                    break
            longest = max(range(len(box)), key=lambda axis: (box[axis], -axis))
            box = tuple(-(-n // 2) if axis == longest else n for axis, n in enumerate(box))
        return box


def _has_own_functions(plan: Plan, index: StageIndex, needed: Regions) -> bool:
    """Whether a stage that needs these images calls a function of the user's own, which nobody has measured."""
    return any(plan.nodes[image].entry.own_functions for image in (*needed, *plan.stages[index].reduces))


def _lies_over(plan: Plan, index: StageIndex, image: int) -> bool:
    """Whether a block needs an image only at its own position, halo included."""
    node, shape = plan.nodes[image], plan.stages[index].shape
    return node.shape[: len(shape)] == shape and (plan.is_read(image, index) or node.entry.is_positional)


def _best(usual: Sequence[Plan], larger: Sequence[Plan], index: StageIndex) -> Plan:
    """The first of the quickest plans for a stage, of those that take little more processor time than they must."""
    trials = [*usual, *larger]
    least_s = min(trial.stages[index].predicted.work_s for trial in trials)
    seconds = {
        number: trial.stages[index].predicted.wall_s
        for number, trial in enumerate(trials)
        if trial.stages[index].predicted.work_s <= MAX_WORK_RATIO * least_s
    }
    quickest = min(seconds.values())
    usual_s = min((wall_s for number, wall_s in seconds.items() if number < len(usual)), default=math.inf)
    if usual_s * (1 - MIN_SAVING_OF_LARGER) <= quickest:
        return trials[next(number for number, wall_s in seconds.items() if wall_s <= TIE_RATIO * usual_s)]
    return trials[next(number for number, wall_s in seconds.items() if wall_s <= TIE_RATIO * quickest)]
