"""The options and the limits of a plan."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from lepton_celery.config import Settings
from lepton_celery.limits import MAX_NODES
from lepton_celery.planning.cost.model import CostModel


@dataclass(frozen=True)
class Limits:
    """Limits of a plan; a plan that exceeds one is refused."""

    worker_memory_bytes: int = 1 << 30
    """Bytes of arrays that one worker process may hold at a time."""
    pixels: int = 1 << 42
    """Largest number of pixels of an image."""
    blocks: int = 10_000_000
    """Largest number of blocks of a stage."""
    output_bytes: int = 1 << 50
    """Largest number of bytes of all output images together, uncompressed."""
    workspace_bytes: int = 1 << 50
    """Largest number of bytes of intermediate images and of copies of arrays together."""
    nodes: int = MAX_NODES
    """Largest number of nodes of a graph, of whose functions some are made of several."""
    depth: int = 10_000
    """Largest number of nodes of a graph that are computed one from the other."""

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits of a job that is submitted without limits of its own."""
        return cls(
            worker_memory_bytes=settings.worker_memory_bytes,
            pixels=settings.max_pixels,
            blocks=settings.max_blocks,
            output_bytes=settings.max_output_bytes,
            workspace_bytes=settings.max_workspace_bytes,
            nodes=settings.max_nodes,
            depth=settings.max_depth,
        )


@dataclass(frozen=True)
class PlanOptions:
    """Options of a plan."""

    block_shape: tuple[int, ...] | None = None
    """Shape of a block; None to let the planner choose."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Worker processes to plan for."""
    limits: Limits = field(default_factory=Limits)
    cost: CostModel = field(default_factory=CostModel)
    merge_blocks: int = 256
    """Largest number of partials of one merge, if partials of the function can be combined in groups first."""
    fan_in: int = 64
    """Largest number of blocks whose partials are combined into one."""
    in_memory: bool = False
    """Whether outputs and intermediate images are arrays of this process."""
