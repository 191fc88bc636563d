"""The indexes of a ledger: sorted sets that list the jobs on a server.

Their keys do not have the hash tag of a job, so no script can change them together with the job. An entry is added before
its job is created and moved after the job ends, and readers trust the job's own key over the index. A process that dies in
between leaves a superfluous entry, but no job is missing, unless the id of a forgotten job is used again, or a job was
resumed while the process that noted its end stood still: `relist` finds it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from lepton_celery.ledger.connection import Connection
from lepton_celery.ledger.info import JobState

_ENDED = frozenset(state for state in JobState if not state.is_open)
GRACE_S = 3600.0
"""Seconds for which an entry without a job is kept, because the job may be about to be created."""


class JobIndex:
    """The jobs of a server: all, those that may be running, and those that have ended."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs, self._active, self._ended = (connection.prefix + name for name in ("jobs", "active", "ended"))

    def add(self, job_id: str, *, overwrite: bool) -> None:
        """Add a job with the current time; with `overwrite`, replace the time of an existing entry."""
        now = self._connection.now()
        with self._connection.client() as client:
            pipeline = client.pipeline(transaction=False)
            pipeline.zadd(self._jobs, {job_id: now}, nx=not overwrite)
            pipeline.zadd(self._active, {job_id: now}, nx=not overwrite)
            pipeline.execute()

    def end(self, job_id: str) -> None:
        """Note that a job has ended, unless it was resumed meanwhile: what is not listed as running is not swept."""
        self._move(job_id, self._active, self._ended)
        self.relist([job_id])

    def relist(self, job_ids: Iterable[str]) -> None:
        """List those of these jobs as running that are, whatever the indexes say."""
        job_ids = list(job_ids)
        with self._connection.client() as client:
            pipeline = client.pipeline(transaction=False)
            for job_id in job_ids:
                pipeline.hget(self._connection.key(job_id, "job"), "state")
            states = pipeline.execute(raise_on_error=False)
        for job_id, state in zip(job_ids, states, strict=True):
            if state == JobState.RUNNING or state == JobState.PAUSED:
                self.resume(job_id)

    def resume(self, job_id: str) -> None:
        """Note that a failed or paused job was resumed."""
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
        """Ids and creation times of `count` jobs, newest first, without the `start` newest."""
        with self._connection.client() as client:
            return dict(client.zrange(self._jobs, start, start + count - 1, desc=True, withscores=True))

    def running(self) -> list[str]:
        """Ids of the running jobs, oldest first."""
        with self._connection.client() as client:
            entries = dict(client.zrange(self._active, 0, -1, withscores=True))
            pipeline = client.pipeline(transaction=False)
            for job_id in entries:
                pipeline.hget(self._connection.key(job_id, "job"), "state")
            replies = zip(entries, pipeline.execute(raise_on_error=False), strict=True)
        states = {job_id: state for job_id, state in replies if state}  # the error of a damaged entry is no state
        for job_id, state in states.items():
            if state in _ENDED:
                self.end(job_id)
        self.prune(entries, existing=states)
        return [job_id for job_id, state in states.items() if state == JobState.RUNNING]

    def take_ended(self, *, before_s: float, count: int, again_s: float) -> list[str]:
        """See `Ledger.take_ended`."""
        now = self._connection.now()
        later = now - before_s + again_s
        return list(self._connection.run_on("take_ended", [self._ended], now - before_s, count, later))

    def prune(self, entries: Mapping[str, float], *, existing: Collection[str]) -> None:
        """Remove the entries that are older than `GRACE_S` and whose job does not exist."""
        missing = entries.keys() - set(existing)
        if not missing:
            return
        oldest_kept = self._connection.now() - GRACE_S
        stale = [job_id for job_id in missing if entries[job_id] < oldest_kept]
        if stale:
            with self._connection.client() as client:
                client.zrem(self._active, *stale)
                client.zrem(self._jobs, *stale)
