"""All the work, as plain functions: do a block, merge a stage, finish a job. Both engines call these and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lepton_celery import stores
from lepton_celery.catalogue import get_entry
from lepton_celery.catalogue.arrays import Array, Where
from lepton_celery.catalogue.entries import Iterated, Labelling, Local, MergedLabels, Reduction, ValueFunction
from lepton_celery.catalogue.shared.labels import DECIDED, LABELS
from lepton_celery.execution.timings import Tally
from lepton_celery.grid import BlockIndex, Region
from lepton_celery.planning.plan import (
    Plan,
    PlanNode,
    Ref,
    Stage,
    can_be_cut,
    entry_of,
    grid_over,
    needed_regions,
    on_grid,
    reads_itself,
    reads_of,
)
from lepton_celery.stores.base import ArrayOutput, ArrayReader, Target
from lepton_celery.stores.workspace import Key, Workspace


@dataclass
class Context:
    """What steps work with in one process: the plan, where things are, and what is open already."""

    plan: Plan
    workspace: Workspace
    targets: Mapping[int, tuple[Target, ...]] = field(default_factory=dict)
    """Where image outputs go, by node."""
    roots: tuple[Path, ...] = ()
    """Directories that files may be read from and written to; none: all."""
    arrays: Mapping[int, Array] = field(default_factory=dict)
    """Sources that are arrays in this process, by node."""
    kernels: bool = False
    """Whether compiled kernels are used, where there are any."""
    _readers: dict[Key, ArrayReader] = field(default_factory=dict)
    _rounds: dict[Key, ArrayOutput] = field(default_factory=dict)
    _outputs: dict[tuple[int, int], list[ArrayOutput]] = field(default_factory=dict)
    _values: dict[int, Any] = field(default_factory=dict)
    _changed: dict[Key, Array] = field(default_factory=dict)

    def reader(self, node: int) -> ArrayReader:
        """The open store of a source, or of an image that an earlier stage left."""
        if node not in self._readers:
            if isinstance(entry_of(self.plan.nodes[node]), Iterated):
                self._readers[node] = self.settled(node, int(self.value(node)))
            elif node in self.plan.kept:
                self._readers[node] = self.workspace.image(node)
            elif node in self.arrays:
                self._readers[node] = stores.MemoryReader(self.arrays[node])
            else:
                url = self.plan.nodes[node].arguments["url"]
                self._readers[node] = stores.open_array(url, roots=self.roots)
        return self._readers[node]

    def settled(self, node: int, round: int) -> ArrayReader:
        """An image that is made in rounds, as it was after one of them."""
        key = (node, round)
        if key not in self._readers:
            self._readers[key] = self.workspace.image(key)
        return self._readers[key]

    def settling(self, node: int, round: int) -> ArrayOutput:
        """Where a round writes such an image."""
        key = (node, round)
        if key not in self._rounds:
            image, block = self.plan.nodes[node], self.plan.block_of(node)
            output = self.workspace.image_output(key, image.shape, image.dtype, block, compress=False)
            output.create()
            self._rounds[key] = output
        return self._rounds[key]

    def outputs(self, node: int, stage: int) -> list[ArrayOutput]:
        """Where this stage writes the image: the user's files, and the workspace if later stages need it."""
        key = (node, stage)
        if key not in self._outputs:
            found = [stores.array_output(target) for target in self.targets.get(node, ())]
            if self.plan.kept.get(node) == stage:
                image = self.plan.nodes[node]
                block = self.plan.block_of(node)
                packed = image.operation in (LABELS, DECIDED)
                found.append(self.workspace.image_output(node, image.shape, image.dtype, block, compress=packed))
            for output in found:
                output.create()
            self._outputs[key] = found
        return self._outputs[key]

    def round_changed(self, node: int, round: int) -> Array:
        """Which blocks of an image that settles a round changed."""
        key = (node, round)
        if key not in self._changed:
            self._changed[key] = self.workspace.value(key)
        return self._changed[key]

    def attach(self, node: int, output: ArrayOutput) -> None:
        """Have an image written to `output` too, by every stage that makes it."""
        for stage, found in enumerate(self.plan.stages):
            if node in found.stores:
                output.create()
                self.outputs(node, stage).append(output)

    def value(self, node: int) -> Any:
        """A whole-image value, kept after it was first asked for."""
        if node not in self._values:
            found = self.workspace.value(node)
            labelled = isinstance(entry_of(self.plan.nodes[node]), Labelling)
            self._values[node] = self._merged(node, found) if labelled else found
        return self._values[node]

    def put_value(self, node: int, value: Any, stage: int) -> None:
        """Keep a whole-image value that the end of a stage has found: for the stages that follow; what the last one finds is
        published by who found it."""
        labelled = isinstance(entry_of(self.plan.nodes[node]), Labelling)
        if labelled or stage + 1 < len(self.plan.stages):
            self.workspace.put_value(node, value, keep_partials=labelled)
        else:
            self._values[node] = value if isinstance(value, dict) else np.asarray(value)[()]

    def _merged(self, node: int, value: Any) -> MergedLabels:
        stages = [stage for stage in self.plan.stages if node in (*stage.reduces, *stage.combines)]
        grids = tuple(grid_over(stage, self.plan.nodes[node].shape) for stage in stages)
        # a block's labels are looked up by way of a few partials, each of them more than once
        read = lru_cache(maxsize=4)(lambda level, block: self.workspace.partial(_partials_key(node, level), block))
        return MergedLabels(value, grids, read)


