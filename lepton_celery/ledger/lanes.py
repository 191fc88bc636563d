"""Which lanes have workers: each worker notes the lanes that it serves, again and again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from lepton_celery.ledger.connection import Connection
from lepton_celery.limits import Count

_KNOWN_FOR_S = 2.0
"""Seconds for which this process remembers the slots of a lane."""
_MAX_CHARS = 100_000
"""Longest text about the processes of a worker that is read."""
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


class WorkerProcesses(NamedTuple):
    """What a worker notes of its processes."""

    host: str
    """The name of its machine, as owners of leases have it."""
    pids: tuple[int, ...]
    """The processes that work."""
    memory_bytes: int
    """Memory of all its processes in RAM; what several of them share counts for each. 0 if that is not known."""


class ServedLanes:
    """A sorted set of `lane slots fewest most release worker`, each with the time until which the note is valid."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._key = connection, f"{connection.prefix}lanes"
        self._known: dict[str, tuple[float, int]] = {}
        """The slots of each lane, and when they were read, by `time.monotonic`."""

    def note(self, worker: str, about: ServingWorker, for_s: float, processes: WorkerProcesses | None = None) -> None:
        """Note for some seconds from now what a worker serves; with 0, that it no longer does."""
        release = about.release.replace(" ", "") or _UNKNOWN
        rest = f"{about.slots} {about.fewest} {about.most} {release} {worker}"
        if entries := [f"{lane} {rest}" for lane in about.lanes]:
            self._connection.run_on("serve", [self._key], for_s, *entries)
        if processes is not None:
            text = json.dumps({"host": processes.host, "pids": processes.pids, "memory_bytes": processes.memory_bytes})
            with self._connection.client() as client:
                client.set(self._processes_key(worker), text, px=max(1, int(1000 * for_s)))

    def processes(self, workers: Iterable[str]) -> dict[str, WorkerProcesses]:
        """What these workers noted last of their processes; without those that noted nothing."""
        names = list(workers)
        with self._connection.client() as client:
            pipeline = client.pipeline(transaction=False)
            for name in names:
                pipeline.get(self._processes_key(name))
            texts = pipeline.execute(raise_on_error=False) if names else []
        found = {name: _processes(text) for name, text in zip(names, texts, strict=True)}
        return {name: processes for name, processes in found.items() if processes is not None}

    def _processes_key(self, worker: str) -> str:
        return f"{self._connection.prefix}worker:{worker}"

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


def _processes(text: Any) -> WorkerProcesses | None:
    try:
        document = json.loads(text) if isinstance(text, str) and len(text) <= _MAX_CHARS else None
        return None if document is None else msgspec.convert(document, _Document).processes()
    except ValueError:  # somebody else wrote it
        return None


class _Document(msgspec.Struct):
    host: str
    pids: list[Count]
    memory_bytes: Count

    def processes(self) -> WorkerProcesses:
        return WorkerProcesses(self.host, tuple(self.pids), self.memory_bytes)
