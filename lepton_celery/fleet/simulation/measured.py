"""The times and sizes that a simulation rests on, all of them measured or predicted elsewhere. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from lepton_celery.limits import MAX_BLOCKS, Positive

Seconds = Annotated[float, Meta(ge=0, le=1e9)]
"""A length of time."""


@dataclass(frozen=True, slots=True)
class Times:
    """What messages and bookkeeping cost."""

    message_s: Seconds
    """Worker time per message, without its blocks and the server's time."""
    block_s: Seconds
    """Worker time per block besides the block's own steps: its share of claims and receipts."""
    server_message_s: Seconds
    """Server time per batch: to publish, deliver, acknowledge and count its message, and for its claim and receipts."""
    server_block_s: Seconds
    """Server time per block."""
    send_s: Seconds
    """Time to publish one message."""
    job_s: Seconds
    """Fixed time of a job: planning, the first message, the commit of the last merge, until `wait` returns."""


MEASURED = Times(
    message_s=0.00412, block_s=0.0, server_message_s=0.000726, server_block_s=0.0000069, send_s=0.00058, job_s=0.012
)
"""As `python -m benchmarks.simulation` measured them on two cores."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The blocks of a stage and the merge after them."""

    blocks: Annotated[int, Meta(ge=1, le=MAX_BLOCKS)]
    batch_blocks: Positive
    """Blocks per message."""
    block_s: Annotated[tuple[Seconds, ...], Meta(min_length=1, max_length=10_000)]
    """Times of blocks, from which the simulation draws."""
    merge_s: Seconds = 0.0
    block_bytes: Annotated[float, Meta(ge=0, le=1e18)] = 0.0
    """Bytes that a block reads and writes."""

    @property
    def work_s(self) -> float:
        """Expected seconds of one slot for all blocks."""
        return self.blocks * sum(self.block_s) / len(self.block_s)


@dataclass(frozen=True, slots=True)
class World:
    """What all workers share: the broker that is also the ledger, and the store."""

    round_trip_s: float = 0.0002
    """Of each call of the server. A batch makes four calls: take, claim, receipts, acknowledge."""
    store_bytes_per_s: float = 1e12
    """The default is so high that the store limits nothing: the measured times of blocks include reading and writing."""