def run_block(context: Context, slot: int, block: BlockIndex, *, pieces: int = 1, tally: Tally | None = None) -> Tally:
    """Do one block: read its regions, evaluate the stage's functions on them, write what the stage stores.

    May run any number of times, at the same time too: it writes the same bytes to the same places. `slot` is the number
    under which the ledger keeps the stage, `Plan.place`. With `pieces`, the pixels are computed in so many parts, one
    after the other: slower, for a block that does not fit into memory at once. What it took is added to `tally`, which is
    given back.
    """
    tally = Tally() if tally is None else tally
    began = tally.now()
    plan = context.plan
    stage_index, round = plan.place(slot)
    stage = plan.stages[stage_index]
    region = stage.grid.region(block)
    if stage.combines:
        _combine(context, stage_index, block, tally)
    elif pieces > 1 and can_be_cut(plan, stage_index):
        needed = _results(plan, stage_index, region)
        images = _evaluate_in_pieces(context, stage_index, region.pieces(pieces), needed, tally)
        _leave(context, stage_index, round, [block], region, images, needed, tally)
    else:
        _do(context, stage_index, round, [block], region, tally)
    tally.block(began)
    return tally


def run_blocks(context: Context, slot: int, blocks: Sequence[BlockIndex], *, tally: Tally | None = None) -> Tally:
    """Do several blocks that fill a box, in C order, at once: read, compute and write what they are together.

    Leaves what `run_block` leaves of each. For blocks so small that going over them one by one would take longer than
    their pixels, and stages whose blocks `Stage.together` says may be joined.
    """
    if len(blocks) == 1:
        return run_block(context, slot, blocks[0], tally=tally)
    tally = Tally() if tally is None else tally
    began = tally.now()
    stage_index, round = context.plan.place(slot)
    grid = context.plan.stages[stage_index].grid
    box = grid.region(blocks[0]).union(grid.region(blocks[-1]))
    _do(context, stage_index, round, blocks, box, tally)
    tally.block(began, len(blocks))
    return tally


def _do(
    context: Context, stage_index: int, round: int, blocks: Sequence[BlockIndex], region: Region, tally: Tally
) -> None:
    needed = needed_regions(context.plan, stage_index, region)
    images = _evaluate(context, stage_index, needed, tally)
    _leave(context, stage_index, round, blocks, region, images, needed, tally)


def fill_block(context: Context, slot: int, block: BlockIndex, value: float) -> None:
    """Leave `value` in the place of a block's pixels (0 where the dtype cannot hold it), and what follows from them."""
    plan = context.plan
    stage_index, round = plan.place(slot)
    stage = plan.stages[stage_index]
    needed = _results(plan, stage_index, stage.grid.region(block))
    images = {index: _filled(plan.nodes[index], region, value) for index, region in needed.items()}
    for index in _sweeps(plan, stage):
        region = on_grid(stage.grid.region(block), plan.nodes[index].shape)
        context.settling(index, round).write(region, _filled(plan.nodes[index], region, value))
        context.workspace.put_partial((index, round), block, {"changed": np.array([False])})
    if not _sweeps(plan, stage):
        _leave(context, stage_index, round, [block], stage.grid.region(block), images, needed, Tally())


