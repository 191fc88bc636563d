"""Which lanes have workers: each worker notes the lanes that it serves, again and again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from lepton_celery.ledger.connection import Connection

_KNOWN_FOR_S = 2.0
"""Seconds for which this process remembers the slots of a lane."""


class ServingWorker(NamedTuple):
    """What a worker notes of itself."""

    slots: int
    lanes: tuple[str, ...]


class ServedLanes:
    """A sorted set of `lane slots worker`, each with the time until which the worker's note is valid."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._key = connection, f"{connection.prefix}lanes"
        self._known: dict[str, tuple[float, int]] = {}
        """The slots of each lane, and when they were read, by `time.monotonic`."""

    def note(self, worker: str, lanes: Iterable[str], slots: int, for_s: float) -> None:
        """Note for some seconds from now that a worker serves lanes with some slots; with 0, that it no longer does."""
        if entries := [f"{lane} {slots} {worker}" for lane in lanes]:
            self._connection.run_on("serve", [self._key], for_s, *entries)

    def is_served(self, lane: str) -> bool:
        """Whether a worker serves a lane."""
        return any(entry[0] == lane for entry in self._notes())

    def slots(self, lane: str) -> int:
        """The slots of all workers of a lane together."""
        read, slots = self._known.get(lane, (-_KNOWN_FOR_S, 0))
        if time.monotonic() - read >= _KNOWN_FOR_S:
            newest = {entry[2]: int(entry[1]) for entry in self._notes() if entry[0] == lane and entry[1].isdecimal()}
            slots = sum(newest.values())
            self._known[lane] = time.monotonic(), slots
        return slots

    def workers(self) -> dict[str, ServingWorker]:
        """The workers by name."""
        found: dict[str, ServingWorker] = {}
        for lane, slots, worker in self._notes():
            if slots.isdecimal():
                lanes = found[worker].lanes if worker in found else ()
                found[worker] = ServingWorker(int(slots), tuple(dict.fromkeys((*lanes, lane))))
        return found

    def _notes(self) -> list[list[str]]:
        """Lane, slots and worker of each note that is valid, the latest last."""
        served: list[str] = self._connection.run_on("serve", [self._key], 0)
        return [parts for entry in served if len(parts := entry.split(" ", 2)) == 3]
