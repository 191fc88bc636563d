"""The notices that are to be sent: a job that was created for it has one from its end on, until somebody has sent it.

The script that ends the job notes the notice, so no job ends without it. It is told from that of another end, after the job
was resumed, by its time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from lepton_celery.ledger.info import JobState

if TYPE_CHECKING:  # redis-py takes 0.1 s to import
    from lepton_celery.ledger.connection import Connection
    from lepton_celery.ledger.index import JobIndex


Command = tuple[str, ...]
"""A command of Redis and its arguments."""


class Notice(NamedTuple):
    """An end of a job that is to be told."""

    state: JobState
    """How the job ended."""
    at: str
    """When it ended, as the ledger noted it."""


class Notices:
    """The part of a `Ledger` with these methods."""

    _connection: Connection
    _index: JobIndex

    def _run(self, script: str, job_id: str, *arguments: str | float) -> Any:
        """Run a script on the keys of a job."""
        raise NotImplementedError

    def notice(self, job_id: str) -> Notice | None:
        """The end of a job that is to be told; None if there is none."""
        with self._connection.client() as client:
            text = client.hget(self._connection.key(job_id, "job"), "notice")
        state, _, at = str(text or "").partition(" ")
        if state not in (JobState.DONE, JobState.FAILED, JobState.CANCELLED) or not at:
            return None
        return Notice(JobState(state), at)

    @property
    def database(self) -> tuple[object, ...]:
        """What tells the database of Redis from others; see `database_of`."""
        return self._connection.database

    def end_notice(self, job_id: str, notice: Notice | None, publish: Iterable[Command] = ()) -> None:
        """Note that this notice was sent, or that there is none. A later one stays.

        The commands of `publish` send it, in the same step; none of them is done if somebody else has sent it.
        """
        words = [word for command in publish for word in (str(len(command)), *command)]
        if notice is not None and not self._run("end_notice", job_id, " ".join(notice), *words):
            return
        self._index.end_notice(job_id)
        if self.notice(job_id) is not None:  # resumed and ended again meanwhile
            self._index.add_notice(job_id)

    def take_notices(self, *, count: int, again_s: float) -> list[str]:
        """Ids of up to `count` jobs whose notice nobody has sent yet; nobody else is given them for `again_s` seconds."""
        return self._index.take_notices(count=count, again_s=again_s)
