"""The cost model: T = Σ T_i over blocks, T_i = C_i + W_i, compute plus communication.

Figures are shipped defaults, measured on one core of a 2-core server; the planner only compares them with each other, and
a job reports what it predicted beside what it took.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CostModel:
    """What work costs, in nanoseconds and seconds of one worker process."""

    read_ns_per_byte: float = 0.3
    """Reading raw pixels that the disk cache holds."""
    decode_ns_per_byte: float = 1.2
    """Reading pixels that a chunked or compressed file holds."""
    write_ns_per_byte: float = 2.5
    """Writing raw pixels to a new file."""
    encode_ns_per_byte: float = 1.5
    """Writing pixels into a chunked or compressed file."""
    block_s: float = 0.002
    """Fixed cost of a block: opening, claiming its share of the ledger's calls, calling each function."""
    batch_s: float = 0.008
    """Fixed cost of a Celery task: a message, a claim, a receipt."""
    stage_s: float = 0.03
    """Fixed cost of a stage: joining the chord, the merge, the next wave."""

    def batch_blocks(self, block_seconds: float, blocks: int, slots: int, target_s: float = 0.4) -> int:
        """Blocks per batch: about `target_s` of work, and at least eight batches for each of `slots` workers.

        A stage ends when its last batch does, so a worker idles for half a batch on average; a task costs milliseconds.
        """
        wanted = round(target_s / max(block_seconds, 1e-6))
        most = max(1, blocks // (8 * max(1, slots)))
        return max(1, min(wanted, most))
