"""What a simulation counts: how slots spent their time, and how long batches waited."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

WAITS = ("message_s", "ledger_s", "store_s", "window_s", "end_s", "merge_s")
"""Where the time of slots goes that is not spent in blocks and merges."""


@dataclass
class Spending:
    """Seconds of slots, summed over the slots."""

    seconds: float = 0.0
    """The time of a job, from submission to its end."""
    busy: float = 0.0
    """In blocks and merges."""
    message_s: float = 0.0
    """Handling and publishing messages."""
    ledger_s: float = 0.0
    """Waiting for the server."""
    store_s: float = 0.0
    """Waiting for the store."""
    window_s: float = 0.0
    """Without a message although blocks are left to send: the window is full, or being filled."""
    end_s: float = 0.0
    """Without a message after all batches of the stage were sent."""
    merge_s: float = 0.0
    """Waiting for a merge."""
    nothing_s: float = 0.0
    """Without a job."""
    lost_s: float = 0.0
    """In batches that ended with their process."""
    peak_batches: int = 0
    """Largest number of batches at work at a time."""

    @property
    def limit(self) -> str:
        """Where most of the time goes that is not spent in blocks and merges."""
        return max(WAITS, key=lambda name: float(getattr(self, name))).removesuffix("_s")

    @property
    def idle(self) -> float:
        """Without a message, for whatever reason."""
        return self.window_s + self.end_s + self.merge_s + self.nothing_s


@dataclass
class Waits:
    """How long batches waited for a slot since their stage opened, by lane."""

    samples: dict[str, list[tuple[float, float, float]]] = field(default_factory=lambda: defaultdict(list))
    """For each lane: when they began, how long they waited, and how many they are."""

    def note(self, lane: str, at: float, waited_s: float, batches: float) -> None:
        """Note batches that waited for about the same time."""
        self.samples[lane].append((at, waited_s, batches))

    def percentile(self, lane: str, share: float) -> float:
        """The wait that a share of the lane's batches does not exceed; 0 without batches."""
        return _percentile([(waited, batches) for _, waited, batches in self.samples.get(lane, ())], share)

    def over_time(self, lane: str, share: float, width: float, bins: int) -> list[float]:
        """The same of the batches that began in each of some bins of `width` seconds; NaN where none did."""
        found: list[list[tuple[float, float]]] = [[] for _ in range(bins)]
        for at, waited, batches in self.samples.get(lane, ()):
            found[min(bins - 1, int(at / width))].append((waited, batches))
        return [_percentile(each, share) if each else math.nan for each in found]


def _percentile(samples: list[tuple[float, float]], share: float) -> float:
    samples.sort()
    left = share * sum(batches for _, batches in samples)
    for waited, batches in samples:
        left -= batches
        if left <= 1e-9:
            return waited
    return 0.0
