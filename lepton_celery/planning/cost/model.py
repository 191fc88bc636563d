"""The cost model: T = Σ T_i over blocks, T_i = C_i + W_i, compute plus communication.

A figure is linear: it has a cost per call, per pixel or byte, and per pixel and tap of a kernel. Figures are found by kind
and by key; a key is the name of a function or store, followed by the dtype if the figure was measured for one:

    compute   filters.gaussian float32      one function on one region; units are pixels, halo included
    read      zarr uint8                    calls are the chunks touched, units the bytes decoded
    write     npy float32                   calls are blocks, units bytes
    partial   lepton.label_blocks           storing a block's partial; units are the block's pixels
    merge     lepton.label_blocks           calls are the stage's blocks, units the image's pixels
    reserve   npy                           creating an output before its first block; units are bytes
    publish   tiff                          giving an output its final name; units are bytes

A function that was never measured falls back to its figures for other dtypes, then to the catalogue's own figure times
`speed`, the ratio of this machine's times to those of the catalogue.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from msgspec import Meta

from lepton_celery.limits import Count, Moment
from lepton_celery.stores.documents import check_version, from_document, to_document

COST_VERSION = 1

Speed = Annotated[float, Meta(gt=0, le=1e6)]
"""A ratio of times."""


_MAX_COST = 1e18
"""Largest cost: 30 years, in nanoseconds. The products of what is below remain finite."""


def _check_costs(*costs: float) -> None:
    if not 0 <= sum(costs) <= _MAX_COST or min(costs) < 0:  # NaN is neither
        raise ValueError(f"a cost is negative, no number or above {_MAX_COST:g}: {costs}")


@dataclass(frozen=True)
class Figure:
    """The cost of one function or store, in nanoseconds of one worker process."""

    unit_ns: float = 0.0
    """Cost per pixel or byte."""
    call_ns: float = 0.0
    """Cost per call."""
    tap_ns: float = 0.0
    """Additional cost per pixel and tap."""
    seconds: float = 0.0
    """Seconds of measured work that the figure rests on; 0 for a shipped figure."""

    def __post_init__(self) -> None:
        _check_costs(self.unit_ns, self.call_ns, self.tap_ns, self.seconds)

    def seconds_for(self, units: float, *, calls: float = 1, taps: float = 0) -> float:
        """Seconds that `calls` calls take on `units` pixels or bytes in all."""
        return (calls * self.call_ns + units * (self.unit_ns + taps * self.tap_ns)) * 1e-9


@dataclass(frozen=True)
class Overheads:
    """Costs that do not depend on pixels, in seconds."""

    block_s: float = 0.0002
    """Finding the regions of a block, or of a box of blocks that are computed at once."""
    receipt_s: float = 0.00003
    """A block's share of the calls to the ledger and of the journal."""
    batch_s: float = 0.012
    """A Celery task: its message, claim and receipt, and the wait for the next task."""
    wave_s: float = 0.004
    """Publishing a wave and closing it."""
    stage_s: float = 0.02
    """The time from a stage's last receipt to the next stage's first message, without the merge."""
    job_s: float = 0.06
    """Planning, submitting and recording a job, and noticing its end."""
    call_s: float = 0.000015
    """A call of a function that was never measured."""

    def __post_init__(self) -> None:
        _check_costs(*vars(self).values())


_ON_THREADS: Mapping[str, float] = {
    "receipt_s": 1e-5, "batch_s": 1e-4, "wave_s": 0.0, "stage_s": 5e-4, "job_s": 0.002
}  # fmt: skip
"""The fixed costs of work on threads of one process, which exchange no messages."""


_SHIPPED: Mapping[str, Mapping[str, Figure]] = {
    "compute": {},
    "read": {
        "memory": Figure(0.15, 5_000),
        "npy": Figure(0.2, 20_000),
        "zarr": Figure(0.7, 120_000),
        "tiff": Figure(1.0, 150_000),
        "picture": Figure(6.0, 100_000),
        "packed": Figure(0.4, 120_000),
    },
    "write": {
        "memory": Figure(0.3, 5_000),
        "npy": Figure(0.8, 60_000),
        "zarr": Figure(1.0, 200_000),
        "tiff": Figure(10.0, 300_000),
        "picture": Figure(0.4, 60_000),
        "packed": Figure(0.8, 200_000),
    },
    "partial": {"": Figure(0.05, 250_000)},
    "merge": {"": Figure(0.0, 300_000), "lepton.label_blocks": Figure(0.5, 2_000_000)},
    "reserve": {"npy": Figure(0.3, 200_000), "zarr": Figure(0.0, 4_000_000), "tiff": Figure(0.0, 1_000_000)},
    "publish": {"tiff": Figure(0.4, 1_000_000), "picture": Figure(20.0, 1_000_000), "": Figure(0.0, 200_000)},
}
"""The figures that the package ships with, measured on one core of a 2-core server."""


