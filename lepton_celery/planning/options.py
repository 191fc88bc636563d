"""What a caller may choose of a plan, and what a plan may ask for."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from lepton_celery.config import Settings
from lepton_celery.planning.cost.model import CostModel

MERGE_BLOCKS = 256
"""Largest number of partials that one merge goes over if partials can be combined in groups first."""
FAN_IN = 64
"""Approximate number of blocks in such a group."""


@dataclass(frozen=True)
class Limits:
    """What a plan may ask for; beyond that it is refused, with the remedy."""

    worker_memory_bytes: int = 1 << 30
    """Bytes of arrays that one worker process may hold at a time."""
    pixels: int = 1 << 42
    """Pixels of one image."""
    blocks: int = 10_000_000
    """Blocks of one stage."""


@dataclass(frozen=True)
class PlanOptions:
    """What a caller may choose of a plan."""

    block_shape: tuple[int, ...] | None = None
    """Shape of a block; None to let the planner choose."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Worker processes to plan for."""
    limits: Limits = field(default_factory=Limits)
    cost: CostModel = field(default_factory=CostModel)
    merge_blocks: int = MERGE_BLOCKS
    fan_in: int = FAN_IN
    wave_batches: int = Settings.wave_batches
    """Batches that travel to the broker together."""
    in_memory: bool = False
    """Whether outputs and intermediate images are arrays of this process."""
