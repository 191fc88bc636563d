"""The jobs that a ledger knows: all of them, and those that run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lepton_celery.errors import InputError
from lepton_celery.ledger import entries
from lepton_celery.ledger.damage import info_of_damaged
from lepton_celery.ledger.info import JobInfo

if TYPE_CHECKING:  # redis-py takes 0.1 s to import
    from lepton_celery.ledger.connection import Connection
    from lepton_celery.ledger.index import JobIndex

_MANY_JOBS = 1_000_000
"""The number of jobs among which one is found by the beginning of its id."""
_READ_TOGETHER = 500
"""Number of jobs that are read in one round trip, so that others are served in between."""


class JobList:
    """The part of a `Ledger` with these methods."""

    _connection: Connection
    _index: JobIndex

    def jobs(self, *, limit: int = 100) -> list[JobInfo]:
        """The newest jobs, newest first; those whose entries cannot be read are `DAMAGED`, with the reason as error."""
        if limit < 0:
            raise InputError(f"limit is {limit}; it must be at least 0")
        infos: dict[str, JobInfo] = {}  # by id: a job created meanwhile shifts the pages, so one may be read twice
        start = 0
        while len(infos) < limit and (page := self._index.newest(start, limit)):
            start += limit
            infos |= self.infos(page)
            self._index.prune(page, existing=infos)
        return sorted(infos.values(), key=lambda info: info.created_at, reverse=True)[:limit]

    def newest(self, count: int) -> dict[str, float]:
        """Ids of the newest jobs, newest first, and when they were created, in seconds since the epoch."""
        return self._index.newest(0, count)

    def infos(self, listed: Mapping[str, float]) -> dict[str, JobInfo]:
        """The jobs of `newest` that exist, by id, with those whose entries cannot be read as `jobs` gives them."""
        infos: dict[str, JobInfo] = {}
        job_ids = list(listed)
        for first in range(0, len(job_ids), _READ_TOGETHER):
            found = entries.read_jobs(self._connection, job_ids[first : first + _READ_TOGETHER])
            for job_id, info in found.items():
                infos[job_id] = info if isinstance(info, JobInfo) else info_of_damaged(info, listed[job_id])
        return infos

    def beginning_with(self, prefix: str) -> list[str]:
        """Ids of the jobs whose id begins with a text, newest first."""
        return [job_id for job_id in self._index.newest(0, _MANY_JOBS) if job_id.startswith(prefix)]

    def active(self) -> list[str]:
        """Ids of the running jobs, oldest first."""
        return self._index.running()

    def relist(self, job_ids: Iterable[str]) -> None:
        """Have `active` name those of these jobs that are running, in case a process died while it changed the index."""
        self._index.relist(job_ids)
