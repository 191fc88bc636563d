"""The indexes of a ledger: sorted sets in which the jobs of a server are found.

They lie outside the hash tags of the jobs, so no script can change them together with a job. An index is written before the
job is created and cleaned after it ends, and who reads it believes the job's own key. A process that dies in between leaves
an entry too many, never one too few, as long as the id of a forgotten job is not used again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lepton_celery.ledger.connection import Connection
from lepton_celery.ledger.info import JobState

GRACE_S = 3600.0
"""Seconds for which an index entry without a job is left alone: the job may just be being created."""


class JobIndex:
    """The jobs of a server: all, those that may be running, and those that have ended."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs, self._active, self._ended = (connection.prefix + name for name in ("jobs", "active", "ended"))

    def add(self, job_id: str, *, overwrite: bool) -> None:
        """Enter a job that is created now; `overwrite` tells whether the time of an earlier entry is replaced."""
        now = self._connection.now()
        with self._connection.client() as client:
            pipeline = client.pipeline(transaction=False)
            pipeline.zadd(self._jobs, {job_id: now}, nx=not overwrite)
            pipeline.zadd(self._active, {job_id: now}, nx=not overwrite)
            pipeline.execute()

    def end(self, job_id: str) -> None:
        """Note that a job has ended."""
        self._move(job_id, self._active, self._ended)

    def resume(self, job_id: str) -> None:
        """Note that a job that had ended or was paused goes on."""
        self._move(job_id, self._ended, self._active)

    def _move(self, job_id: str, source: str, target: str) -> None:
        now = self._connection.now()
        with self._connection.client() as client:
            client.zadd(target, {job_id: now}, nx=True)
            client.zrem(source, job_id)

    def remove(self, job_id: str) -> None:
        """Remove a job from all indexes."""
        with self._connection.client() as client:
            for index in (self._active, self._jobs, self._ended):
                client.zrem(index, job_id)

    def newest(self, start: int, count: int) -> dict[str, float]:
        """Jobs and when they were created, newest first: `count` of them, after the `start` newest."""
        with self._connection.client() as client:
            return dict(client.zrange(self._jobs, start, start + count - 1, desc=True, withscores=True))

    def running(self) -> list[str]:
        """Ids of the running jobs, oldest first."""
        with self._connection.client() as client:
            entries = dict(client.zrange(self._active, 0, -1, withscores=True))
            pipeline = client.pipeline(transaction=False)
            for job_id in entries:
                pipeline.hget(self._connection.key(job_id, "job"), "state")
            states = {job_id: state for job_id, state in zip(entries, pipeline.execute(), strict=True) if state}
        for job_id, state in states.items():
            if not JobState(state).is_open:
                self.end(job_id)
        self.prune(entries, existing=states)
        return [job_id for job_id, state in states.items() if state == JobState.RUNNING]

    def ended(self, *, before_s: float) -> list[str]:
        """Jobs that ended more than `before_s` seconds ago, the longest ago first."""
        latest = self._connection.now() - before_s
        with self._connection.client() as client:
            return list(client.zrangebyscore(self._ended, "-inf", latest))

    def prune(self, entries: Mapping[str, float], *, existing: Collection[str]) -> None:
        """Remove the entries without an existing job that are older than the grace period."""
        missing = entries.keys() - set(existing)
        if not missing:
            return
        oldest_kept = self._connection.now() - GRACE_S
        stale = [job_id for job_id in missing if entries[job_id] < oldest_kept]
        if stale:
            with self._connection.client() as client:
                client.zrem(self._active, *stale)
                client.zrem(self._jobs, *stale)
