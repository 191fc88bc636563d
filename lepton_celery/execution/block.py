"""Processes blocks: reads their regions, computes the stage's functions, writes the images and stores the partials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array, Partial, Where
from lepton_celery.execution.context import Context, partials_key
from lepton_celery.execution.library_warnings import caught_warnings
from lepton_celery.execution.timings import Timings
from lepton_celery.grid import BlockIndex, Region, StageIndex, StageNumber
from lepton_celery.planning.memory import LiveArrays
from lepton_celery.planning.plan import PlanNode, grid_over
from lepton_celery.planning.regions import Regions, needed_regions, on_grid, reads_of, results_of


def run_blocks(
    context: Context,
    number: StageNumber,
    blocks: Sequence[BlockIndex],
    *,
    pieces: int = 1,
    timings: Timings | None = None,
) -> Timings:
    """Process a block, or several small ones at once, which saves their fixed costs.

    May run any number of times, also concurrently: every run writes the same bytes to the same files.

    Args:
        blocks: blocks of the stage's grid that fill a box, in C order.
        pieces: number of pieces that are computed one after the other, for blocks that do not fit into memory.
        timings: timings to which those of the blocks are added.

    Returns:
        `timings`, or new ones.
    """
    timings = Timings() if timings is None else timings
    began = timings.now()
    is_part = len(context.plan.stage_of(number).grid) > 1
    with caught_warnings(context.workspace, is_part=is_part):
        _Box(context, number, blocks, timings).run(pieces)
    timings.add_blocks(began, len(blocks))
    return timings


def fill_block(context: Context, number: StageNumber, block: BlockIndex, value: float) -> None:
    """Store `value` (0 if the dtype cannot hold it) as all pixels of a block, and the partials that follow from them."""
    _Box(context, number, [block], Timings()).fill(value)


def read_block(context: Context, index: StageIndex, block: BlockIndex) -> dict[int, Array]:
    """The arrays that a block reads from stores, halo included, by node."""
    plan = context.plan
    needed = needed_regions(plan, index, plan.stages[index].grid.region(block))
    return {image: context.reader(image).read(region) for image, region in needed.items() if plan.is_read(image, index)}


def compute_block(
    context: Context, index: StageIndex, block: BlockIndex, read: Mapping[int, Array], node: int
) -> Array:
    """The pixels of one image in a block, computed from the arrays of `read_block`; nothing is written."""
    region = context.plan.stages[index].grid.region(block)
    needed = needed_regions(context.plan, index, region)
    images = _evaluate(context, index, needed, Timings(), read)
    return images[node][on_grid(region, context.plan.nodes[node].shape).within(needed[node])]


class _Box:
    """The work on a box of neighbouring blocks of a stage's grid, usually a single block."""

    def __init__(self, context: Context, number: StageNumber, blocks: Sequence[BlockIndex], timings: Timings) -> None:
        self.context = context
        self.plan = context.plan
        self.stage_run = context.plan.stage_run(number)
        self.index, self.round = self.stage_run
        self.stage = context.plan.stages[self.index]
        self.blocks = blocks
        self.region = self.stage.grid.region(blocks[0])
        if len(blocks) > 1:
            self.region = self.region.union(self.stage.grid.region(blocks[-1]))
        self.timings = timings

    def run(self, pieces: int) -> None:
        """Compute the blocks and store their results."""
        if self.stage.combines:
            self._combine(self.blocks[0])
        elif pieces > 1 and self.plan.can_be_cut(self.index):
            needed = self._on_nodes(results_of(self.plan, self.stage))
            self._leave(self._evaluate_pieces(self.region.pieces(pieces), needed), needed)
        else:
            needed = needed_regions(self.plan, self.index, self.region)
            self._leave(_evaluate(self.context, self.index, needed, self.timings), needed)

    def fill(self, value: float) -> None:
        """Store a value as all pixels."""
        iterated = self.plan.iterated(self.index)
        needed = self._on_nodes(iterated or results_of(self.plan, self.stage))
        images = {index: _filled(self.plan.nodes[index], region, value) for index, region in needed.items()}
        for index in iterated:
            self._write_round(index, needed[index], images[index], changed=False)
        if not iterated:
            self._leave(images, needed)

    def _on_nodes(self, indices: Sequence[int]) -> dict[int, Region]:
        """The box as a region of each of these images."""
        return {index: on_grid(self.region, self.plan.nodes[index].shape) for index in indices}

    def _evaluate_pieces(self, pieces: Sequence[Region], results: Regions) -> dict[int, Array]:
        """The results, computed piece by piece and assembled."""
        nodes = self.plan.nodes
        whole = {index: np.empty(region.shape, nodes[index].dtype) for index, region in results.items()}
        for piece in pieces:
            needed = needed_regions(self.plan, self.index, piece)
            images = _evaluate(self.context, self.index, needed, self.timings)
            for index, image in whole.items():
                region = on_grid(piece, nodes[index].shape)
                image[region.within(results[index])] = images[index][region.within(needed[index])]
        return whole

    def _leave(self, images: dict[int, Array], needed: dict[int, Region]) -> None:
        """Store the partials of each block, and write the pixels of the box."""
        for index in self.stage.reduces:
            for block in self.blocks:
                region = self.stage.grid.region(block)
                labels, partial = self._reduce(index, region, images, needed)
                self._put_partial(index, block, partial)
                if labels is not None:
                    self._put_labels(images, needed, index, labels, on_grid(region, labels.shape))
        for index in self.stage.stores:
            node = self.plan.nodes[index]
            region = on_grid(self.region, node.shape)
            if node.entry.is_iterated:
                self._do_round(index, region)
                continue
            pixels = images[index][region.within(needed[index])]
            began = self.timings.now()
            for output in self.context.outputs(index, self.stage_run):
                output.write(region, pixels)
                self.timings.write_bytes += pixels.nbytes
            self.timings.add("write", index, began)

    def _reduce(
        self, index: int, block: Region, images: Mapping[int, Array], needed: Regions
    ) -> tuple[Array | None, Partial]:
        """A block's labels, if the node labels blocks, and its partial."""
        node = self.plan.nodes[index]
        arguments = self.context.arguments(node)
        if node.entry.reads_itself:
            arguments |= self.context.views(node)
        for name, image in node.pixels.items():
            region = on_grid(block, self.plan.nodes[image].shape)
            arguments[name] = np.ascontiguousarray(images[image][region.within(needed[image])])
        first = next(iter(node.images.values()))
        where = self.context.where(first, on_grid(block, self.plan.nodes[first].shape))
        began = self.timings.now()
        with np.errstate(all="ignore"):
            labels_and_partial = node.entry.on_block(arguments, where, kernels=self.context.kernels)
        self.timings.add("compute", index, began)
        return labels_and_partial

    def _put_partial(self, index: int, block: BlockIndex, partial: Partial, level: int = 0) -> None:
        began = self.timings.now()
        self.context.workspace.put_partial(partials_key(index, level), block, partial)
        self.timings.add("partial", index, began)
        self.timings.write_bytes += sum(array.nbytes for array in partial.values())

    def _put_labels(
        self, images: dict[int, Array], needed: dict[int, Region], index: int, labels: Array, region: Region
    ) -> None:
        """Copy a block's labels into the labels of the box."""
        box = on_grid(self.region, self.plan.nodes[index].shape)
        if region == box:
            images[index] = labels
        else:
            if index not in images:
                images[index] = np.empty(box.shape, labels.dtype)
            images[index][region.within(box)] = labels
        needed[index] = box

    def _combine(self, block: BlockIndex) -> None:
        """Combine the partials of a group of blocks into one."""
        before = self.plan.stages[self.index - 1]
        members = list(before.grid.overlapping(self.region))
        for index, level in self.plan.partials_of(self.index).items():
            node = self.plan.nodes[index]
            images = image_refs(node)
            shape = next(iter(images.values())).shape
            key = partials_key(index, level - 1)
            partials = ((member, self.context.workspace.partial(key, member)) for member in members)
            arguments = self.context.arguments(node) | images
            group = grid_over(self.stage, shape).region(block)
            began = self.timings.now()
            partial = node.entry.combine_partials(partials, arguments, grid_over(before, shape), group)
            self.timings.add("combine", index, began)
            self._put_partial(index, block, partial, level)

    def _do_round(self, index: int, region: Region) -> None:
        """Compute a block of an iterated image for one round."""
        node = self.plan.nodes[index]
        where = Where(region, node.shape, grid_over(self.stage, node.shape))
        state = self.context.reader((index, self.round - 1)) if self.round else None
        if state is not None and not self._may_change(index, where):
            began = self.timings.now()
            pixels, changed = state.read(region), False
            self.timings.add("read", index, began)
        else:
            arguments = self.context.arguments(node) | self.context.views(node)
            began = self.timings.now()
            with np.errstate(all="ignore"):
                pixels, changed = node.entry.on_round(arguments, state, where, kernels=self.context.kernels)
            self.timings.add("compute", index, began)
        began = self.timings.now()
        self._write_round(index, region, pixels, changed=changed)
        self.timings.add("write", index, began)
        self.timings.write_bytes += pixels.nbytes

    def _write_round(self, index: int, region: Region, pixels: Array, *, changed: bool) -> None:
        [output] = self.context.outputs(index, self.stage_run)
        output.write(region, pixels)
        self.context.workspace.put_partial((index, self.round), self.blocks[0], {"changed": np.array([changed])})

    def _may_change(self, index: int, where: Where) -> bool:
        """Whether the previous round changed a block that this block reads."""
        node = self.plan.nodes[index]
        halo = node.entry.halo_px(where.region.ndim, node.with_defaults)
        changed = self.context.value((index, self.round - 1))
        assert where.grid is not None, "given by `_do_round`"
        return any(changed[block] for block in where.grid.overlapping(where.region.expand(halo, where.shape)))


