"""Makes plans: where to cut the graph into stages, what to keep between them, how large blocks and batches are."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from lepton_celery.catalogue import get_entry
from lepton_celery.catalogue.entries import Labelling, Local, Reduction
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.source import SOURCE
from lepton_celery.errors import InputError, PlanTooLarge
from lepton_celery.graph.nodes import Image, Node, topological
from lepton_celery.grid import BlockGrid, BlockIndex, Region
from lepton_celery.planning.cost.model import BATCHES_PER_SLOT, CostModel
from lepton_celery.planning.cost.predict import (
    Places,
    begin_s,
    chunks_of,
    cost_name,
    function_figure,
    middle_box,
    middle_of,
    peak_bytes,
    predict,
)
from lepton_celery.planning.plan import (
    Plan,
    PlanNode,
    Prediction,
    Stage,
    can_be_cut,
    entry_of,
    expanded_parents,
    functions_of,
    grid_shape,
    has_own_stage,
    is_fused,
    is_value,
    levels_of,
    lower,
    needed_regions,
    reads_itself,
)
from lepton_celery.planning.tiles import compact, runs

BLOCK_PX = 1 << 20
"""Pixels a block has by default: large enough that fixed costs vanish, small enough to stay in the caches."""
LEAST_PX = 1 << 16
"""Pixels below which a block's fixed costs are no longer small."""
TOGETHER_PX = 1 << 18
"""Most pixels of blocks that are computed at once because each of them alone is small."""
READ_PX = 1 << 22
"""Most pixels of any one image that a block reads, halo included, before the planner takes smaller blocks."""


MERGE_BLOCKS = 256
"""Most partials that one merge goes over, where those of a group of blocks can be combined first."""
FAN_IN = 64
"""Blocks of a group, about."""
_AMPLIFIED = 1.25
"""Times over that an image is computed before storing it is considered, …"""
_TRIALS = 6
"""… the most images that are considered at a time, …"""
_CLEARLY = 0.95
"""… and the share of the predicted time that storing one must save: predictions are no better than that."""
_ALIKE = 1.03
"""Predicted times of block shapes that differ by less are alike: the first of them is taken."""


@dataclass(frozen=True)
class Limits:
    """What a plan may ask for; beyond, it is refused with the remedy."""

    worker_memory_bytes: int = 1 << 30
    """Arrays that one worker process may hold at a time."""
    pixels: int = 1 << 42
    """Pixels of one image."""
    blocks: int = 10_000_000
    """Blocks of one stage."""


@dataclass(frozen=True)
class Options:
    """What a caller may choose of a plan."""

    block_shape: tuple[int, ...] | None = None
    """Shape of a block; None: chosen."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Worker processes the time is predicted for."""
    limits: Limits = field(default_factory=Limits)
    cost: CostModel = field(default_factory=CostModel)
    merge_blocks: int = MERGE_BLOCKS
    fan_in: int = FAN_IN
    in_memory: bool = False
    """Outputs, and what passes between stages, are arrays of this process."""


def make_plan(outputs: Mapping[str, Node], options: Options | None = None) -> Plan:
    """The plan that computes the named outputs.

    Raises:
        InputError: nothing to compute, or a block shape that does not fit.
        PlanTooLarge: it needs more than the limits allow; the message has the figures and the remedy.
    """
    options = options or Options()
    if not outputs:
        raise InputError("no outputs were given; name at least one node to compute")
    for name, node in outputs.items():
        if not isinstance(node, Node):
            raise InputError(f"output {name!r} is {type(node).__name__}, not a lazy image, value or table")
    nodes, wanted = lower(outputs)
    for lowered in nodes:
        if math.prod(lowered.shape) > options.limits.pixels:
            raise PlanTooLarge(
                f"an image of shape {lowered.shape} has {math.prod(lowered.shape):,} pixels, over the limit of "
                f"{options.limits.pixels:,}; raise Limits(pixels=…) if that is meant"
            )
    return _cut_where_cheaper(nodes, wanted, options, places_of(outputs, options))


