"""Makes plans: where to cut the graph into stages, what to keep between them, how large blocks and batches are."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lepton_celery.cost import CostModel
from lepton_celery.errors import InputError, PlanTooLarge
from lepton_celery.graph import SOURCE, Node
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.operations import get_entry
from lepton_celery.operations.labels import LABELS, SETTLED
from lepton_celery.operations.spec import Labelling, Local, Reduction, Sweep
from lepton_celery.order import compact, runs
from lepton_celery.plan import (
    Plan,
    PlanNode,
    Prediction,
    Stage,
    can_be_cut,
    entry_of,
    functions_of,
    grid_shape,
    has_own_stage,
    is_fused,
    is_value,
    levels_of,
    lower,
    needed_regions,
    reads_itself,
    reads_of,
)
from lepton_celery.stores.chunk_cache import CACHE_BYTES

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
ROUNDS = 4
"""Rounds that a stage is expected to take where it is repeated until nothing changes."""


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
    return _cut_where_cheaper(nodes, wanted, options)


def _cut_where_cheaper(nodes: Sequence[PlanNode], outputs: dict[str, int], options: Options) -> Plan:
    """The fused plan, or one that stores images rather than computing them again in the halos of many blocks.

    With a block of B pixels and a halo of r, an image is computed ((B + 2 r) / B) ^ d times over.
    """
    cut: frozenset[int] = frozenset()
    plan = _Planner(nodes, outputs, options, cut).plan()
    while True:
        trials = {}
        for index in _amplified(plan)[:_TRIALS]:
            try:
                trials[index] = _Planner(nodes, outputs, options, cut | {index}).plan()
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
        middle = _middle(stage.grid)
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
        self, nodes: Sequence[PlanNode], outputs: dict[str, int], options: Options, cut: frozenset[int]
    ) -> None:
        self.nodes = tuple(nodes)
        self.outputs = outputs
        self.options = options
        self.cut = cut
        self.levels = levels_of(nodes, cut)
        self.bare = Plan(self.nodes, (), outputs)

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
        plan = Plan(self.nodes, tuple(stages), self.outputs, kept, self.options.workers)
        at = 0
        while at < len(plan.stages):
            plan = self._sized(plan, at)
            combining = self._combining(plan.stages[at])
            plan = _inserted(plan, at, combining)
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
        """Nanoseconds saved by storing an image instead of computing it `times` more times."""
        cost = self.options.cost
        chain, stack = 0.0, [index]
        seen: set[int] = set()
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            pixels = math.prod(self.nodes[at].shape)
            if at in computed:
                chain += self._ns_per_px(at) * pixels
                stack += self.bare.pixels_of(self.nodes[at]).values()
            else:
                chain += pixels * self.nodes[at].itemsize * cost.read_ns_per_byte
        stored = math.prod(self.nodes[index].shape) * self.nodes[index].itemsize
        return times * chain - stored * (cost.write_ns_per_byte + times * cost.read_ns_per_byte)

    def _ns_per_px(self, index: int) -> float:
        entry, node = self._entry(index), self.nodes[index]
        if not entry.tap_ns:
            return float(entry.cost_ns)
        reach = entry.geometry.halo_px(len(node.shape), entry.complete(self._shown(node)))
        return float(entry.cost_ns + entry.tap_ns * sum(2 * h + 1 for h in reach if h))

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
            candidates = block_candidates(stage.shape, self.options.workers)
        candidates = self._allowed(stage, candidates)
        for block_shape in candidates:
            trial = _replaced(plan, at, replace(stage, block_shape=block_shape))
            needed = needed_regions(trial, at, _middle(trial.stages[at].grid))
            memory = _peak_bytes(trial, at, needed)
            largest = max((region.size for region in needed.values()), default=0)
            last = block_shape == candidates[-1]
            if memory <= limits.worker_memory_bytes and (largest <= READ_PX or last or wanted is not None):
                break
        else:
            raise PlanTooLarge(
                f"blocks of {block_shape} need {memory / 2**20:.0f} MiB in each worker, over the limit of "
                f"{limits.worker_memory_bytes / 2**20:.0f} MiB; use smaller blocks or raise Limits(worker_memory_bytes=…)"
            )
        grid = trial.stages[at].grid
        if len(grid) > limits.blocks:
            raise PlanTooLarge(
                f"blocks of {block_shape} make {len(grid):,} blocks of an image of {stage.shape}, over the limit of "
                f"{limits.blocks:,}; use larger blocks"
            )
        predicted = self._predict(trial, at, needed, memory)
        per_block = (predicted.compute_s + predicted.communication_s) / len(grid)
        batch = self.options.cost.batch_blocks(per_block, len(grid), self.options.workers)
        messages_s = -(-len(grid) // batch) * self.options.cost.batch_s
        predicted = replace(predicted, communication_s=predicted.communication_s + messages_s)
        tile = compact(grid.counts, batch)
        together = self._together(trial, at, tile)
        if math.prod(together) == 1:
            tile = runs(grid.counts, batch)
        sized = replace(
            trial.stages[at], batch_blocks=math.prod(tile), predicted=predicted, tile=tile, together=together
        )
        return _replaced(trial, at, sized)

    def _together(self, plan: Plan, at: int, tile: tuple[int, ...]) -> tuple[int, ...]:
        """How many blocks along each axis are computed at once: as many as their pixels' share of a tile allows, within
        the memory that a worker may take."""
        stage = plan.stages[at]
        if not can_be_cut(plan, at) or functions_of(plan):  # the user's own may count on the blocks they asked for
            return (1,) * len(tile)
        together = tile
        while math.prod(together) > 1:
            box = Region(
                (0,) * len(tile),
                tuple(min(b * n, m) for b, n, m in zip(stage.block_shape, together, stage.shape, strict=True)),
            )
            within = _peak_bytes(plan, at, needed_regions(plan, at, box)) <= self.options.limits.worker_memory_bytes
            if within and box.size <= TOGETHER_PX:
                break
            axis = max(range(len(together)), key=lambda axis: (together[axis], -axis))
            together = tuple(-(-n // 2) if at == axis else n for at, n in enumerate(together))
        return together

    def _combining(self, stage: Stage) -> list[Stage]:
        """The stages that combine the partials of a stage of very many blocks, group by group, before they are merged."""
        cost, found = self.options.cost, []
        nodes = tuple(index for index in stage.reduces if self._entry(index).combine is not None)
        while nodes and len(stage.grid) > max(1, self.options.merge_blocks):
            group = group_shape(stage.grid.counts, self.options.fan_in)
            block_shape = tuple(min(b * g, n) for b, g, n in zip(stage.block_shape, group, stage.shape, strict=True))
            blocks = len(BlockGrid(stage.shape, block_shape))
            per_block = cost.block_s * (1 + math.prod(group) * len(nodes))
            batch = cost.batch_blocks(per_block, blocks, self.options.workers)
            seconds = blocks * per_block + -(-blocks // batch) * cost.batch_s + cost.stage_s
            predicted = Prediction(0, seconds, 0, 0, 0, (0,) * len(stage.shape))
            stage = Stage(stage.shape, block_shape, batch, (), (), (), predicted, nodes)
            found.append(stage)
        return found

    def _allowed(self, stage: Stage, candidates: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Block shapes as a function with a stage of its own wants them."""
        entry = self._entry(stage.stores[0]) if stage.stores else None
        if not isinstance(entry, Local) or entry.stage is None:
            return candidates
        node = self.nodes[stage.stores[0]]
        arguments = entry.complete(self._shown(node))
        ndim = len(stage.shape)  # without channels, which are never cut
        allowed = []
        for wanted in candidates:
            full = (*wanted, *node.shape[ndim:])
            allowed.append(entry.stage(node.shape, full, arguments)[:ndim])
        return list(dict.fromkeys(allowed))

    def _predict(self, plan: Plan, at: int, needed: Mapping[int, Region], memory: int) -> Prediction:
        stage, cost = plan.stages[at], self.options.cost
        blocks = stage.grid
        compute_ns, read_ns, read_bytes, write_ns, write_bytes = 0.0, 0.0, 0, 0.0, 0
        for index, region in needed.items():
            node = plan.nodes[index]
            size = region.size * node.itemsize
            if plan.is_read(index, at):
                read_bytes += size
                read_ns += size * (cost.decode_ns_per_byte if node.operation == SOURCE else cost.read_ns_per_byte)
            else:
                compute_ns += region.size * self._ns_per_px(index)
        for image, size in _read_by_themselves(plan, at, needed).items():
            read_bytes += size
            source = plan.nodes[image].operation == SOURCE
            read_ns += size * (cost.decode_ns_per_byte if source else cost.read_ns_per_byte)
        middle = _middle(blocks)
        for index in stage.reduces:
            compute_ns += middle.size * self._entry(index).cost_ns
        for index in stage.stores:
            if isinstance(self._entry(index), Sweep):
                compute_ns += middle.size * self._entry(index).cost_ns * ROUNDS
        for index in stage.stores:
            node = plan.nodes[index]
            size = middle.size * node.itemsize * (node.shape[-1] if len(node.shape) > len(stage.shape) else 1)
            write_bytes += size
            write_ns += size * (cost.write_ns_per_byte if index in plan.kept else cost.encode_ns_per_byte)
        # the middle block is whole; ragged ones are smaller
        share = math.prod(stage.shape) / middle.size
        return Prediction(
            compute_s=compute_ns * share * 1e-9,
            communication_s=(read_ns + write_ns) * share * 1e-9 + len(blocks) * cost.block_s + cost.stage_s,
            read_bytes=int(read_bytes * share),
            write_bytes=int(write_bytes * share),
            memory_bytes=memory,
            halo=_halo(plan, stage, middle, needed),
        )


