"""The ledger: who did what in a job. On Redis for workers; a small record for a job that runs in one process.

`open_ledger` gives the ledger at a URL, `info` what it tells of a job, `record` the record of one process. May import: grid,
config, errors.
"""

from __future__ import annotations

from functools import lru_cache

from lepton_celery.ledger.base import Ledger
from lepton_celery.ledger.info import Claim, JobInfo, JobState

__all__ = ["Claim", "JobInfo", "JobState", "Ledger", "open_ledger"]


@lru_cache(maxsize=8)
def open_ledger(url: str, *, prefix: str = "lepton:") -> Ledger:
    """The ledger at a URL; nothing is connected until it is used, and it may be used after a fork and by many threads.

    Jobs are kept on a Redis or Valkey server under keys that start with `prefix`. There is one object for each server, so
    that a program that submits again and again does not connect each time.

    Args:
        url: `redis://`, `rediss://`, `redis+socket:///path?virtual_host=0` or `unix:///path?db=0`.
        prefix: beginning of all keys.

    Raises:
        InputError: the URL is not understood.
    """
    from lepton_celery.ledger.redis import RedisLedger  # redis-py takes 0.1 s to import

    return RedisLedger(url, prefix=prefix)
