"""The history of a job: which slot did which blocks when, and for how long it computed, read and wrote."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from lepton_celery.grid import StageNumber

if TYPE_CHECKING:  # redis-py takes 0.1 s to import
    from lepton_celery.ledger.connection import Connection

_MOST_READ = 200_000
"""Largest number of entries of a history that are read. Scripts keep histories far shorter."""


class Work(NamedTuple):
    """What a slot did: a batch, a part of one, or a merge."""

    slot: str
    """The worker and the process, `celery@host/1234`, without blanks."""
    places: str
    """The places of the blocks, as `format_places` writes them; empty for a merge."""
    seconds: float
    compute_s: float = 0.0
    read_s: float = 0.0
    write_s: float = 0.0
    read_bytes: int = 0
    write_bytes: int = 0

    def to_json(self) -> str:
        """The work as the scripts take it."""
        return json.dumps([self.slot, self.places, *(round(float(figure), 6) for figure in self[2:])])


class Stretch(NamedTuple):
    """What a slot did without a pause in between: one batch or several, or a merge."""

    stage: StageNumber
    began: float
    """Seconds since the epoch."""
    ended: float
    """Seconds since the epoch."""
    compute_s: float
    """Seconds of these for which the slot computed."""
    read_s: float
    write_s: float
    read_bytes: int
    write_bytes: int
    slot: str
    """The worker and the process."""
    places: str
    """The places of the blocks, as `format_places` writes them; empty for a merge."""


def read_history(connection: Connection, job_id: str) -> list[Stretch]:
    """The history of a job, in the order in which its entries began; entries that are damaged are left out."""
    with connection.client() as client:
        key = connection.key(job_id, "history")
        [entries] = client.pipeline(transaction=False).lrange(key, 0, _MOST_READ - 1).execute(raise_on_error=False)
    found = [_parse(entry) for entry in entries] if isinstance(entries, list) else []
    return [stretch for stretch in found if stretch is not None]


def _parse(entry: Any) -> Stretch | None:
    words = str(entry).split(" ")
    try:
        stage, began, ended, compute_s, read_s, write_s, read_bytes, write_bytes, slot, places = words
        stretch = Stretch(
            StageNumber(int(stage)),
            float(began),
            float(ended),
            float(compute_s),
            float(read_s),
            float(write_s),
            int(read_bytes),
            int(write_bytes),
            slot,
            places,
        )
        return stretch if all(map(math.isfinite, stretch[1:6])) else None
    except ValueError:
        return None
