"""Where the time of blocks goes: computing by function, reading and writing by image, added up over a batch."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns


class Tally:
    """Sums of what blocks took, by kind of work and node of the plan. Cheap enough for blocks of microseconds."""

    __slots__ = ("_sums", "block_ns", "blocks", "boxes", "now", "read_bytes", "write_bytes")

    def __init__(self, clock: Callable[[], int] = perf_counter_ns) -> None:
        self.now = clock
        """Nanoseconds of the clock that all is measured by."""
        self._sums: dict[tuple[str, int], int] = {}
        self.read_bytes = 0
        self.write_bytes = 0
        self.blocks = 0
        """Blocks done, …"""
        self.boxes = 0
        """… in so many goes: small ones are done several at once."""
        self.block_ns = 0
        """Time of these blocks from beginning to end."""

    def add(self, kind: str, node: int, began_ns: int) -> None:
        """Work of a kind on a node, begun at `began_ns` (of `now`), has just ended."""
        key = (kind, node)
        self._sums[key] = self._sums.get(key, 0) + self.now() - began_ns

    def block(self, began_ns: int, count: int = 1) -> None:
        """A block has just ended, or several that were done at once."""
        self.blocks += count
        self.boxes += 1
        self.block_ns += self.now() - began_ns

    def seconds(self, kind: str) -> float:
        """Seconds of work of a kind, over all nodes."""
        return sum(ns for (found, _), ns in self._sums.items() if found == kind) * 1e-9

    def stats(self) -> dict[str, float]:
        """The figures by name, to be added up in the ledger: `compute_s` and `compute 3`, the seconds of node 3 in it."""
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