def _filled(node: PlanNode, region: Region, value: float) -> Array:
    dtype = np.dtype(node.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(str(dtype))
        value = value if value == np.floor(value) and limits.min <= value <= limits.max else 0
    return np.full(region.shape, value, dtype)


def _results(plan: Plan, stage_index: int, block: Region) -> dict[int, Region]:
    """The images that a stage stores or reduces, on a block."""
    stage = plan.stages[stage_index]
    images = [index for index in stage.stores if not isinstance(entry_of(plan.nodes[index]), Labelling | Iterated)]
    images += [image for index in stage.reduces for image in plan.pixels_of(plan.nodes[index]).values()]
    return {index: on_grid(block, plan.nodes[index].shape) for index in images}


def _evaluate_in_pieces(
    context: Context, stage_index: int, pieces: list[Region], results: Mapping[int, Region], tally: Tally
) -> dict[int, Array]:
    """The images that a stage stores or reduces, computed piece by piece and put together."""
    nodes = context.plan.nodes
    whole = {index: np.empty(region.shape, nodes[index].dtype) for index, region in results.items()}
    for piece in pieces:
        needed = needed_regions(context.plan, stage_index, piece)
        images = _evaluate(context, stage_index, needed, tally)
        for index, image in whole.items():
            part = on_grid(piece, nodes[index].shape)
            image[part.within(results[index])] = images[index][part.within(needed[index])]
    return whole


def _leave(
    context: Context,
    stage_index: int,
    round: int,
    blocks: Sequence[BlockIndex],
    box: Region,
    images: dict[int, Array],
    needed: dict[int, Region],
    tally: Tally,
) -> None:
    """Write what a stage keeps of blocks: the partials of each, and the pixels of the box that they fill."""
    plan = context.plan
    stage = plan.stages[stage_index]
    for index in stage.reduces:
        for block in blocks:
            region = stage.grid.region(block)
            labels, partial = _reduce(context, index, region, images, needed, tally)
            began = tally.now()
            context.workspace.put_partial(index, block, partial)
            tally.add("partial", index, began)
            tally.write_bytes += sum(array.nbytes for array in partial.values())
            if labels is not None:
                _put_labels(images, needed, index, labels, on_grid(region, labels.shape), on_grid(box, labels.shape))
    for index in stage.stores:
        part = on_grid(box, plan.nodes[index].shape)
        if isinstance(entry_of(plan.nodes[index]), Iterated):
            _sweep(context, index, round, blocks[0], part, tally)
            continue
        pixels = images[index][part.within(needed[index])]
        began = tally.now()
        for output in context.outputs(index, stage_index):
            output.write(part, pixels)
            tally.write_bytes += pixels.nbytes
        tally.add("write", index, began)


def _put_labels(
    images: dict[int, Array], needed: dict[int, Region], index: int, labels: Array, region: Region, box: Region
) -> None:
    """Keep one block's labels with those of the box that it is a part of."""
    if region == box:
        images[index] = labels
    else:
        if index not in images:
            images[index] = np.empty(box.shape, labels.dtype)
        images[index][region.within(box)] = labels
    needed[index] = box


def _combine(context: Context, stage_index: int, block: BlockIndex, tally: Tally) -> None:
    """Leave one partial in the place of those of a group of blocks."""
    plan = context.plan
    stage, before = plan.stages[stage_index], plan.stages[stage_index - 1]
    members = list(before.grid.overlapping(stage.grid.region(block)))
    for index, level in plan.partials_of(stage_index).items():
        node = plan.nodes[index]
        entry = get_entry(node.operation)
        assert isinstance(entry, Reduction | Labelling) and entry.combine is not None, node.operation
        images = _images(plan, node)
        shape = next(iter(images.values())).shape
        key = _partials_key(index, level - 1)
        partials = ((member, context.workspace.partial(key, member)) for member in members)
        arguments = _arguments(context, node) | images
        began = tally.now()
        partial = entry.combine(partials, arguments, grid_over(before, shape), grid_over(stage, shape).region(block))
        tally.add("combine", index, began)
        began = tally.now()
        context.workspace.put_partial(_partials_key(index, level), block, partial)
        tally.add("partial", index, began)
        tally.write_bytes += sum(array.nbytes for array in partial.values())


def _partials_key(index: int, level: int) -> Key:
    """Where the partials of a node are, combined so often."""
    return (index, level) if level else index


def _sweep(context: Context, index: int, round: int, block: BlockIndex, region: Region, tally: Tally) -> None:
    """One block in one round of an image that settles."""
    plan = context.plan
    node, entry = plan.nodes[index], entry_of(plan.nodes[index])
    assert isinstance(entry, Iterated)
    stage = next(stage for stage in plan.stages if index in stage.stores)
    where = Where(region, node.shape, grid_over(stage, node.shape))
    state = context.settled(index, round - 1) if round else None
    if state is not None and not _may_change(context, index, round, entry, where):
        began = tally.now()
        pixels, changed = state.read(region), False
        tally.add("read", index, began)
    else:
        arguments = _arguments(context, node)
        arguments |= {name: context.reader(image) for name, image in plan.images_of(node).items()}
        began = tally.now()
        with np.errstate(all="ignore"):
            pixels, changed = entry.function(**entry.gathered(arguments), state=state, where=where)
        tally.add("compute", index, began)
    began = tally.now()
    context.settling(index, round).write(region, pixels)
    context.workspace.put_partial((index, round), block, {"changed": np.array([changed])})
    tally.add("write", index, began)
    tally.write_bytes += pixels.nbytes


def _may_change(context: Context, index: int, round: int, entry: Iterated, where: Where) -> bool:
    """Whether the round before changed a block that this one looks at."""
    halo = entry.halo(
        {**entry.complete(context.plan.nodes[index].arguments), **_images(context.plan, context.plan.nodes[index])}
    )
    reach = (halo,) * where.region.ndim if isinstance(halo, int) else halo
    changed = context.round_changed(index, round - 1)
    assert where.grid is not None
    return any(changed[block] for block in where.grid.overlapping(where.region.expand(reach, where.shape)))


def open_outputs(context: Context, slot: int) -> None:
    """Open all that a stage's blocks write to; threads that share a context must not do it at the same time."""
    stage, round = context.plan.place(slot)
    for index in context.plan.stages[stage].stores:
        if isinstance(entry_of(context.plan.nodes[index]), Iterated):
            context.settling(index, round)
        else:
            context.outputs(index, stage)


def read_block(context: Context, stage_index: int, block: BlockIndex) -> dict[int, Array]:
    """What a block reads: the regions, halo included, of the images that are not computed, by node."""
    needed = needed_regions(context.plan, stage_index, context.plan.stages[stage_index].grid.region(block))
    return {
        index: context.reader(index).read(region)
        for index, region in needed.items()
        if context.plan.is_read(index, stage_index)
    }


def compute_block(context: Context, stage_index: int, block: BlockIndex, read: Mapping[int, Array], node: int) -> Array:
    """One image's pixels of a block, from what `read_block` gave; nothing is written."""
    region = context.plan.stages[stage_index].grid.region(block)
    needed = needed_regions(context.plan, stage_index, region)
    images = _evaluate(context, stage_index, needed, Tally(), read)
    return images[node][on_grid(region, context.plan.nodes[node].shape).within(needed[node])]


def _evaluate(
    context: Context,
    stage_index: int,
    needed: dict[int, Region],
    tally: Tally,
    read: Mapping[int, Array] | None = None,
) -> dict[int, Array]:
    """The images a block needs, each on just its region; freed as soon as nothing needs them any more."""
    plan = context.plan
    uses = _uses(plan, stage_index, needed)
    images: dict[int, Array] = {}
    for index in sorted(needed):
        region = needed[index]
        if plan.is_read(index, stage_index):
            began = tally.now()
            images[index] = context.reader(index).read(region) if read is None else read[index]
            tally.add("read", index, began)
            tally.read_bytes += images[index].nbytes
            continue
        began = tally.now()
        images[index] = _compute(context, index, region, images, needed)
        tally.add("compute", index, began)
        for image in plan.pixels_of(plan.nodes[index]).values():
            if image in uses:
                uses[image] -= 1
                if uses[image] == 0:
                    del images[image]
    return images


def _uses(plan: Plan, stage_index: int, needed: Mapping[int, Region]) -> dict[int, int]:
    uses = dict.fromkeys(needed, 0)
    for index in needed:
        if not plan.is_read(index, stage_index):
            for image in plan.pixels_of(plan.nodes[index]).values():
                if image in uses:
                    uses[image] += 1
    stage = plan.stages[stage_index]
    for index in stage.reduces:
        for image in plan.pixels_of(plan.nodes[index]).values():
            uses[image] += 1
    for index in stage.stores:
        if index in uses:
            uses[index] += 1
    return uses


def _compute(
    context: Context, index: int, region: Region, images: Mapping[int, Array], needed: Mapping[int, Region]
) -> Array:
    """One local node on `region`, C-contiguous."""
    plan = context.plan
    node = plan.nodes[index]
    entry = get_entry(node.operation)
    assert isinstance(entry, Local), node.operation
    arguments = _arguments(context, node)
    if entry.reads_itself:
        names = plan.images_of(node)
        arguments |= {name: context.reader(image) for name, image in names.items()}
        arguments["where"] = _where(plan, next(iter(names.values())), region)
        with np.errstate(all="ignore"):
            return np.asarray(entry.evaluate(arguments), order="C")
    names = plan.images_of(node)
    used, reads = reads_of(plan, index, region)
    for name, image, read in zip(names, used, reads, strict=True):
        if not read.size:
            arguments[name] = np.empty(read.shape, plan.nodes[image].dtype)
            continue
        part = images[image] if read == needed[image] else images[image][read.within(needed[image])]
        # functions see contiguous arrays, as they would of a whole image: strided input can take other code paths
        arguments[name] = np.asarray(part, order="C")
    if entry.wants_kernels:
        arguments["kernels"] = context.kernels
    if entry.wants_where:
        arguments["where"] = replace(_where(plan, used[0], reads[0]), result=region)
    with np.errstate(all="ignore"):
        result = entry.evaluate(arguments, kernels=context.kernels)
    return np.asarray(entry.geometry.trim(result, region, reads), order="C")  # unlike ascontiguousarray, keeps 0 axes


def _where(plan: Plan, image: int, region: Region) -> Where:
    shape = plan.nodes[image].shape
    grid = grid_over(plan.stages[plan.kept[image]], shape) if image in plan.kept else None
    return Where(region, shape, grid)


def _arguments(context: Context, node: PlanNode) -> dict[str, Any]:
    """A node's arguments by name: literals as they are, values loaded, images left out (None)."""
    images = context.plan.images_of(node)
    return {
        name: None if name in images else context.value(value.node) if isinstance(value, Ref) else value
        for name, value in node.arguments.items()
    }


def _reduce(
    context: Context,
    index: int,
    block: Region,
    images: Mapping[int, Array],
    needed: Mapping[int, Region],
    tally: Tally,
) -> tuple[Array | None, dict[str, Array]]:
    """A block's partial of one node, and its labels where it is labelled."""
    plan = context.plan
    node = plan.nodes[index]
    entry = get_entry(node.operation)
    arguments = _arguments(context, node)
    names = plan.images_of(node)
    for name, image in names.items():
        if reads_itself(entry):
            arguments[name] = context.reader(image)
        else:
            part = on_grid(block, plan.nodes[image].shape)
            arguments[name] = np.ascontiguousarray(images[image][part.within(needed[image])])
    first = next(iter(names.values()))
    where = _where(plan, first, on_grid(block, plan.nodes[first].shape))
    began = tally.now()
    with np.errstate(all="ignore"):
        result = entry.on_block(arguments, where, kernels=context.kernels)
    tally.add("compute", index, began)
    return result


# ------------------------------------------------------------------------------------------------ merging


def missing_blocks(context: Context, slot: int) -> list[BlockIndex]:
    """Blocks that have a receipt but left no partial; the merge reopens them."""
    stage_index, round = context.plan.place(slot)
    stage = context.plan.stages[stage_index]
    keys = [_partials_key(index, level) for index, level in context.plan.partials_of(stage_index).items()]
    keys += [(index, round) for index in _sweeps(context.plan, stage)]
    missing: set[BlockIndex] = set()
    for key in keys:
        missing.update(context.workspace.missing_partials(key, len(stage.grid)))
    return sorted(missing)


def _sweeps(plan: Plan, stage: Stage) -> list[int]:
    """The images of a stage that settle in rounds."""
    return [index for index in stage.stores if isinstance(entry_of(plan.nodes[index]), Iterated)]


def merge_stage(context: Context, slot: int) -> bool:
    """Find the whole-image values that a stage's partials add up to. May run any number of times.

    Returns:
        Whether the stage must be done again, because its image has not settled yet.
    """
    plan = context.plan
    stage_index, round = plan.place(slot)
    stage = plan.stages[stage_index]
    again = [_merge_round(context, index, round, len(stage.grid)) for index in _sweeps(plan, stage)]
    if any(again):
        return True
    for index, level in plan.to_merge(stage_index).items():
        node = plan.nodes[index]
        entry = get_entry(node.operation)
        assert isinstance(entry, Reduction | Labelling), node.operation
        partials = context.workspace.partials(_partials_key(index, level), len(stage.grid))
        images = _images(plan, node)
        grid = grid_over(stage, next(iter(images.values())).shape)
        value = entry.merge(partials, _arguments(context, node) | images, grid)
        context.put_value(index, value, stage_index)
    for index in stage.values:
        node = plan.nodes[index]
        found = get_entry(node.operation)
        assert isinstance(found, ValueFunction | Local), node.operation
        arguments = _arguments(context, node)
        with np.errstate(all="ignore"):
            value = found.function(**arguments) if isinstance(found, ValueFunction) else found.evaluate(arguments)[()]
        context.put_value(index, value, stage_index)
    return False


def _merge_round(context: Context, index: int, round: int, blocks: int) -> bool:
    """Whether another round is needed; if not, the value of the image's node is the last round."""
    workspace = context.workspace
    changed = np.array([bool(partial["changed"][0]) for _, partial in workspace.partials((index, round), blocks)])
    if round >= 2:
        workspace.drop((index, round - 2))  # a block of this round reads the one before
    if changed.any():
        workspace.put_value((index, round), changed)
        return True
    workspace.put_value(index, np.int64(round))
    return False


def _images(plan: Plan, node: PlanNode) -> dict[str, PlanNode]:
    """A merge is told of its images only their shapes and dtypes."""
    return {name: plan.nodes[image] for name, image in plan.images_of(node).items()}


def create_outputs(context: Context) -> None:
    """Make the parts of all image outputs, so that a missing permission shows before anything runs."""
    for targets in context.targets.values():
        for target in targets:
            stores.array_output(target).create()


def reserve_outputs(context: Context) -> None:
    """Take the space that image outputs will need, so that a full disk shows at once; workers may be at it already."""
    for targets in context.targets.values():
        for target in targets:
            stores.array_output(target).reserve()


def publish(context: Context, files: Mapping[str, int], *, overwrite: bool = False) -> None:
    """Give all outputs their final names: images, and `files` (path to node) of tables and values. Idempotent."""
    # a merge that runs again may replace what its first run published
    again = context.workspace.mark("publishing")
    for path, node in files.items():
        stores.write_table(path, as_columns(context.value(node)), overwrite=overwrite or again)
    for targets in context.targets.values():
        for target in targets:
            stores.array_output(target).publish()


def as_columns(value: Any) -> dict[str, Array]:
    """A value as columns of a table."""
    if isinstance(value, dict):
        return {name: np.asarray(column) for name, column in value.items()}
    return {"value": np.atleast_1d(np.asarray(value))}


def discard(context: Context) -> None:
    """Remove every trace of a job that did not end well: output parts and workspace."""
    for targets in context.targets.values():
        for target in targets:
            stores.array_output(target).discard()
    context.workspace.discard()
