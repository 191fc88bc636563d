"""The block-by-block interface: split an array, process blocks one at a time, and merge them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError
from lepton_celery.execution.block import compute_block, read_block, run_blocks
from lepton_celery.execution.context import Context
from lepton_celery.execution.library_warnings import kept_warnings, tell
from lepton_celery.execution.loop import run_stages
from lepton_celery.execution.threads import one_thread
from lepton_celery.graph.nodes import Image, Node, open
from lepton_celery.grid import BlockIndex, Region, StageIndex, StageNumber
from lepton_celery.jobs.compute import use_kernels
from lepton_celery.planning.cost.model import BATCHES_PER_WORKER
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import make_plan
from lepton_celery.planning.regions import grid_shape, on_grid
from lepton_celery.planning.shapes import block_candidates
from lepton_celery.stores.workspace import MemoryWorkspace
from lepton_celery.text import quoted


@dataclass(frozen=True)
class Block:
    """A part of the split image: the pixels to process, halo included, and the region of the result."""

    index: BlockIndex
    """Its number in the grid, in C order."""
    region: Region
    """The region of the merged picture that the block's result fills."""
    reads: Mapping[int, Array]
    """The arrays that processing reads, by node of the plan."""

    @property
    def pixels(self) -> Array:
        """The image's pixels in the region and its halo. They may be changed before the block is processed."""
        return next(iter(self.reads.values()))


@dataclass(frozen=True)
class ProcessedBlock:
    """A block's result, ready to be merged."""

    index: BlockIndex
    region: Region
    pixels: Array
    """The result, in exactly the region's shape."""


@dataclass(frozen=True)
class _Picture:
    """A split image, and the picture merged from its blocks so far."""

    context: Context
    index: StageIndex
    """The last stage, whose blocks make up the picture."""
    node: int
    """The picture's node."""
    merged: Array


class ImageProcessor:
    """Splits an image, processes its blocks and merges them: the pixels are those of the operation on the whole image.

        processor = ImageProcessor(filters.gaussian, sigma=2)
        processor.set_num_threads(4)
        blocks = processor.split_image(image)
        for block in blocks:
            picture = processor.merge_blocks(processor.process_block(block))

    `processor.merge_blocks(processor.process_blocks(blocks))` processes several blocks at once, on `num_threads` threads.
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
            operation: a lazy function such as `filters.gaussian`, or any function that makes a lazy image of a lazy image.
            block_shape: shape of a block in pixels; None to let the planner choose.
            num_threads: number of threads; None for one per processor.
            parameters: arguments of `operation`, by name.
        """
        self._operation = operation
        self._parameters = parameters
        self._block_shape = block_shape
        self.set_num_threads((os.cpu_count() or 1) if num_threads is None else num_threads)
        self._picture: _Picture | None = None

    def __repr__(self) -> str:
        name = getattr(self._operation, "__name__", type(self._operation).__name__)
        given = "".join(f", {name}={quoted(value)}" for name, value in self._parameters.items())
        return f"<ImageProcessor {name}{given}>"

    def set_num_threads(self, num_threads: int) -> None:
        """Set the number of threads that process blocks.

        Raises:
            InputError: the number is less than 1.
        """
        if num_threads < 1:
            raise InputError(f"num_threads={num_threads}; give at least 1")
        self._threads = num_threads

    def split_image(self, image: object) -> list[Block]:
        """Split an image, anything that `lepton.open` takes, into blocks, in C order, and begin a new picture.

        The whole-image values that the operation needs (a threshold, joined labels) are computed here, on threads.

        Raises:
            InputError: the operation cannot take the image.
        """
        result = self._operation(open(image), **self._parameters)
        if not isinstance(result, Image):
            raise InputError(f"the operation gives {result!r}; an ImageProcessor needs one that gives an image")
        # several blocks even where one would be quicker, because the caller asks to split the image
        usual = block_candidates(grid_shape(result.shape), BATCHES_PER_WORKER * self._threads)[0]
        planned = make_plan({"picture": result}, PlanOptions(self._block_shape or usual, self._threads))
        plan = planned.plan
        context = Context(plan, MemoryWorkspace(), arrays=planned.lowered.arrays, kernels=use_kernels(plan))
        last = StageIndex(len(plan.stages) - 1)
        with one_thread(), ThreadPoolExecutor(self._threads) as pool:

            def do_blocks(number: StageNumber) -> None:
                blocks = plan.stage_of(number).grid.indices()
                for _ in pool.map(lambda block: run_blocks(context, number, [block]), blocks):
                    pass

            run_stages(context, do_blocks, stop_before=last)
        tell(kept_warnings(context), stacklevel=2)
        self._picture = _Picture(context, last, plan.outputs["picture"], np.zeros(result.shape, result.dtype))
        grid = plan.stages[last].grid
        return [
            Block(index, on_grid(grid.region(index), result.shape), read_block(context, last, index))
            for index in grid.indices()
        ]

    def process_block(self, block: Block) -> ProcessedBlock:
        """Process one block in this thread. Blocks may be processed in any order, and by several threads."""
        if self._picture is None:
            raise InputError("there is nothing to process yet; split an image first")
        picture = self._picture
        pixels = compute_block(picture.context, picture.index, block.index, block.reads, picture.node)
        return ProcessedBlock(block.index, block.region, pixels)

    def process_blocks(self, blocks: Iterable[Block]) -> list[ProcessedBlock]:
        """Process several blocks, on `num_threads` threads."""
        with one_thread(), ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(self.process_block, blocks))

    def merge_blocks(self, blocks: ProcessedBlock | Iterable[ProcessedBlock]) -> Array:
        """Put one or several processed blocks into the picture.

        Returns:
            The picture so far, zero where blocks are missing; the same array each time until the next `split_image`.
        """
        if self._picture is None:
            raise InputError("there is no picture yet; split an image first")
        for block in [blocks] if isinstance(blocks, ProcessedBlock) else blocks:
            self._picture.merged[block.region.slices] = block.pixels
        return self._picture.merged
