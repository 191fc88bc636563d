"""The cost model: T = Σ T_i over blocks, T_i = C_i + W_i, compute plus communication.

Every figure is a line: so much for each call, so much for each pixel or byte, so much for each pixel and tap of a kernel.
Figures have a kind and a key, which is the function's or the store's name, with the dtype where one was measured:

    compute   filters.gaussian float32      one function on one region; units are pixels, halo included
    read      zarr uint8                    calls are the chunks touched, units the bytes decoded
    write     npy float32                   calls are blocks, units bytes
    partial   lepton.label_blocks           leaving a block's partial; units are the block's pixels
    merge     lepton.label_blocks           calls are the stage's blocks, units the image's pixels
    reserve   npy                           making an output before its first block; units are bytes
    publish   tiff                          giving an output its name; units are bytes

What no block has been measured of falls back to the figure of another dtype, then to what the caller says: the
catalogue's own figure, times `speed`, which is what this machine takes over what the catalogue says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from lepton_celery.errors import InputError

COST_VERSION = 1
Origin = Literal["shipped", "calibrated", "refined"]


@dataclass(frozen=True)
class Figure:
    """What something costs, in nanoseconds of one worker process."""

    unit_ns: float = 0.0
    """For each pixel or byte."""
    call_ns: float = 0.0
    """For each call."""
    tap_ns: float = 0.0
    """For each pixel and tap more."""
    seconds: float = 0.0
    """Measured work that it rests on; 0: shipped."""

    def seconds_for(self, units: float, *, calls: float = 1, taps: float = 0) -> float:
        """Seconds that so many calls take on so many units in all."""
        return (calls * self.call_ns + units * (self.unit_ns + taps * self.tap_ns)) * 1e-9


@dataclass(frozen=True)
class Overheads:
    """What is paid whatever the pixels, in seconds."""

    block_s: float = 0.0002
    """A block, or several that are done at once: finding their regions."""
    receipt_s: float = 0.00003
    """Each block's share of the ledger's calls and the journal."""
    batch_s: float = 0.012
    """A Celery task: a message, a claim, a receipt, and the wait for the next."""
    wave_s: float = 0.004
    """Publishing a wave, and its end."""
    stage_s: float = 0.02
    """From a stage's last receipt to the next one's first message, without what merging takes."""
    job_s: float = 0.06
    """Planning, submitting, recording, and noticing the end."""
    call_s: float = 0.000015
    """Calling any function on a block, where that is all that is known of it."""


_NS = Figure
_SHIPPED: Mapping[str, Mapping[str, Figure]] = {
    "compute": {},
    "read": {
        "memory": _NS(0.15, 5_000),
        "npy": _NS(0.3, 20_000),
        "zarr": _NS(0.7, 120_000),
        "tiff": _NS(3.0, 150_000),
        "picture": _NS(6.0, 100_000),
        "packed": _NS(0.4, 120_000),
    },
    "write": {
        "memory": _NS(0.3, 5_000),
        "npy": _NS(0.4, 60_000),
        "zarr": _NS(1.5, 200_000),
        "tiff": _NS(10.0, 300_000),
        "picture": _NS(0.4, 60_000),
        "packed": _NS(0.8, 200_000),
    },
    "partial": {"": _NS(0.05, 250_000)},
    "merge": {"": _NS(0.0, 300_000), "lepton.label_blocks": _NS(0.5, 2_000_000)},
    "reserve": {"npy": _NS(0.3, 200_000), "zarr": _NS(0.0, 4_000_000), "tiff": _NS(0.0, 1_000_000)},
    "publish": {"tiff": _NS(0.4, 1_000_000), "picture": _NS(20.0, 1_000_000), "": _NS(0.0, 200_000)},
}
"""Measured on one core of a 2-core server."""


@dataclass(frozen=True)
class CostModel:
    """What work costs. Plain data; JSON both ways."""

    figures: Mapping[str, Mapping[str, Figure]] = field(default_factory=lambda: _SHIPPED)
    """By kind and key; see the module."""
    overheads: Overheads = field(default_factory=Overheads)
    speed: float = 1.0
    """Time that functions take here over what the catalogue says: for those that were not measured."""
    origin: Origin = "shipped"
    """`calibrated` on this machine, or `refined` by jobs besides."""
    measured_at: float | None = None
    """When it was calibrated, in seconds since the epoch; None: never."""
    jobs: int = 0
    """Jobs that refined it."""

    def figure(self, kind: str, name: str, dtype: str = "", otherwise: Figure | None = None) -> Figure:
        """The figure of a function or store; `otherwise` is what is said of it where nothing was measured."""
        known = self.figures.get(kind, {})
        found = known.get(f"{name} {dtype}") or known.get(name)
        if found is None:
            alike = [figure for key, figure in known.items() if function_of(key) == function_of(name)]
            if alike:
                return _average(alike)
            if otherwise is not None:
                return replace(otherwise, unit_ns=otherwise.unit_ns * self.speed, tap_ns=otherwise.tap_ns * self.speed)
            found = known.get("", Figure())
        return found

    def with_figures(self, kind: str, changed: Mapping[str, Figure]) -> CostModel:
        """The model with some figures of a kind replaced."""
        return replace(self, figures={**self.figures, kind: {**self.figures.get(kind, {}), **changed}})

    def batch_blocks(self, block_s: float, blocks: int, slots: int, *, is_measured: bool = True) -> int:
        """Blocks per batch: where what tasks cost and what idles at the stage's end add up to the least.

        A stage ends when its last batch does, so all slots but one idle for half a batch on average. There are at least
        four batches for each of `slots` workers, unless it was measured that these would not do a few times what they cost;
        a batch is at most about a second, and no more blocks than a claim is quick with.
        """
        block_s, slots = max(block_s, 1e-6), max(1, slots)
        best = math.sqrt(2 * blocks * self.overheads.batch_s / (block_s * max(1, slots - 1)))
        worth = round(blocks * block_s / slots / (_WORTH * self.overheads.batch_s)) if is_measured else BATCHES_PER_SLOT
        most = max(1, blocks // (max(1, min(BATCHES_PER_SLOT, worth)) * slots))
        return max(1, min(round(best), most, round(MOST_BATCH_S / block_s), MOST_BATCH_BLOCKS))

    def least_blocks(self, block_s: float, batch_blocks: int, *, is_measured: bool = True) -> int:
        """Blocks per batch towards a stage's end, where all workers should be done at about the same time: not less than a
        quarter of a whole batch, nor than what is worth a message."""
        worth = math.ceil(self.overheads.batch_s / max(block_s, 1e-6)) if is_measured else 1
        return max(-(-batch_blocks // 4), min(batch_blocks, worth))

    def stage_wall_s(self, work_s: float, batches: int, slots: int, merge_s: float) -> float:
        """Seconds of a stage from its first message to its end: `work_s` of all workers, then the merge."""
        slots, batch_s = max(1, slots), work_s / max(1, batches)
        at_work = max(batch_s, work_s / slots + batch_s * (slots - 1) / slots / 2)
        return at_work + merge_s + self.overheads.stage_s

    @property
    def words(self) -> str:
        """Where the figures come from, in words."""
        jobs = f"refined by {self.jobs:,} job{'' if self.jobs == 1 else 's'}"
        if self.measured_at is None:
            found = f"shipped, {jobs}" if self.jobs else "shipped"
            return f"{found}; `lepton calibrate` measures them on this machine"
        at = time.strftime("%d %b %Y %H:%M", time.localtime(self.measured_at))
        return f"calibrated on {at}" + (f", {jobs} since" if self.jobs else "")

    def to_json(self) -> dict[str, Any]:
        """The model as plain JSON values."""
        return {
            "version": COST_VERSION,
            "figures": {kind: {key: asdict(f) for key, f in known.items()} for kind, known in self.figures.items()},
            "overheads": asdict(self.overheads),
            "speed": self.speed,
            "origin": self.origin,
            "measured_at": self.measured_at,
            "jobs": self.jobs,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> CostModel:
        """The model that `to_json` wrote.

        Raises:
            InputError: it is of another version, or damaged.
        """
        if document.get("version") != COST_VERSION:
            raise InputError(
                f"the cost model has version {document.get('version')!r}, this release reads {COST_VERSION}; "
                "`lepton calibrate` measures a new one"
            )
        try:
            return cls(
                figures={
                    kind: {key: Figure(**_numbers(figure)) for key, figure in known.items()}
                    for kind, known in document["figures"].items()
                },
                overheads=Overheads(**_numbers(document["overheads"])),
                speed=float(document["speed"]),
                origin=document["origin"],
                measured_at=document["measured_at"],
                jobs=int(document["jobs"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"the cost model is damaged ({error!r}); `lepton calibrate` measures a new one") from error


def function_of(key: str) -> str:
    """The function that a figure is of, without its properties and dtype."""
    return key.partition(" ")[0].partition("[")[0]


BATCHES_PER_SLOT = 4
"""Fewest batches of a stage for each worker slot, where there are blocks enough, …"""
_WORTH = 4
"""… and a batch does so many times what its message costs: a small job is not made slow by its messages."""
MOST_BATCH_BLOCKS = 4096
"""A claim of so many blocks keeps the ledger from others for about 20 ms."""
MOST_BATCH_S = 1.0
"""A batch is not planned to take longer: a worker hears of a cancelled job, and is taken off, between blocks only."""


def _average(figures: list[Figure]) -> Figure:
    each = {item.name: sum(getattr(f, item.name) for f in figures) / len(figures) for item in fields(Figure)}
    return Figure(**{**each, "seconds": 0.0})


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    found = {name: float(value) for name, value in values.items()}
    if not all(math.isfinite(value) and value >= 0 for value in found.values()):
        raise ValueError("a figure is negative or no number")
    return found