def places_of(outputs: Mapping[str, Node], options: Options) -> Places:
    """Where the images of a graph are."""
    chunks = {}
    for node in topological(list(outputs.values()), expanded_parents):
        if isinstance(node, Image) and node.chunks is not None:
            chunks[str(node.arguments["url"])] = node.chunks
    return Places(chunks, options.in_memory)


def _cut_where_cheaper(nodes: Sequence[PlanNode], outputs: dict[str, int], options: Options, places: Places) -> Plan:
    """The fused plan, or one that stores images rather than computing them again in the halos of many blocks.

    With a block of B pixels and a halo of r, an image is computed ((B + 2 r) / B) ^ d times over.
    """
    cut: frozenset[int] = frozenset()
    plan = _Planner(nodes, outputs, options, places, cut).plan()
    while True:
        trials = {}
        for index in _amplified(plan)[:_TRIALS]:
            try:
                trials[index] = _Planner(nodes, outputs, options, places, cut | {index}).plan()
            except PlanTooLarge:
                continue
        best = min(trials, key=lambda index: trials[index].predicted_s, default=-1)
        if best < 0 or trials[best].predicted_s > _CLEARLY * plan.predicted_s:
            return plan
        cut, plan = cut | {best}, trials[best]


def _amplified(plan: Plan) -> list[int]:
    """Images computed on many more pixels than the blocks have, for the halos of what uses them; the most so first."""
    found: dict[int, float] = {}
    for at, stage in enumerate(plan.stages):
        if stage.combines:
            continue
        middle = middle_of(stage.grid)
        for index, region in needed_regions(plan, at, middle).items():
            node = plan.nodes[index]
            if plan.is_read(index, at) or index in plan.kept or not is_fused(node):
                continue
            share = math.prod(node.shape) * middle.size / math.prod(stage.shape)
            if region.size > _AMPLIFIED * share:
                found[index] = max(found.get(index, 0.0), region.size / share)
    return sorted(found, key=found.__getitem__, reverse=True)


