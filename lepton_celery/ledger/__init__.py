"""The record of jobs: who works on which block, and what is done.

`open_ledger` gives the ledger on Redis, `moves` has its moves, `info` its answers, and `record` the small record of a job
that runs in one process. Planning and all above it import this folder, and the doctor; it imports the grid and the errors.
"""

from __future__ import annotations

from functools import lru_cache

from lepton_celery.ledger.info import Claim, FollowingStage, JobInfo, JobState
from lepton_celery.ledger.moves import Ledger

__all__ = ["Claim", "FollowingStage", "JobInfo", "JobState", "Ledger", "open_ledger"]


@lru_cache(maxsize=8)
def open_ledger(url: str, *, prefix: str = "lepton:") -> Ledger:
    """The ledger at a URL. It connects when it is first used, and may be used by several threads and after a fork.

    There is one object for each server, so that a program that submits again and again does not connect each time.

    Args:
        url: `redis://`, `rediss://`, `redis+socket:///path?virtual_host=0` or `unix:///path?db=0`.
        prefix: beginning of all keys.

    Raises:
        InputError: the URL is not understood.
    """
    return Ledger(url, prefix)
