"""The ledger: who did what in a job, on Redis for workers or in memory for one process."""

from __future__ import annotations

from functools import lru_cache

from lepton_celery.ledger.base import Claim, JobInfo, JobState, Ledger
from lepton_celery.ledger.heartbeat import Heartbeat
from lepton_celery.ledger.memory import MemoryLedger

__all__ = ["Claim", "Heartbeat", "JobInfo", "JobState", "Ledger", "MemoryLedger", "open_ledger"]


def open_ledger(url: str, *, prefix: str = "lepton:") -> Ledger:
    """The ledger at a URL; nothing is connected until it is used, and it may be used after a fork and by many threads.

    `redis://`, `rediss://`, `redis+socket:///path?virtual_host=0` and `unix:///path?db=0` keep jobs on a Redis or Valkey
    server under keys that start with `prefix`. `memory://` is a new, empty ledger of this process each time: pass the
    object on. Raises `InputError` for any other URL.
    """
    if url.startswith("memory://"):
        return MemoryLedger()
    return _on_redis(url, prefix)


@lru_cache(maxsize=8)
def _on_redis(url: str, prefix: str) -> Ledger:
    """One for each server, so that a program that submits again and again does not connect anew each time."""
    from lepton_celery.ledger.redis import RedisLedger  # redis-py takes 0.1 s to import, for nothing on one machine

    return RedisLedger(url, prefix=prefix)