class _Planner:
    """The steps of `make_plan`, on one lowered graph; `cut`: images that are stored before they are used."""

    def __init__(
        self,
        nodes: Sequence[PlanNode],
        outputs: dict[str, int],
        options: Options,
        places: Places,
        cut: frozenset[int],
    ) -> None:
        self.nodes = tuple(nodes)
        self.outputs = outputs
        self.options = options
        self.places = places
        self.cut = cut
        self.levels = levels_of(nodes, cut)
        self.bare = Plan(self.nodes, (), outputs, workers=options.workers)

    def plan(self) -> Plan:
        targets = self._targets()
        keep = self._worth_keeping(targets, self._stored_anyway())
        stages: list[Stage] = []
        kept: dict[int, int] = {}
        for level, found in enumerate(targets):
            stored = [*found, *(index for index, at in keep.items() if at == level)]
            groups: dict[tuple[tuple[int, ...], int], list[int]] = {}
            for index in dict.fromkeys(stored):
                alone = index if has_own_stage(self._entry(index)) else -1
                groups.setdefault((self._grid_of(index), alone), []).append(index)
            for (shape, _), members in groups.items():
                for index in members:
                    if index in keep or isinstance(self._entry(index), Labelling):
                        kept[index] = len(stages)
                stages.append(self._stage(shape, members))
            if groups:
                # values known once this level's partials are in
                values = tuple(i for i, node in enumerate(self.nodes) if is_value(node) and self.levels[i] == level + 1)
                stages[-1] = replace(stages[-1], values=values)
        cost = self.options.cost
        plan = replace(self.bare, stages=tuple(stages), kept=kept, costs=cost.words)
        plan = replace(plan, begin_s=begin_s(plan, cost, self.places))
        at = 0
        while at < len(plan.stages):
            plan = self._sized(plan, at)
            combining = self._combining(plan.stages[at])
            plan = _inserted(plan, at, combining)
            if combining:
                plan = self._merged_later(plan, at, at + len(combining))
            at += 1 + len(combining)
        return plan

    def _entry(self, index: int) -> Any:
        operation = self.nodes[index].operation
        return None if operation == SOURCE else get_entry(operation)

    def _is_reduction(self, index: int) -> bool:
        return isinstance(self._entry(index), Reduction | Labelling)

    def _targets(self) -> list[list[int]]:
        """What each level must produce: partials, and the images that are outputs."""
        targets: list[list[int]] = [[] for _ in range(max(self.levels) + 1)]
        wanted = set(self.outputs.values())
        for index, node in enumerate(self.nodes):
            if self._is_reduction(index):
                targets[self.levels[index] - 1].append(index)
            if node.gives == "image" and index in wanted and not isinstance(self._entry(index), Labelling):
                targets[self.levels[index] - self._ends_a_level(index)].append(index)
        return targets

    def _ends_a_level(self, index: int) -> bool:
        return index in self.cut or has_own_stage(self._entry(index))

    def _stored_anyway(self) -> dict[int, int]:
        """Images that later stages can only read from a store, and the level that stores them."""
        keep: dict[int, int] = {}
        for node in self.nodes:
            entry = entry_of(node)
            for image in self.bare.images_of(node).values() if entry is not None else ():
                stored_by_itself = self._ends_a_level(image)
                if stored_by_itself or (entry is not None and reads_itself(entry) and is_fused(self.nodes[image])):
                    keep[image] = self.levels[image] - stored_by_itself
        return keep

    def _grid_of(self, index: int) -> tuple[int, ...]:
        node = self.nodes[index]
        if self._is_reduction(index):
            node = self.nodes[next(iter(self.bare.images_of(node).values()))]
        return grid_shape(node.shape)

    # ---------------------------------------------------------------- what to keep between stages

    def _computed(self, targets: Sequence[int], level: int, keep: Mapping[int, int]) -> set[int]:
        """Local nodes that a level computes for its targets, given what is kept from earlier levels."""
        stack = []
        for index in targets:
            stack += list(self.bare.pixels_of(self.nodes[index]).values()) if self._is_reduction(index) else [index]
        found: set[int] = set()
        while stack:
            index = stack.pop()
            if index in found or not isinstance(self._entry(index), Local) or keep.get(index, level) < level:
                continue
            found.add(index)
            stack += self.bare.pixels_of(self.nodes[index]).values()
        return found

    def _worth_keeping(self, targets: list[list[int]], keep: dict[int, int]) -> dict[int, int]:
        """`keep`, and the images that are cheaper to store once than to compute again in later levels."""
        targets = [[*found, *(i for i, at in keep.items() if at == level)] for level, found in enumerate(targets)]
        while True:
            computed = [self._computed(found, level, keep) for level, found in enumerate(targets)]
            first: dict[int, int] = {}
            for level, found in enumerate(computed):
                for index in found:
                    first.setdefault(index, level)
            best, gain = -1, 0.0
            for index, level in first.items():
                again = [
                    at for at in range(level + 1, len(targets)) if self._is_front(index, at, computed, first, targets)
                ]
                if again and index not in keep:
                    saved = self._saving(index, len(again), computed[again[0]])
                    best, gain = (index, saved) if saved > gain else (best, gain)
            if best < 0:
                return keep
            keep[best] = first[best]

    def _is_front(
        self, index: int, level: int, computed: list[set[int]], first: Mapping[int, int], targets: list[list[int]]
    ) -> bool:
        """Whether a level computes `index` again for something new, not only for other nodes computed again."""
        if index not in computed[level]:
            return False
        for target in targets[level]:
            if target == index or (self._is_reduction(target) and index in self.nodes[target].refs()):
                return True
        return any(first[other] == level and index in self.nodes[other].refs() for other in computed[level])

    def _saving(self, index: int, times: int, computed: set[int]) -> float:
        """Seconds saved by storing an image instead of computing it `times` more times."""
        cost, kind = self.options.cost, self.places.kept(self.nodes[index])
        chain, stack = 0.0, [index]
        seen: set[int] = set()
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            node = self.nodes[at]
            pixels = math.prod(node.shape)
            if at in computed:
                figure, taps = function_figure(cost, self.bare, at)
                chain += figure.seconds_for(pixels, calls=0, taps=taps)
                stack += self.bare.pixels_of(node).values()
            else:
                source = self.places.source(node.arguments["url"]) if node.operation == SOURCE else kind
                chain += cost.figure("read", source, node.dtype).seconds_for(pixels * node.itemsize, calls=0)
        node = self.nodes[index]
        size = math.prod(node.shape) * node.itemsize
        stored = cost.figure("write", kind, node.dtype).seconds_for(size, calls=0)
        stored += cost.figure("reserve", kind).seconds_for(size)
        return times * chain - stored - times * cost.figure("read", kind, node.dtype).seconds_for(size, calls=0)

    def _shown(self, node: PlanNode) -> dict[str, Any]:
        """A node's arguments, with what is known of its images in their places."""
        return node.arguments | {name: self.nodes[image] for name, image in self.bare.images_of(node).items()}

    # ---------------------------------------------------------------- stages and their sizes

    def _stage(self, shape: tuple[int, ...], members: Sequence[int]) -> Stage:
        reduces = tuple(index for index in members if self._is_reduction(index))
        stores = tuple(index for index in members if isinstance(self._entry(index), Labelling) or index not in reduces)
        return Stage(shape, shape, 1, stores, reduces, (), Prediction(0, 0, 0, 0, 0, (0,) * len(shape)))

    def _sized(self, plan: Plan, at: int) -> Plan:
        """The plan with stage `at`'s blocks, batches and prediction settled."""
        stage = plan.stages[at]
        wanted = self.options.block_shape
        if wanted is not None and len(wanted) == len(stage.shape) + 1 and wanted[-1] <= 4:
            wanted = wanted[:-1]  # given with the channels, which are never cut
        limits = self.options.limits
        if wanted is not None and len(wanted) == len(stage.shape):
            candidates = [tuple(min(b, n) for b, n in zip(wanted, stage.shape, strict=True))]
        elif wanted is not None and all(
            len(wanted) - len(s.shape) not in (0, wanted[-1:] <= (4,)) for s in plan.stages
        ):
            raise InputError(f"block shape {wanted} for a grid of shape {stage.shape}; give one length per axis")
        else:
            candidates = self._candidates(plan, at)
        candidates = self._allowed(stage, candidates)
        trials: list[Plan] = []
        for block_shape in candidates:
            trial = _replaced(plan, at, replace(stage, block_shape=block_shape))
            grid = trial.stages[at].grid
            needed = needed_regions(trial, at, middle_of(grid))
            memory = peak_bytes(trial, at, needed)
            largest = max((region.size for region in needed.values()), default=0)
            last = block_shape == candidates[-1]
            if memory > limits.worker_memory_bytes or (largest > READ_PX and not last and wanted is None):
                continue
            trials.append(self._batched(trial, at, needed, memory))
        if not trials:
            raise PlanTooLarge(
                f"blocks of {block_shape} need {memory / 2**20:.0f} MiB in each worker, over the limit of "
                f"{limits.worker_memory_bytes / 2**20:.0f} MiB; use smaller blocks or raise Limits(worker_memory_bytes=…)"
            )
        least = min(trial.stages[at].predicted.wall_s for trial in trials)
        chosen = next(trial for trial in trials if trial.stages[at].predicted.wall_s <= _ALIKE * least)
        grid = chosen.stages[at].grid
        if len(grid) > limits.blocks:
            raise PlanTooLarge(
                f"blocks of {grid.block_shape} make {len(grid):,} blocks of an image of {stage.shape}, over the limit of "
                f"{limits.blocks:,}; use larger blocks"
            )
        return chosen

    def _batched(self, plan: Plan, at: int, needed: Mapping[int, Region], memory: int) -> Plan:
        """The plan with stage `at`'s batches, and what is done at once in them, chosen and predicted."""
        stage, cost, places = plan.stages[at], self.options.cost, self.places
        batch, least, predicted = predict(plan, at, needed, memory, cost=cost, places=places)
        tile = compact(stage.grid.counts, batch)
        together = self._together(plan, at, tile)
        if math.prod(together) == 1:
            tile = runs(stage.grid.counts, batch)
        else:  # blocks cost less then, and more of them make a batch
            joined = _replaced(plan, at, replace(stage, together=together))
            wider = needed_regions(joined, at, middle_box(joined.stages[at]))
            memory = max(memory, peak_bytes(joined, at, wider))
            batch, least, predicted = predict(joined, at, wider, memory, cost=cost, places=places)
            tile = tuple(map(max, compact(stage.grid.counts, batch), together))
        size = math.prod(tile)
        sized = replace(
            stage, batch_blocks=size, least=min(least, size), predicted=predicted, tile=tile, together=together
        )
        return _replaced(plan, at, sized)

    def _lies_over(self, plan: Plan, at: int, index: int) -> bool:
        """Whether an image that a stage needs is read or made where the stage's blocks are, and nowhere else."""
        entry = self._entry(index)
        over = plan.nodes[index].shape[: len(plan.stages[at].shape)] == plan.stages[at].shape
        return over and (plan.is_read(index, at) or (isinstance(entry, Local) and isinstance(entry.geometry, Stencil)))

    def _together(self, plan: Plan, at: int, tile: tuple[int, ...]) -> tuple[int, ...]:
        """How many blocks along each axis are computed at once: as many as their pixels' share of a tile allows, within
        the memory that a worker may take."""
        stage = plan.stages[at]
        if not can_be_cut(plan, at) or functions_of(plan):  # the user's own may count on the blocks they asked for
            return (1,) * len(tile)
        if not all(
            self._lies_over(plan, at, index) for index in needed_regions(plan, at, stage.grid.region(BlockIndex(0)))
        ):
            return (1,) * len(tile)  # what a box reads of parts put together may lie far apart
        together = tile
        while math.prod(together) > 1:
            box = Region(
                (0,) * len(tile),
                tuple(min(b * n, m) for b, n, m in zip(stage.block_shape, together, stage.shape, strict=True)),
            )
            within = peak_bytes(plan, at, needed_regions(plan, at, box)) <= self.options.limits.worker_memory_bytes
            if within and box.size <= TOGETHER_PX:
                break
            axis = max(range(len(together)), key=lambda axis: (together[axis], -axis))
            together = tuple(-(-n // 2) if at == axis else n for at, n in enumerate(together))
        return together

    def _candidates(self, plan: Plan, at: int) -> list[tuple[int, ...]]:
        """Block shapes to try for a stage: those of `block_candidates`, and the same in whole chunks of what it reads."""
        stage = plan.stages[at]
        found = block_candidates(stage.shape, self.options.workers)
        for chunks in self._chunks(plan, at):
            found += [aligned(block, chunks, stage.shape) for block in found]
        enough = BATCHES_PER_SLOT * self.options.workers
        few = [block for block in found if len(BlockGrid(stage.shape, block)) < enough]
        return list(dict.fromkeys([block for block in found if block not in few] or found))

    def tried(self, plan: Plan, at: int) -> list[tuple[int, ...]]:
        """The block shapes that were considered for a stage."""
        return self._allowed(plan.stages[at], self._candidates(plan, at))

    def _chunks(self, plan: Plan, at: int) -> list[tuple[int, ...]]:
        """The chunks of the stored images that a stage reads and that lie on its grid pixel by pixel."""
        stage = plan.stages[at]
        ndim = len(stage.shape)
        found = []
        for index in needed_regions(plan, at, middle_of(stage.grid)):
            if plan.is_read(index, at) and plan.nodes[index].shape[:ndim] == stage.shape:
                chunks = chunks_of(plan, index, self.places)
                found += [] if chunks is None else [chunks[:ndim]]
        return list(dict.fromkeys(found))

    def _combining(self, stage: Stage) -> list[Stage]:
        """The stages that combine the partials of a stage of very many blocks, group by group, before they are merged."""
        cost, found = self.options.cost, []
        nodes = tuple(index for index in stage.reduces if self._entry(index).combine is not None)
        while nodes and len(stage.grid) > max(1, self.options.merge_blocks):
            group = group_shape(stage.grid.counts, self.options.fan_in)
            block_shape = tuple(min(b * g, n) for b, g, n in zip(stage.block_shape, group, stage.shape, strict=True))
            blocks = len(BlockGrid(stage.shape, block_shape))
            each = sum(cost.figure("merge", cost_name(self.nodes[index])).call_ns for index in nodes) * 1e-9
            per_block = cost.overheads.block_s + math.prod(group) * each
            batch = cost.batch_blocks(per_block, blocks, self.options.workers)
            batches = -(-blocks // batch)
            seconds = blocks * per_block + batches * cost.overheads.batch_s
            wall_s = cost.stage_wall_s(seconds, batches, self.options.workers, 0.0)
            predicted = Prediction(0, seconds, 0, 0, 0, (0,) * len(stage.shape), wall_s=wall_s, blocks=blocks)
            least = cost.least_blocks(per_block, batch)
            stage = Stage(stage.shape, block_shape, batch, (), (), (), predicted, nodes, least=least)
            found.append(stage)
        return found

    def _merged_later(self, plan: Plan, at: int, last: int) -> Plan:
        """The plan with the merges of stage `at` predicted for the stage that has combined its partials."""
        stage, end = plan.stages[at], plan.stages[last]
        merges = [part for part in stage.predicted.parts if part.kind == "merge"]
        later = {part for part in merges if part.node in end.combines}
        once = [
            part._replace(
                calls=len(end.grid),
                seconds=self.options.cost.figure("merge", part.key).seconds_for(part.units, calls=len(end.grid)),
            )
            for part in merges
            if part in later
        ]
        gone_s, added_s = sum(part.seconds for part in later), sum(part.seconds for part in once)
        before = replace(
            stage.predicted,
            parts=tuple(part for part in stage.predicted.parts if part not in later),
            merge_s=stage.predicted.merge_s - gone_s,
            wall_s=stage.predicted.wall_s - gone_s,
        )
        after = replace(end.predicted, parts=tuple(once), merge_s=added_s, wall_s=end.predicted.wall_s + added_s)
        plan = _replaced(plan, at, replace(stage, predicted=before))
        return _replaced(plan, last, replace(end, predicted=after))

    def _allowed(self, stage: Stage, candidates: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Block shapes as a function with a stage of its own wants them."""
        entry = self._entry(stage.stores[0]) if stage.stores else None
        if not isinstance(entry, Local) or entry.own_stage is None:
            return candidates
        node = self.nodes[stage.stores[0]]
        arguments = entry.complete(self._shown(node))
        ndim = len(stage.shape)  # without channels, which are never cut
        allowed = []
        for wanted in candidates:
            full = (*wanted, *node.shape[ndim:])
            allowed.append(entry.own_stage(node.shape, full, arguments)[:ndim])
        return list(dict.fromkeys(allowed))


# ------------------------------------------------------------------------------------------------ what else there was


@dataclass(frozen=True)
class Alternative:
    """Another way to compute the same."""

    what: str
    """What is different, in words."""
    plan: Plan


def alternatives(outputs: Mapping[str, Node], options: Options, chosen: Plan) -> list[Alternative]:
    """Other plans that were possible, the quickest first: other blocks, images stored or computed again."""
    largest = max(range(len(chosen.stages)), key=lambda at: math.prod(chosen.stages[at].shape))
    stage, places = chosen.stages[largest], places_of(outputs, options)
    nodes, wanted = lower(outputs)
    fused = _Planner(nodes, wanted, options, places, frozenset())
    shapes = [*_halving(stage.shape)[:_OTHERS], *fused.tried(chosen, largest)]
    trials = [
        (f"blocks of {'×'.join(map(str, shape))}", replace(options, block_shape=shape), frozenset[int]())
        for shape in dict.fromkeys(shapes)
        if shape != stage.block_shape
    ]
    if options.block_shape is not None:
        trials.append(("blocks as the planner chooses them", replace(options, block_shape=None), frozenset()))
    if chosen.kept.keys() - fused.plan().kept.keys():
        trials.append(("fused, nothing stored that need not be", options, frozenset()))
    for index in _amplified(chosen)[:2]:
        name = chosen.nodes[index].operation.rpartition(".")[2]
        trials.append((f"{name} stored, not computed again in halos", options, frozenset({index})))
    found = []
    for what, other, cut in trials:
        with suppress(InputError):  # it does not fit
            found.append(Alternative(what, _Planner(nodes, wanted, other, places, cut).plan()))
    return sorted(found, key=lambda other: other.plan.predicted_s)[:_MOST_OTHERS]


_OTHERS = 3
"""Sizes of blocks that are tried besides those that were considered, …"""
_MOST_OTHERS = 4
"""… and the most plans that are shown."""


def block_candidates(shape: tuple[int, ...], workers: int) -> list[tuple[int, ...]]:
    """Block shapes to try for an image, from about `BLOCK_PX` pixels downwards, lengths powers of two.

    The first are left out for an image of less than four such blocks per worker, as long as blocks keep `LEAST_PX` pixels.
    """
    tried = _halving(shape)
    while len(tried) > 1 and len(BlockGrid(shape, tried[0])) < 4 * workers and math.prod(tried[1]) >= LEAST_PX:
        tried = tried[1:]
    return tried


def aligned(block: Sequence[int], chunks: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """A block shape near `block` in whole chunks; an axis that the block covers stays covered."""
    return tuple(
        n if b >= n else min(n, max(1, round(b / chunk)) * chunk)
        for b, chunk, n in zip(block, chunks, shape, strict=True)
    )


def _halving(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    candidates: list[tuple[int, ...]] = []
    side = 1 << round(math.log2(BLOCK_PX) / max(1, len(shape)))
    while True:
        # axes shorter than a side leave their share of pixels to the others
        long = [n for n in shape if n > side]
        block = tuple(min(n, side) for n in shape)
        spare = BLOCK_PX // max(1, math.prod(block)) if not candidates and len(long) < len(shape) else 1
        if spare > 1 and long:
            grown = side << int(math.log2(spare) / len(long))
            block = tuple(min(n, grown) if n > side else n for n in shape)
        candidates.append(block)
        if side <= 64:
            return candidates
        side //= 2


def group_shape(counts: Sequence[int], fan_in: int) -> tuple[int, ...]:
    """About `fan_in` blocks, as compact as the grid lets them be; at least 2, or there would be no end."""
    group = [1] * len(counts)
    while math.prod(group) < max(2, fan_in) and any(n > size for n, size in zip(counts, group, strict=True)):
        axis = min((size, axis) for axis, size in enumerate(group) if counts[axis] > size)[1]
        group[axis] *= 2
    return tuple(group)


def _inserted(plan: Plan, at: int, following: Sequence[Stage]) -> Plan:
    """The plan with stages behind stage `at`, the last of which finds the values that it found."""
    if not following:
        return plan
    ends = replace(following[-1], values=plan.stages[at].values)
    begins = replace(plan.stages[at], values=())
    stages = (*plan.stages[:at], begins, *following[:-1], ends, *plan.stages[at + 1 :])
    kept = {index: stage + len(following) * (stage > at) for index, stage in plan.kept.items()}
    return replace(plan, stages=stages, kept=kept)


def _replaced(plan: Plan, at: int, stage: Stage) -> Plan:
    return replace(plan, stages=(*plan.stages[:at], stage, *plan.stages[at + 1 :]))
