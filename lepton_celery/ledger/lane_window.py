"""The window of a lane: how much work its jobs have in the broker, and what a turn to send more of it gives."""

from __future__ import annotations

from typing import NamedTuple


class Spans(NamedTuple):
    """Seconds of work for each slot of a lane."""

    window_s: float
    """In the broker or being done, of all jobs of the lane."""
    wave_s: float
    batch_s: float
    """Of a batch, unless the planner's batches are shorter."""


ALONE = Spans(3.0, 1.0, 1.0)
"""The spans of a lane that has one job."""
SHARED = Spans(1.0, 0.25, 0.25)
"""The spans of a lane that has several jobs."""


SHORTEST_S = 1 / 16
"""What a planned batch counts for at least, in seconds of the window, which bounds the number of messages in the broker; and
the shortest wave, however many jobs share the window."""
UNKNOWN_S = 0.1
"""What a block or a merge takes if nobody says so, in seconds."""


class Turn(NamedTuple):
    """The permission to send the next wave of a job."""

    job_id: str
    blocks: int
    """Number of blocks, about a wave."""
    batch_blocks: int
    """Largest number of blocks of a batch, where the plan has more."""
    messages: int
    """Largest number of batches; 0 for any number."""
    is_first: bool
    """Whether the wave is to be taken before the messages that wait in the lane."""
