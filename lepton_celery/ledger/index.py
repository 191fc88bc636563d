"""The indexes of a ledger: sorted sets that list the jobs on a server.

Their keys do not have the hash tag of a job, so no script can change them together with the job. An entry is added before
its job is created and moved after the job ends, and readers trust the job's own key over the index. A process that dies in
between leaves a superfluous entry, but no job is missing, unless the id of a forgotten job is used again, or a job was
resumed while the process that noted its end stood still: `relist` finds it. A job whose notice is to be sent is listed for
that before it is listed as ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from lepton_celery.ledger.connection import Connection
from lepton_celery.ledger.info import JobState
from lepton_celery.ledger.quotas import Quotas

_ENDED = frozenset(state for state in JobState if not state.is_open)
GRACE_S = 3600.0
"""Seconds for which an entry without a job is kept, because the job may be about to be created."""
_NOTICE_GRACE_S = 2.0
"""Seconds in which the process that ended a job sends its notice, before sweepers do."""


class JobIndex:
    """The jobs of a server: all, those that may be running, those that have ended, and those whose notice is to be sent."""

    def __init__(self, connection: Connection, quotas: Quotas) -> None:
        self._connection, self._quotas = connection, quotas
        self._jobs, self._active, self._ended = (connection.prefix + name for name in ("jobs", "active", "ended"))
        self._notices = connection.prefix + "notices"

    def add(self, job_id: str, *, overwrite: bool) -> None:
        """Add a job with the current time; with `overwrite`, replace the time of an existing entry."""
        now = self._connection.nearly_now()
        with self._connection.client() as client:
            pipeline = client.pipeline(transaction=False)
            pipeline.zadd(self._jobs, {job_id: now}, nx=not overwrite)
            pipeline.zadd(self._active, {job_id: now}, nx=not overwrite)
            pipeline.execute()

    def end(self, job_id: str, *, notifies: bool = False) -> None:
        """Note that a job has ended, unless it was resumed meanwhile: what is not listed as running is not swept.

        If it `notifies`, sweepers send its notice unless the caller does.
        """
        if notifies:  # before it leaves the running jobs, among which a sweeper finds it if this process dies
            self.add_notice(job_id)
        self._quotas.release([job_id])
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
        now = self._connection.nearly_now()
        with self._connection.client() as client:
            pipeline = client.pipeline(transaction=False)
            pipeline.zadd(target, {job_id: now}, nx=True)
            pipeline.zrem(source, job_id)
            pipeline.execute()

    def remove(self, job_id: str) -> None:
        """Remove a job from all indexes."""
        self._quotas.release([job_id])
        with self._connection.client() as client:
            for index in (self._active, self._jobs, self._ended, self._notices):
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
                pipeline.hmget(self._connection.key(job_id, "job"), "state", "notice")
            replies = zip(entries, pipeline.execute(raise_on_error=False), strict=True)
        # the error of a damaged entry is no state
        found = {job_id: reply for job_id, reply in replies if isinstance(reply, list) and reply[0]}
        states = {job_id: state for job_id, (state, _) in found.items()}
        for job_id, (state, notice) in found.items():
            if state in _ENDED:
                self.end(job_id, notifies=notice is not None)
        self.prune(entries, existing=states)
        return [job_id for job_id, state in states.items() if state == JobState.RUNNING]

    def take_ended(self, *, before_s: float, count: int, again_s: float) -> list[str]:
        """See `Ledger.take_ended`."""
        now = self._connection.now()
        return self._take(self._ended, now - before_s, count, now - before_s + again_s)

    def take_notices(self, *, count: int, again_s: float) -> list[str]:
        """See `Ledger.take_notices`."""
        now = self._connection.now()
        return self._take(self._notices, now, count, now + again_s)

    def _take(self, index: str, latest: float, count: int, later: float) -> list[str]:
        return list(self._connection.run_on("take_ended", [index], latest, count, later))

    def add_notice(self, job_id: str) -> None:
        """Have sweepers send the notice of a job if nobody has done so in `_NOTICE_GRACE_S`."""
        with self._connection.client() as client:
            client.zadd(self._notices, {job_id: self._connection.now() + _NOTICE_GRACE_S}, nx=True)

    def end_notice(self, job_id: str) -> None:
        """Note that a job has no notice to be sent."""
        with self._connection.client() as client:
            client.zrem(self._notices, job_id)

    def prune(self, entries: Mapping[str, float], *, existing: Collection[str]) -> None:
        """Remove the entries that are older than `GRACE_S` and whose job does not exist."""
        missing = entries.keys() - set(existing)
        if not missing:
            return
        oldest_kept = self._connection.now() - GRACE_S
        stale = [job_id for job_id in missing if entries[job_id] < oldest_kept]
        if stale:
            self._quotas.release(stale)
            with self._connection.client() as client:
                client.zrem(self._active, *stale)
                client.zrem(self._jobs, *stale)
