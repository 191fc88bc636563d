"""The lanes as a ledger knows them: who serves them, and which jobs send work there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lepton_celery.ledger import entries
from lepton_celery.ledger.info import JobInfo, JobState
from lepton_celery.ledger.quotas import holders_of
from lepton_celery.priority import Priority
from lepton_celery.tenants import OTHERS

if TYPE_CHECKING:  # redis-py takes 0.1 s to import
    from lepton_celery.ledger.connection import Connection
    from lepton_celery.ledger.decisions import Decisions
    from lepton_celery.ledger.lanes import ServedLanes, ServingWorker, WorkerProcesses
    from lepton_celery.ledger.loads import Loads
    from lepton_celery.ledger.quotas import Quotas
    from lepton_celery.ledger.turns import Turns


class LaneMoves:
    """The part of a `Ledger` with these moves."""

    _connection: Connection
    _lanes: ServedLanes
    turns: Turns
    """Whose turn it is to send work in a lane."""
    loads: Loads
    """The outstanding work of the lanes."""
    quotas: Quotas
    """The open jobs of each tenant and owner."""
    decisions: Decisions
    """The last decisions of autoscalers."""

    def _run(self, script: str, job_id: str, *arguments: str | float) -> Any:
        """Run a script on the keys of a job."""
        raise NotImplementedError

    def serve(
        self,
        worker: str,
        lanes: Iterable[str],
        *,
        slots: int,
        for_s: float,
        limits: tuple[int, int] | None = None,
        release: str = "",
        processes: WorkerProcesses | None = None,
    ) -> None:
        """Note that a worker serves lanes for some seconds from now.

        Args:
            worker: its name.
            lanes: the lanes.
            slots: how many batches it does at a time.
            for_s: seconds for which that is valid; with 0, it no longer serves them.
            limits: the fewest and the most slots between which it sizes itself; None if it does not.
            release: the release of this package that it runs; empty if that is not known.
            processes: its processes and their memory; None if they are not known.
        """
        from lepton_celery.ledger.lanes import ServingWorker

        fewest, most = limits or (slots, slots)
        self._lanes.note(worker, ServingWorker(slots, tuple(lanes), fewest, most, release), for_s, processes)

    def slots(self, lane: str) -> int:
        """Number of blocks that the workers of a lane do at a time, as far as their notes of the last seconds tell."""
        return self._lanes.slots(lane)

    def workers(self) -> dict[str, ServingWorker]:
        """The workers by name, as far as their notes of the last seconds tell."""
        return self._lanes.workers()

    def processes(self, workers: Iterable[str]) -> dict[str, WorkerProcesses]:
        """What these workers noted last of their processes; without those that noted nothing."""
        return self._lanes.processes(workers)

    def is_served(self, lane: str) -> bool:
        """Whether a worker serves a lane, as far as the workers' notes tell."""
        return self._lanes.is_served(lane)

    def prioritize(self, job_id: str, priority: Priority, *, tenant: str | None = None) -> bool:
        """Change the lane and the rank of an open job, and its tenant unless that is None.

        Messages that were sent stay in their lane.

        Returns:
            False if the job has ended.
        """
        given = OTHERS if tenant is None else tenant
        before = self._run("prioritize", job_id, priority.lane, priority.rank, given)
        if not before:
            return False
        if before != priority.lane:
            self.turns.leave(before, job_id)
        info = entries.read_jobs(self._connection, [job_id]).get(job_id)
        if before != priority.lane and isinstance(info, JobInfo) and info.state.is_open:
            self.quotas.admit(job_id, holders_of(info))
        if isinstance(info, JobInfo) and info.state is JobState.RUNNING:
            self.turns.note(info)
        return True

    def _leave_lane(self, job_id: str) -> None:
        """Have a job that sends nothing more take no part in the turns of its lane."""
        key = self._connection.key(job_id, "job")
        with self._connection.client() as client:
            [lane] = client.pipeline(transaction=False).hget(key, "lane").execute(raise_on_error=False)
        if isinstance(lane, str):  # neither an unknown job nor a damaged one
            self.turns.leave(lane, job_id)
