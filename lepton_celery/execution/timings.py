"""The times of blocks by kind of work and node, added up over a batch."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns


class Timings:
    """Sums of the times of blocks, cheap enough for blocks of microseconds."""

    __slots__ = ("_sums", "block_ns", "blocks", "boxes", "now", "read_bytes", "write_bytes")

    def __init__(self, clock: Callable[[], int] = perf_counter_ns) -> None:
        self.now = clock
        """The clock, in nanoseconds."""
        self._sums: dict[tuple[str, int], int] = {}
        self.read_bytes = 0
        self.write_bytes = 0
        self.blocks = 0
        """Number of blocks done."""
        self.boxes = 0
        """Number of boxes done; small blocks are computed several to a box."""
        self.block_ns = 0
        """Total time of the boxes."""

    def add(self, kind: str, node: int, began_ns: int) -> None:
        """Add the time since `began_ns` to that of a kind of work on a node."""
        key = (kind, node)
        self._sums[key] = self._sums.get(key, 0) + self.now() - began_ns

    def add_blocks(self, began_ns: int, count: int = 1) -> None:
        """Add a box of `count` blocks that began at `began_ns` and ends now."""
        self.blocks += count
        self.boxes += 1
        self.block_ns += self.now() - began_ns

    def seconds(self, kind: str) -> float:
        """Seconds of work of a kind, over all nodes."""
        return sum(ns for (known, _), ns in self._sums.items() if known == kind) * 1e-9

    def stats(self) -> dict[str, float]:
        """The sums by name, for the ledger: `compute_s` is the time of computing in seconds, `compute 3` that of node 3."""
        return {
            "compute_s": self.seconds("compute"),
            "read_s": self.seconds("read"),
            "write_s": self.seconds("write") + self.seconds("partial"),
            "read_bytes": float(self.read_bytes),
            "write_bytes": float(self.write_bytes),
            "blocks": float(self.blocks),
            "boxes": float(self.boxes),
            "block_s": self.block_ns * 1e-9,
            **{f"{kind} {node}": ns * 1e-9 for (kind, node), ns in self._sums.items()},
        }