def block_candidates(shape: tuple[int, ...], workers: int) -> list[tuple[int, ...]]:
    """Block shapes to try for an image, from about `BLOCK_PX` pixels downwards, lengths powers of two.

    The first are left out for an image of less than four such blocks per worker, as long as blocks keep `LEAST_PX` pixels.
    """
    tried = _halving(shape)
    while len(tried) > 1 and len(BlockGrid(shape, tried[0])) < 4 * workers and math.prod(tried[1]) >= LEAST_PX:
        tried = tried[1:]
    return tried


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


def _middle(grid: BlockGrid) -> Region:
    """A block that others surround on all sides, where the grid has one."""
    return grid.region(grid.index([(count - 1) // 2 for count in grid.counts]))


def _replaced(plan: Plan, at: int, stage: Stage) -> Plan:
    return replace(plan, stages=(*plan.stages[:at], stage, *plan.stages[at + 1 :]))


def _halo(plan: Plan, stage: Stage, block: Region, needed: Mapping[int, Region]) -> tuple[int, ...]:
    """The widest halo of a block on each axis, over the images that lie on the stage's grid pixel by pixel."""
    ndim = len(stage.shape)
    halo = [0] * ndim
    for index, region in needed.items():
        if plan.nodes[index].shape[:ndim] == stage.shape:
            for axis in range(ndim):
                before, after = block.start[axis] - region.start[axis], region.stop[axis] - block.stop[axis]
                halo[axis] = max(halo[axis], before, after)
    return tuple(halo)


def _read_by_themselves(plan: Plan, at: int, needed: Mapping[int, Region]) -> dict[int, int]:
    """Bytes of each image that a block's functions read for themselves, as far as their geometry can tell beforehand."""
    found: dict[int, int] = {}
    for index in needed:
        entry = entry_of(plan.nodes[index])
        if isinstance(entry, Local) and entry.readers and not plan.is_read(index, at):
            for image, region in zip(*reads_of(plan, index, needed[index]), strict=True):
                found[image] = max(found.get(image, 0), region.size * plan.nodes[image].itemsize)
    return found


def _peak_bytes(plan: Plan, at: int, needed: Mapping[int, Region]) -> int:
    """The most that one block's arrays take at a time, counting a function's own temporaries as two more results."""
    uses: dict[int, int] = {}
    for index in needed:
        if not plan.is_read(index, at):
            for image in plan.pixels_of(plan.nodes[index]).values():
                uses[image] = uses.get(image, 0) + 1
    for index in (*plan.stages[at].reduces, *plan.stages[at].stores):
        entry = None if plan.nodes[index].operation == SOURCE else get_entry(plan.nodes[index].operation)
        images = plan.pixels_of(plan.nodes[index]).values() if isinstance(entry, Reduction | Labelling) else [index]
        for image in images:
            uses[image] = uses.get(image, 0) + 1
    live = peak = sum(_read_by_themselves(plan, at, needed).values())
    sizes = {index: region.size * plan.nodes[index].itemsize for index, region in needed.items()}
    live += sum(
        min(CACHE_BYTES, plan.nodes[i].itemsize * math.prod(plan.nodes[i].shape)) for i in _chunked(plan, needed, at)
    )
    for index in sorted(needed):
        live += sizes[index]
        peak = max(peak, live + (0 if plan.is_read(index, at) else 2 * sizes[index]))
        if not plan.is_read(index, at):
            for image in plan.pixels_of(plan.nodes[index]).values():
                uses[image] -= 1
                live -= sizes.get(image, 0) if uses[image] == 0 else 0
    partial = max((sizes.get(i, 0) for r in plan.stages[at].reduces for i in plan.nodes[r].refs()), default=0)
    return max(peak, live + 3 * partial)


def _chunked(plan: Plan, needed: Mapping[int, Region], at: int) -> list[int]:
    """The images that a stage reads of which decoded chunks are kept for the next block."""
    read = [(index, plan.nodes[index]) for index in needed if plan.is_read(index, at)]
    return [i for i, node in read if ".zarr" in str(node.arguments.get("url")) or node.operation in (LABELS, SETTLED)]
