"""The priority of a job: its lane, and its rank among the jobs of its tenant there."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, get_args

from msgspec import Meta

from lepton_celery.errors import InputError
from lepton_celery.text import quoted

Lane = Literal["interactive", "default", "batch"]
"""A queue of jobs of one urgency."""

LANES: tuple[Lane, ...] = get_args(Lane)
"""The lanes of jobs, the most urgent first; each has a queue of its own."""

CONTROL = "control"
"""The queue beside the lanes through which merges and ends of waves of jobs go that are not interactive."""

MAX_RANK = 9

Rank = Annotated[int, Meta(ge=0, le=MAX_RANK)]
"""A rank of a job: jobs of a higher rank go first."""

QUEUE_PREFIX = "lepton."
"""Prefix of the names of all queues, which keeps them apart from the application's own."""


def queue_of(lane: str) -> str:
    """The name of a lane's queue."""
    return QUEUE_PREFIX + lane


class Priority(NamedTuple):
    """Which jobs go first: those of the more urgent lane, and of a tenant's jobs there those of the higher rank."""

    lane: Lane = "default"
    rank: int = 0

    def __str__(self) -> str:
        return f"{self.lane}:{self.rank}" if self.rank else self.lane


def priority_of(text: str) -> Priority:
    """The priority that a text names: a lane, or a lane and a rank such as `batch:5`.

    Raises:
        InputError: there is no such lane, or the rank is not a number from 0 to `MAX_RANK`.
    """
    name, colon, rank = str(text).partition(":")
    for lane in LANES:
        if lane == name and (not colon or (rank.isdecimal() and rank.isascii() and int(rank) <= MAX_RANK)):
            return Priority(lane, int(rank or 0))
    raise InputError(
        f"priority {quoted(str(text))} is not understood; give a lane ({', '.join(LANES)}), or a lane and a rank from 0 to "
        f"{MAX_RANK}, such as batch:5"
    )
