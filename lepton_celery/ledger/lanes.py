"""Which lanes have workers: each worker notes the lanes that it serves, again and again."""

from __future__ import annotations

from collections.abc import Iterable

from lepton_celery.ledger.connection import Connection


class ServedLanes:
    """A sorted set of `lane worker`, each with the time until which the worker's note is valid."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._key = connection, f"{connection.prefix}lanes"

    def note(self, worker: str, lanes: Iterable[str], for_s: float) -> None:
        """Note that a worker serves lanes for some seconds from now; with 0 seconds, that it no longer does."""
        now = self._connection.now()
        entries = {f"{lane} {worker}": now + for_s for lane in lanes}
        with self._connection.client() as client:
            pipeline = client.pipeline(transaction=False)
            if entries:
                pipeline.zadd(self._key, entries)
            pipeline.zremrangebyscore(self._key, "-inf", now)
            pipeline.execute()

    def is_served(self, lane: str) -> bool:
        """Whether a worker serves a lane."""
        now = self._connection.now()
        with self._connection.client() as client:
            served = client.zrangebyscore(self._key, f"({now}", "+inf")
        return any(entry.partition(" ")[0] == lane for entry in served)