def _filled(node: PlanNode, region: Region, value: float) -> Array:
    dtype = np.dtype(node.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(str(dtype))
        value = value if value == np.floor(value) and limits.min <= value <= limits.max else 0
    return np.full(region.shape, value, dtype)


def image_refs(node: PlanNode) -> dict[str, Any]:
    """References to a node's images, from which a merge takes their shapes and dtypes."""
    return {name: node.arguments[name] for name in node.images}


def _evaluate(
    context: Context, index: StageIndex, needed: Regions, timings: Timings, read: Mapping[int, Array] | None = None
) -> dict[int, Array]:
    """The images that a block needs, each on its region only; an array is freed as soon as it is no longer needed.

    `read` holds the arrays of stored images if they were read before.
    """
    live = LiveArrays(context.plan, index, needed)
    images: dict[int, Array] = {}
    for node in sorted(needed):
        began = timings.now()
        if context.plan.is_read(node, index):
            images[node] = context.reader(node).read(needed[node]) if read is None else read[node]
            timings.add("read", node, began)
            timings.read_bytes += images[node].nbytes
            continue
        if node not in images:
            images |= _compute(context, node, _siblings(context, index, node, needed), images, needed)
        timings.add("compute", node, began)
        for freed in live.after(node):
            images.pop(freed, None)
    return images


def _siblings(context: Context, stage: StageIndex, index: int, needed: Regions) -> list[int]:
    """The node, and the other results of the same call if the block needs the same region of them."""
    node = context.plan.nodes[index]
    if "result_index" not in node.arguments or not node.entry.is_local:
        return [index]
    return [
        other
        for other, region in needed.items()
        if context.plan.nodes[other].is_of_same_call(node)
        and region == needed[index]
        and not context.plan.is_read(other, stage)
    ]


def _compute(
    context: Context, index: int, siblings: Sequence[int], images: Mapping[int, Array], needed: Regions
) -> dict[int, Array]:
    """The images of `siblings`, computed from others by the call that `index` describes, as C-contiguous arrays."""
    node, region = context.plan.nodes[index], needed[index]
    arguments = context.arguments(node)
    if node.entry.reads_itself:
        arguments |= context.views(node)
        shared = partial(context.workspace.shared, index)
        arguments["where"] = replace(context.where(next(iter(node.images.values())), region), shared=shared)
        if node.entry.wants_kernels:
            arguments["kernels"] = context.kernels
        with np.errstate(all="ignore"):
            return {index: np.asarray(node.entry.evaluate(arguments), order="C")}
    reads = reads_of(context.plan, index, region)
    for name, (image, read) in zip(node.images, reads, strict=True):
        if not read.size:
            arguments[name] = np.empty(read.shape, context.plan.nodes[image].dtype)
            continue
        pixels = images[image] if read == needed[image] else images[image][read.within(needed[image])]
        # contiguous like a whole image: functions may take other code paths for strided arrays
        arguments[name] = np.asarray(pixels, order="C")
    if node.entry.wants_kernels:
        arguments["kernels"] = context.kernels
    if node.entry.wants_where:
        # an image that is drawn from values alone is its own first image
        arguments["where"] = replace(context.where(*(reads[0] if reads else (index, region))), result=region)
    with np.errstate(all="ignore"):
        if len(siblings) > 1:
            every = node.entry.evaluate_all(arguments)
            results = {other: every[context.plan.nodes[other].arguments["result_index"]] for other in siblings}
        else:
            results = {index: node.entry.evaluate(arguments, kernels=context.kernels)}
    trimmed = [read for _, read in reads]
    # unlike ascontiguousarray, asarray keeps 0-d arrays
    return {other: np.asarray(node.entry.trim(result, region, trimmed), order="C") for other, result in results.items()}
