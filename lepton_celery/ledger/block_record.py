"""What the ledger knows of each block of a job: for people who look at the job, not for those who do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger.history import Stretch, read_history

if TYPE_CHECKING:  # redis-py takes 0.1 s to import
    from lepton_celery.ledger.connection import Connection


_MOST_TRACEBACKS = 20
"""Largest number of blocks of a job whose tracebacks are kept."""


class Lease(NamedTuple):
    """A block that is worked on."""

    since: float
    """When it was granted, in seconds since the epoch."""
    until: float
    """When it ends unless it is renewed, in seconds since the epoch."""
    owner: str


@dataclass(frozen=True, slots=True)
class OpenBlocks:
    """The blocks of the open stage of a job."""

    receipts: bytes
    """A bit for each place, the highest bit of a byte first; it may end before the last place. Set if the block is done."""
    leases: Mapping[Place, Lease]
    """The blocks that are worked on."""
    attempts: Mapping[Place, int]
    """Number of lost attempts of each block that lost any since it was last done."""
    reasons: Mapping[Place, str]
    """Why a block was last released with an attempt lost."""


class BlockRecord:
    """The part of a `Ledger` with these methods."""

    _connection: Connection

    def _run(self, script: str, job_id: str, *arguments: str | float) -> Any:
        """Run a script on the keys of a job."""
        raise NotImplementedError

    def note_traceback(self, job_id: str, number: StageNumber, place: Place, text: str) -> None:
        """Keep where the error of a block was raised, for people; of the first blocks of a job that fail."""
        self._run("note_traceback", job_id, number, place, text, _MOST_TRACEBACKS)

    def tracebacks(self, job_id: str) -> dict[tuple[StageNumber, Place], str]:
        """Where the last errors of blocks were raised; empty if no block failed, or the job was resumed since."""
        with self._connection.client() as client:
            key = self._connection.key(job_id, "tracebacks")
            [fields] = client.pipeline(transaction=False).hgetall(key).execute(raise_on_error=False)
        found = {}
        for field, text in fields.items() if isinstance(fields, dict) else ():
            stage, _, place = field.partition(" ")
            if stage.isdecimal() and place.isdecimal():
                found[StageNumber(int(stage)), Place(int(place))] = str(text)
        return found

    def history(self, job_id: str) -> list[Stretch]:
        """What each slot did for the job, in the order in which the entries began; empty if nothing was done or noted."""
        return read_history(self._connection, job_id)

    def open_blocks(self, job_id: str) -> OpenBlocks:
        """The blocks of the open stage, or of the stage in which the job failed; nothing of a job that ended otherwise."""
        with self._connection.client() as client:
            pipeline = client.pipeline(transaction=False)  # a transaction would decode the bitmap as text
            pipeline.execute_command("GETRANGE", self._connection.key(job_id, "receipts"), 0, -1, NEVER_DECODE=True)
            for name in ("leases", "attempts", "reasons"):
                pipeline.hgetall(self._connection.key(job_id, name))
            receipts, leases, attempts, reasons = pipeline.execute(raise_on_error=False)
        return OpenBlocks(
            receipts if isinstance(receipts, bytes) else b"",
            _by_place(leases, _lease),
            _by_place(attempts, int),
            _by_place(reasons, str),
        )


def _by_place(fields: Any, convert: Any) -> dict[Place, Any]:
    """The values of a hash by place; those that are damaged are left out."""
    found: dict[Place, Any] = {}
    for place, value in fields.items() if isinstance(fields, dict) else ():
        try:
            found[Place(int(place))] = convert(value)
        except ValueError:
            continue
    return found


def _lease(text: str) -> Lease:
    until, _, since, owner = text.split(" ", 3)
    return Lease(float(since), float(until), owner)
