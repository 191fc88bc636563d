"""The record of jobs: who works on which block, and what is done.

`open_ledger` opens the ledger on a Redis server. `moves` defines its operations and `info` the types that they return;
`record` replaces the ledger for a job that runs in this process.
"""

from __future__ import annotations

from functools import lru_cache

from lepton_celery.ledger.info import Claim, FollowingStage, JobInfo, JobState
from lepton_celery.ledger.moves import Ledger

__all__ = ["Claim", "FollowingStage", "JobInfo", "JobState", "Ledger", "open_ledger"]


@lru_cache(maxsize=8)
def open_ledger(url: str, *, prefix: str = "lepton:") -> Ledger:
    """The ledger at a URL, which connects on first use and may be shared by threads and across forks.

    Calls with the same arguments return the same object, so a program that submits many jobs connects once.

    Args:
        url: `redis://`, `rediss://`, `redis+socket:///path?virtual_host=0` or `unix:///path?db=0`.
        prefix: prefix of all keys.

    Raises:
        InputError: the URL is not understood.
    """
    return Ledger(url, prefix)
