"""The block-by-block interface: split an array, process one block at a time, merge as it goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError
from lepton_celery.execution import steps
from lepton_celery.execution.threads import one_thread
from lepton_celery.graph.nodes import Image, Node, open
from lepton_celery.grid import BlockIndex, Region
from lepton_celery.jobs.compute import arrays_of, use_kernels
from lepton_celery.planning.plan import on_grid
from lepton_celery.planning.planner import Options, make_plan
from lepton_celery.stores.workspace import MemoryWorkspace


@dataclass(frozen=True)
class Block:
    """A part of the split image: the pixels to process, halo included, and where the result belongs."""

    index: BlockIndex
    """Number in the grid, C order."""
    region: Region
    """What it becomes in the merged picture."""
    reads: Mapping[int, Array]
    """What processing reads, by node of the plan."""

    @property
    def pixels(self) -> Array:
        """The image around the region, with the halo that the operation needs. Writable: what is processed is this."""
        return next(iter(self.reads.values()))


@dataclass(frozen=True)
class ProcessedBlock:
    """A block's result, ready to be merged."""

    index: BlockIndex
    region: Region
    pixels: Array
    """Result of exactly the region's shape."""


class ImageProcessor:
    """Splits an image, processes its blocks and merges them: the pixels are those of the operation on the whole image.

        processor = ImageProcessor(filters.gaussian, sigma=2)
        processor.set_num_threads(4)
        blocks = processor.split_image(image)
        for block in blocks:
            picture = processor.merge_blocks(processor.process_block(block))

    Or all at once, on the threads that were set: `processor.merge_blocks(processor.process_blocks(blocks))`.
    """

    def __init__(
        self,
        operation: Callable[..., Node],
        *,
        block_shape: tuple[int, ...] | None = None,
        num_threads: int | None = None,
        **parameters: Any,
    ) -> None:
        """
        Args:
            operation: a lazy function such as `filters.gaussian`, or any function of a lazy image that gives one.
            block_shape: pixels per axis; None: chosen.
            num_threads: None: one per processor.
            parameters: passed on to `operation`.
        """
        self._operation = operation
        self._parameters = parameters
        self._block_shape = block_shape
        self._threads = os.cpu_count() or 1
        if num_threads is not None:
            self.set_num_threads(num_threads)
        self._context: steps.Context | None = None
        self._node = -1
        self._picture: Array | None = None

    def set_num_threads(self, num_threads: int) -> None:
        """Use so many threads where several blocks are done at once.

        Raises:
            InputError: less than 1.
        """
        if num_threads < 1:
            raise InputError(f"num_threads={num_threads}; give at least 1")
        self._threads = num_threads

    def split_image(self, image: Array) -> list[Block]:
        """The blocks of an image, in C order; a new picture is begun.

        Whole-image values that the operation needs (a threshold, joined labels) are found here, on threads.

        Raises:
            InputError: the operation cannot take the image.
        """
        result = self._operation(open(np.asarray(image)), **self._parameters)
        if not isinstance(result, Image):
            raise InputError(f"the operation gives {result!r}; an ImageProcessor needs one that gives an image")
        plan = make_plan({"picture": result}, Options(block_shape=self._block_shape, workers=self._threads))
        arrays = arrays_of(plan, (result,))
        self._context = steps.Context(plan, MemoryWorkspace(), arrays=arrays, kernels=use_kernels(plan))
        self._node = plan.outputs["picture"]
        self._picture = np.zeros(result.shape, result.dtype)
        last = last_stage(self._context)
        for stage in range(last):
            self._run(stage)
        return [self._block(index) for index in plan.stages[last].grid.indices()]

    def process_block(self, block: Block) -> ProcessedBlock:
        """The result of one block, in this thread. May be called for blocks in any order, and from several threads."""
        context = self._context_now()
        pixels = steps.compute_block(context, last_stage(context), block.index, block.reads, self._node)
        return ProcessedBlock(block.index, block.region, pixels)

    def process_blocks(self, blocks: Iterable[Block]) -> list[ProcessedBlock]:
        """The results of several blocks, on the threads that were set."""
        with one_thread(), ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(self.process_block, blocks))

    def merge_blocks(self, blocks: ProcessedBlock | Iterable[ProcessedBlock]) -> Array:
        """The picture so far, with one processed block or several put in; zeros where none has been.

        Returns:
            The picture, the same array each time until the next `split_image`.
        """
        if self._picture is None:
            raise InputError("there is no picture yet; split an image first")
        for block in [blocks] if isinstance(blocks, ProcessedBlock) else blocks:
            self._picture[block.region.slices] = block.pixels
        return self._picture

    def _context_now(self) -> steps.Context:
        if self._context is None:
            raise InputError("there is nothing to process yet; split an image first")
        return self._context

    def _run(self, stage: int) -> None:
        """A stage before the last, in as many rounds as it takes: whole-image values and what is kept."""
        context = self._context_now()
        again, slot = True, stage
        while again:
            steps.open_outputs(context, slot)
            work = partial(steps.run_block, context, slot)
            with one_thread(), ThreadPoolExecutor(self._threads) as pool:
                for _ in pool.map(work, context.plan.stages[stage].grid.indices()):
                    pass
            again = steps.merge_stage(context, slot)
            slot += len(context.plan.stages)

    def _region(self, index: BlockIndex) -> Region:
        context = self._context_now()
        stage = context.plan.stages[last_stage(context)]
        return on_grid(stage.grid.region(index), context.plan.nodes[self._node].shape)

    def _block(self, index: BlockIndex) -> Block:
        context = self._context_now()
        return Block(index, self._region(index), steps.read_block(context, last_stage(context), index))


def last_stage(context: steps.Context) -> int:
    """The stage whose blocks are the picture's."""
    return len(context.plan.stages) - 1
