"""What the ledger keeps for traces of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # redis-py takes 0.1 s to import
    from lepton_celery.ledger.connection import Connection


class Traces:
    """The part of a `Ledger` with these methods."""

    _connection: Connection

    def take_trace(self, job_id: str) -> bool:
        """Take the right to export the spans of a job that has ended; True for one caller each time that the job ends."""
        return bool(self._connection.run("take_trace", job_id))
