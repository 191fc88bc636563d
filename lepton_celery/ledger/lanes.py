"""Which lanes have workers: each worker notes the lanes that it serves, again and again."""

from __future__ import annotations

import time
from typing import NamedTuple

from lepton_celery.ledger.connection import Connection

_KNOWN_FOR_S = 2.0
"""Seconds for which this process remembers the slots of a lane."""
_UNKNOWN = "-"
"""What stands for a release that is not known."""


class ServingWorker(NamedTuple):
    """What a worker notes of itself."""

    slots: int
    lanes: tuple[str, ...]
    fewest: int
    """Slots to which it shrinks by itself."""
    most: int
    """Slots to which it grows by itself."""
    release: str = ""
    """The release of this package that it runs; empty if that is not known."""


class ServedLanes:
    """A sorted set of `lane slots fewest most release worker`, each with the time until which the note is valid."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._key = connection, f"{connection.prefix}lanes"
        self._known: dict[str, tuple[float, int]] = {}
        """The slots of each lane, and when they were read, by `time.monotonic`."""

    def note(self, worker: str, about: ServingWorker, for_s: float) -> None:
        """Note for some seconds from now what a worker serves; with 0, that it no longer does."""
        release = about.release.replace(" ", "") or _UNKNOWN
        rest = f"{about.slots} {about.fewest} {about.most} {release} {worker}"
        if entries := [f"{lane} {rest}" for lane in about.lanes]:
            self._connection.run_on("serve", [self._key], for_s, *entries)

    def is_served(self, lane: str) -> bool:
        """Whether a worker serves a lane."""
        return any(lane in worker.lanes for worker in self.workers().values())

    def slots(self, lane: str) -> int:
        """The slots of all workers of a lane together."""
        read, slots = self._known.get(lane, (-_KNOWN_FOR_S, 0))
        if time.monotonic() - read >= _KNOWN_FOR_S:
            slots = sum(worker.slots for worker in self.workers().values() if lane in worker.lanes)
            self._known[lane] = time.monotonic(), slots
        return slots

    def workers(self) -> dict[str, ServingWorker]:
        """The workers by name, as the last note of each tells; what is no note is left out."""
        found: dict[str, ServingWorker] = {}
        for entry in self._connection.run_on("serve", [self._key], 0):
            lane, *numbers, release, name = parts if len(parts := str(entry).split(" ", 5)) == 6 else ("", "", "")
            if numbers and all(number.isdecimal() for number in numbers):
                lanes = found[name].lanes if name in found else ()
                known = "" if release == _UNKNOWN else release
                found[name] = ServingWorker(
                    int(numbers[0]), tuple(dict.fromkeys((*lanes, lane))), int(numbers[1]), int(numbers[2]), known
                )
        return found