@dataclass(frozen=True)
class CostModel:
    """All figures and overheads, as plain data that has a JSON form."""

    figures: Mapping[str, Mapping[str, Figure]] = field(default_factory=lambda: _SHIPPED)
    """Figures by kind and key."""
    overheads: Overheads = field(default_factory=Overheads)
    speed: Speed = 1.0
    """Ratio of this machine's times to those of the catalogue, for functions that were not measured."""
    measured_at: Moment | None = None
    """Time of the calibration, in seconds since the epoch; None if there was none."""
    jobs: Count = 0
    """Number of jobs that refined the model."""

    def figure(self, kind: str, key: str, shipped: Figure | None = None) -> Figure:
        """The figure of a function or store; `shipped` is the catalogue's, used if nothing was measured."""
        known = self.figures.get(kind, {})
        measured = known.get(key) or known.get(key.partition(" ")[0])
        if measured is not None:
            return measured
        other_dtypes = [figure for other, figure in known.items() if function_of(other) == function_of(key)]
        if other_dtypes:
            costs = ("unit_ns", "call_ns", "tap_ns")
            return Figure(
                *(sum(getattr(figure, cost) for figure in other_dtypes) / len(other_dtypes) for cost in costs)
            )
        if shipped is not None:
            return replace(shipped, unit_ns=shipped.unit_ns * self.speed, tap_ns=shipped.tap_ns * self.speed)
        return known.get("", Figure())

    def on_threads(self) -> CostModel:
        """The model with the fixed costs of work on threads of this process."""
        return replace(self, overheads=replace(self.overheads, **_ON_THREADS))

    def with_figures(self, kind: str, changed: Mapping[str, Figure]) -> CostModel:
        """The model with some figures of a kind replaced."""
        return replace(self, figures={**self.figures, kind: {**self.figures.get(kind, {}), **changed}})

    def batch_blocks(self, block_s: float, blocks: int, workers: int, *, is_measured: bool = True) -> int:
        """Blocks per batch that minimize the cost of messages plus the idle time at the stage's end.

        A stage ends when its last batch does, so all workers but one idle for half a batch on average. There are at least
        `BATCHES_PER_WORKER` batches per worker, or fewer if it was measured that a batch would not outweigh the cost of its
        message. `MAX_BATCH_S` and `MAX_BATCH_BLOCKS` limit a batch.
        """
        block_s, workers = max(block_s, MIN_BLOCK_S), max(1, workers)
        best = math.sqrt(2 * blocks * self.overheads.batch_s / (block_s * max(1, workers - 1)))
        worthwhile = blocks * block_s / workers / (MIN_WORK_PER_MESSAGE * max(self.overheads.batch_s, MIN_BLOCK_S))
        batches = min(BATCHES_PER_WORKER, round(worthwhile)) if is_measured else BATCHES_PER_WORKER
        share = max(1, blocks // (max(1, batches) * workers))
        return max(1, min(round(best), share, round(MAX_BATCH_S / block_s), MAX_BATCH_BLOCKS))

    def min_batch_blocks(self, block_s: float, batch_blocks: int, *, is_measured: bool = True) -> int:
        """Smallest number of blocks of a batch near a stage's end, where batches shrink so that all workers end together.

        A quarter of a full batch, or more if it was measured that fewer blocks would not outweigh the cost of a message.
        """
        worthwhile = math.ceil(self.overheads.batch_s / max(block_s, MIN_BLOCK_S)) if is_measured else 1
        return max(-(-batch_blocks // 4), min(batch_blocks, worthwhile))

    def stage_wall_s(self, work_s: float, batches: int, workers: int) -> float:
        """Seconds of a stage from its first message to its end, without its merge; `work_s` is the work of all workers."""
        workers, batch_s = max(1, workers), work_s / max(1, batches)
        busy_s = max(batch_s, work_s / workers + batch_s * (workers - 1) / workers / 2)
        return busy_s + self.overheads.stage_s

    @property
    def provenance(self) -> str:
        """The origin of the figures, as text."""
        jobs = f"refined by {self.jobs:,} job{'' if self.jobs == 1 else 's'}"
        if self.measured_at is None:
            origin = f"shipped, {jobs}" if self.jobs else "shipped"
            if self.speed != 1:
                origin += f", times {self.speed:.2g} for this machine"
            return f"{origin}; `lepton calibrate` measures them on this machine"
        measured = time.strftime("%d %b %Y %H:%M", time.localtime(self.measured_at))
        return f"calibrated on {measured}" + (f", {jobs} since" if self.jobs else "")

    def to_json(self) -> dict[str, Any]:
        """The model as plain JSON values."""
        return {"version": COST_VERSION, **to_document(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> CostModel:
        """The model that `to_json` wrote.

        Raises:
            InputError: another version wrote it, or it is damaged.
        """
        check_version(document, COST_VERSION, "the cost model", "`lepton calibrate` measures a new one")
        return from_document(document, cls, "the cost model")


def function_of(key: str) -> str:
    """The function in a figure's key, without its properties and dtype."""
    return key.partition(" ")[0].partition("[")[0]


BATCHES_PER_WORKER = 4
"""Smallest number of batches of a stage for each worker, if enough blocks exist and batches outweigh their messages."""
MIN_WORK_PER_MESSAGE = 4
"""Smallest ratio of a batch's work to the cost of its message at which the batch outweighs it."""
MIN_BLOCK_S = 1e-6
"""Shortest time that is assumed for a block, in seconds."""
MAX_BATCH_BLOCKS = 4096
"""Largest number of blocks of a batch; claiming that many keeps other callers of the ledger waiting for about 20 ms."""
MAX_BATCH_S = 1.0
"""Longest time planned for a batch, in seconds, so that workers soon notice a cancelled job."""
