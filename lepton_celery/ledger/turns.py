"""Fair shares of a lane: whose turn it is to send work to the broker.

The jobs of a lane share its window, which is the work that waits in the broker or is being done. A wave is sent when an
earlier one is done, and the job that was served least sends it. So a job that is new in a lane waits for the batches in
hand, however much work other jobs have.

What is noted here are hints, as messages are. The dispatch cursor of each job decides which blocks are sent, and sweepers
correct what a worker that died did not note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from lepton_celery.ledger.connection import Connection
from lepton_celery.ledger.info import JobInfo, JobState
from lepton_celery.ledger.lane_window import ALONE, SHARED, SHORTEST_S, Turn
from lepton_celery.tenants import Terms

_MAX_LOOKED_AT = 8
"""Largest number of jobs of more urgent lanes that a batch looks at to find out whether they wait."""


LANE_KEYS = ("jobs", "tenants", "order", "sent")
"""Last parts of a lane's keys, in the order in which every script of a lane gets them."""


class Rivals(NamedTuple):
    """Other jobs that want the slot of a batch."""

    urgent: int
    """Jobs of more urgent lanes whose blocks nobody works on."""
    same_lane: int
    """Other jobs of the same lane."""


class Turns:
    """The open jobs of each lane, with what they have in the broker and what they were served."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def enter(
        self, lane: str, job_id: str, *, tenant: str, rank: int, waits: bool, sent: int, block_s: float | None = None
    ) -> None:
        """Note a job of a lane, or what is known of it now.

        Args:
            lane: the job's lane.
            job_id: the job.
            tenant: its tenant; empty for none.
            rank: its rank among the jobs of its tenant.
            waits: whether the job has blocks that were not sent yet.
            sent: blocks that were sent and are not done.
            block_s: seconds that a block takes, as predicted; None to keep what was measured.
        """
        cost = "" if block_s is None else repr(float(block_s))
        self._run("lane_enter", lane, job_id, tenant, rank, int(waits), sent, cost)

    def note(self, info: JobInfo, block_s: float | None = None) -> None:
        """Note a job as it stands in the ledger; `block_s` as in `enter`."""
        self.enter(
            info.lane,
            info.job_id,
            tenant=info.tenant,
            rank=info.rank,
            waits=info.dispatched < info.blocks_total,
            sent=info.outstanding,
            block_s=block_s,
        )

    def leave(self, lane: str, job_id: str) -> None:
        """Note that a job sends nothing: it has ended, is paused or is left alone."""
        self._run("lane_leave", lane, job_id)

    def settle(self, lane: str, job_id: str, *, blocks: int, seconds: float, weight: float) -> bool:
        """Note that blocks of a job were done, and the seconds that they took, as service of the job and of its tenant.

        Returns:
            False if the job is not in this lane.
        """
        return bool(self._run("lane_settle", lane, job_id, blocks, repr(float(seconds)), repr(float(weight))))

    def next(self, lane: str, slots: int, terms: Mapping[str, Terms], *, only: str = "") -> Turn | None:
        """The turn of the job that was served least, if the lane's window has room; its blocks count as sent from now on.

        Args:
            lane: the lane.
            slots: the number of blocks that workers of the lane do at a time.
            terms: the terms of tenants; see `terms_of`.
            only: a job; if the turn is that of another one, the answer is None.
        """
        known = [item for name, (weight, most) in terms.items() for item in (name, repr(float(weight)), most)]
        turn = self._run("lane_turn", lane, only, max(1, slots), *ALONE, *SHARED, SHORTEST_S, *known)
        if not turn:
            return None
        job_id, blocks, batch_blocks, messages, is_first = turn
        return Turn(str(job_id), int(blocks), int(batch_blocks), int(messages), bool(is_first))

    def rivals(self, lane: str, more_urgent: Sequence[str]) -> Rivals:
        """The jobs that want the slot of a batch of a lane."""
        with self._connection.client() as client:
            pipeline = client.pipeline(transaction=False)
            pipeline.hlen(self._keys(lane)[0])
            for one in more_urgent:
                pipeline.srandmember(self._keys(one)[3], _MAX_LOOKED_AT)
            same, *listed = pipeline.execute(raise_on_error=False)
            job_ids = [job_id for ids in listed if isinstance(ids, list) for job_id in ids][:_MAX_LOOKED_AT]
            for job_id in job_ids:
                pipeline.hmget(self._connection.key(job_id, "job"), "state", "dispatched", "done")
                pipeline.hlen(self._connection.key(job_id, "leases"))
            replies = pipeline.execute(raise_on_error=False) if job_ids else []
        waiting = 0
        for fields, leases in zip(replies[::2], replies[1::2], strict=True):
            # the entries are those of other jobs, whose damage is no reason for this batch to fail
            with suppress(TypeError, ValueError, IndexError):
                state, dispatched, done = fields
                waiting += state == JobState.RUNNING and int(dispatched or 0) - int(done or 0) > int(leases)
        return Rivals(waiting, max(0, same - 1) if isinstance(same, int) else 0)

    def jobs(self, lane: str) -> list[str]:
        """Ids of the jobs of a lane."""
        with self._connection.client() as client:
            [job_ids] = client.pipeline(transaction=False).hkeys(self._keys(lane)[0]).execute(raise_on_error=False)
        # there are none if something else was written to the key
        return list(map(str, job_ids)) if isinstance(job_ids, list) else []

    def _run(self, script: str, lane: str, *arguments: str | float) -> Any:
        """Run a script on the keys of a lane. Keys that something else was written to are removed first."""
        keys = self._keys(lane)
        try:
            return self._connection.run_on(script, keys, *arguments)
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
        with self._connection.client() as client:
            client.unlink(*keys)
        return self._connection.run_on(script, keys, *arguments)

    def _keys(self, lane: str) -> list[str]:
        return [f"{self._connection.prefix}{{lane {lane}}}:{name}" for name in LANE_KEYS]
