"""The number of open jobs of each tenant in each lane, and of each owner, which settings limit.

A script counts a job before it is created, so requests at the same time do not exceed a limit together. The job is counted
until its end is noted in the indexes of jobs, by whoever notes that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from lepton_celery.ledger.info import JobInfo

if TYPE_CHECKING:  # redis-py takes 0.1 s to import
    from lepton_celery.ledger.connection import Connection


class Excess(NamedTuple):
    """A holder that has as many open jobs as it may have."""

    holder: str
    jobs: int


def tenant_holder(lane: str, tenant: str) -> str:
    """The name of a tenant in a lane, as a holder of jobs."""
    return f"tenant {lane} {tenant}"


def owner_holder(owner: str) -> str:
    """The name of an owner, as a holder of jobs."""
    return f"owner {owner}"


def holders_of(info: JobInfo) -> dict[str, int]:
    """The holders of a job that is open already, without limits."""
    names = [tenant_holder(info.lane, info.tenant), *([owner_holder(info.owner)] if info.owner else [])]
    return dict.fromkeys(names, 0)


class Quotas:
    """The open jobs, and how many each holder has."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # one hash tag: a script changes both
        self._jobs, self._counts = (f"{connection.prefix}{{open}}:{name}" for name in ("jobs", "counts"))

    def admit(self, job_id: str, holders: Mapping[str, int]) -> Excess | None:
        """Count a job for its holders, unless one of them has the largest number of jobs that is given with it (0: any).

        A job that was counted for others is counted for these instead.

        Returns:
            The first holder that has too many jobs; None if the job is counted.
        """
        given = [item for holder in holders.items() for item in holder]
        count, holder = self._run("quota_admit", job_id, *given)
        return Excess(str(holder), int(count)) if holder else None

    def excess(self, holders: Mapping[str, int]) -> Excess | None:
        """The first holder that has too many jobs now; None if there is none."""
        with self._connection.client() as client:
            [counts] = (
                client.pipeline(transaction=False).hmget(self._counts, list(holders)).execute(raise_on_error=False)
            )
        for (holder, most), count in zip(holders.items(), counts if isinstance(counts, list) else (), strict=False):
            if most and str(count).isdecimal() and int(count) >= most:  # something else may have been written there
                return Excess(holder, int(count))
        return None

    def release(self, job_ids: Iterable[str]) -> None:
        """Count jobs no more that have ended."""
        if job_ids := list(job_ids):
            self._run("quota_release", *job_ids)

    def _run(self, script: str, *arguments: str | float) -> Any:
        """Run a script. If something else was written to the keys, they are removed first, and the counts begin anew."""
        from redis.exceptions import ResponseError

        keys = [self._jobs, self._counts]
        with suppress(ResponseError):
            return self._connection.run_on(script, keys, *arguments)
        with self._connection.client() as client:
            client.unlink(*keys)
        return self._connection.run_on(script, keys, *arguments)
