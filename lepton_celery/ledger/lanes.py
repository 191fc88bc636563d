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
        if entries := [f"{lane} {worker}" for lane in lanes]:
            self._connection.run_on("serve", [self._key], for_s, *entries)

    def is_served(self, lane: str) -> bool:
        """Whether a worker serves a lane."""
        served: list[str] = self._connection.run_on("serve", [self._key], 0)
        return any(entry.partition(" ")[0] == lane for entry in served)
