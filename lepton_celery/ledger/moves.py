"""The ledger: who did what in a job. Celery's messages are only hints; the ledger decides.

A job has stages 0 to n-1, which run one after the other; each round of a repeated stage has a number of its own. The ledger
names the blocks of a stage by their places, from 0; their number is known only when the stage opens. Every move below is
one transaction. A move that is not in the tables is refused: it changes nothing and returns that to its caller, because the
message behind it may be a duplicate, late, or of a job that ended long ago. Moves on an unknown job are refused like moves
on a job that is not running; only `manifest`, `info` and `result` raise `JobNotFound`.

A job:

    state        move                                                  to
    (none)       create                                                running, or paused on request; its stage is open
    running      commit_merge with a following stage, under the fence  running; that stage is open, without receipts
    running      commit_merge without one, under the fence             done
    running      fail                                                  failed; the reason is kept
    running      pause                                                 paused: nothing starts, blocks in progress may finish
    paused       resume                                                running, as from failed
    failed       resume                                                running; lost attempts reset, filled blocks reopened
    paused       fail, cancel, commit_merge                            as for a running job
    running      begin_publish, under the fence                        running, but no longer to be paused or cancelled
    running      cancel                                                cancelled
    failed       expire                                                cancelled: it cannot be resumed, and its files go
    done         forget_ended                                          (none); as from cancelled
    any          forget                                                (none)

A job that was created for it (`Attributes.notifies`) has a notice from each end on, until `end_notice`.

A block of the current stage of a running job:

    state        move                                                  to
    waiting      dispatch: the cursor passes it                        dispatched
    dispatched   claim                                                 leased to the owner that claims
    leased       claim by another owner, lease live                    unchanged: refused
    leased       claim by another owner, lease expired                 leased to that owner; one attempt lost
    leased       claim by the same owner                               leased to it anew; one attempt lost
    leased       claim of either kind, max_attempts lost               exhausted: granted to no one
    leased       reclaim, lease expired                                dispatched; one attempt lost
    leased       duplicate_slow, granted long ago, once for each block dispatched; its owner goes on, no attempt lost
    leased       renew by its owner (even if expired, unless taken)    leased for longer
    leased       end_owner: the process of its owner died              dispatched; one attempt lost
    leased       release by its owner                                  dispatched; one attempt lost with count_attempt
    any          commit, by anyone: the bytes are the same             received: its receipt counts once
    not received fill                                                  received: a filled block, with the reason
    received     fill, no merge was begun, it was not a filled block   dispatched: its pixels may have been replaced
    received     retry_filled, a filled block, no merge was begun      dispatched; lost attempts reset
    received     reopen, under the fence                               dispatched

`claim` grants a block whether or not the cursor has passed it: the cursor only bounds the number of blocks in the broker.

The merge of the current stage, once each block has its receipt (`merging`; no block can be claimed then):

    state        move                                                  to
    free         begin_merge                                           held, with a new fence, greater than all before
    held         begin_merge by another owner, lease live              unchanged: refused
    held         begin_merge by another owner, lease expired           held by that owner, with a new fence
    held         begin_merge by the same owner                         held, with a new fence
    held         renew by its owner                                    held for longer
    held         end_owner: the process of its owner died              held; its lease is expired
    held         release_merge or reopen, under the fence              free
    held         commit_merge, under the fence                         the stage is over

"Under the fence" means with the number that the last begin_merge returned. The fence stays valid after its lease expires,
until another merge begins.

Times are seconds since the epoch by the server's clock, never a worker's; leases are given in seconds from now. If the
clock is set back, the leases are moved back with it.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from lepton_celery.errors import InputError, JobError
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger import entries
from lepton_celery.ledger.block_record import BlockRecord
from lepton_celery.ledger.cost_models import CostModels
from lepton_celery.ledger.history import Work
from lepton_celery.ledger.info import (
    NO_ATTRIBUTES,
    NO_PLACE,
    NO_STAGE,
    Attributes,
    Claim,
    Description,
    FilledBlock,
    Filling,
    FollowingStage,
    JobInfo,
    JobState,
)
from lepton_celery.ledger.job_list import JobList
from lepton_celery.ledger.lane_moves import LaneMoves
from lepton_celery.ledger.lost_work import LostWork
from lepton_celery.ledger.notices import Notices
from lepton_celery.ledger.quotas import Excess, holders_of
from lepton_celery.ledger.second_tries import SecondTries
from lepton_celery.ledger.traces import Traces
from lepton_celery.limits import JOB_ID, MAX_BLOCKS, MAX_ID_CHARS

_FIRST = StageNumber(0)
_NOTIFIES = 2
"""The reply of a script that ended a job whose notice is to be sent."""
_WAS_FAILED = 2
"""The reply of the script that resumed a job which had ended."""


class Ledger(LostWork, SecondTries, LaneMoves, CostModels, BlockRecord, Notices, JobList, Traces):
    """Jobs on a Redis or Valkey server, for workers on any number of machines. `open_ledger` gives the ledger at a URL.

    Every method raises `BrokerUnreachable` if the server does not answer. A method that takes places raises `InputError` for
    a place outside the current stage.
    """

    def __init__(self, url: str, prefix: str) -> None:
        from lepton_celery.ledger.connection import Connection  # redis-py takes 0.1 s to import
        from lepton_celery.ledger.decisions import Decisions
        from lepton_celery.ledger.index import JobIndex
        from lepton_celery.ledger.lanes import ServedLanes
        from lepton_celery.ledger.loads import Loads
        from lepton_celery.ledger.quotas import Quotas
        from lepton_celery.ledger.turns import Turns

        self._connection = Connection(url, prefix)
        self._lanes = ServedLanes(self._connection)
        self.quotas = Quotas(self._connection)
        self._index = JobIndex(self._connection, self.quotas)
        self.turns = Turns(self._connection)
        self.loads = Loads(self._connection)
        self.decisions = Decisions(self._connection)

    def admit(self, job_id: str, holders: Mapping[str, int]) -> Excess | None:
        """Count a job that is about to be created, unless a holder has too many; see `Quotas.admit`."""
        self._index.add(job_id, overwrite=False)  # first: a process that dies leaves no job that is counted for ever
        return self.quotas.admit(job_id, holders)

    def create(
        self,
        job_id: str,
        manifest: Mapping[str, Any],
        *,
        lane: str,
        description: Description,
        attributes: Attributes = NO_ATTRIBUTES,
        stages: Sequence[float],
        blocks: int,
        number: StageNumber = _FIRST,
    ) -> None:
        """Record a new job.

        Args:
            job_id: an id that no job has had before.
            manifest: the manifest as JSON values.
            lane: as in `JobInfo`.
            description: what only people read of the job.
            attributes: what else it has.
            stages: the predicted seconds of each stage of the plan.
            blocks: number of blocks of the open stage.
            number: the open stage: the first one, or a later one if the job is resumed from its files.

        Raises:
            JobError: the ledger has a job with this id.
        """
        if not JOB_ID.fullmatch(job_id):
            raise InputError(f"job id {job_id!r}; give up to {MAX_ID_CHARS} letters, digits, . _ and -, and no . first")
        if not stages:
            raise InputError(f"job {job_id!r} has 0 stages; it needs at least 1")
        _check_blocks(job_id, blocks)
        self._index.add(job_id, overwrite=False)
        text, state = entries.to_json(manifest), JobState.PAUSED if attributes.is_paused else JobState.RUNNING
        predicted = " ".join(f"{seconds:.6g}" for seconds in stages)
        known = (lane, *description, len(stages), blocks, text, number, entries.VERSION, state.value, predicted)
        rank, tenant, notifies, trace, _ = attributes
        if not self._call("create", job_id, *known, rank or "", tenant, "1" if notifies else "", trace):
            raise JobError(f"job {job_id!r} exists already; choose another id or forget it first", job_id)
        # again, because the first call keeps the entry of a `create` that died, which `prune` may have removed since
        self._index.add(job_id, overwrite=True)

    def manifest(self, job_id: str) -> dict[str, Any]:
        """The manifest that `create` was given.

        Raises:
            JobNotFound: the ledger does not know the job.
            JobError: the manifest cannot be read.
        """
        text = entries.read_text(self._connection, job_id, "manifest")
        return entries.from_json(f"manifest of job {job_id!r}", text, job_id)

    def info(self, job_id: str) -> JobInfo:
        """The job as it stands.

        Raises:
            JobNotFound: the ledger does not know the job.
            JobError: the job's entry is damaged, or another release wrote it.
        """
        info = entries.read_jobs(self._connection, [job_id]).get(job_id) or entries.not_found(job_id)
        if isinstance(info, JobError):
            raise info
        return info

    def take_ended(self, *, before_s: float, count: int, again_s: float) -> list[str]:
        """Ids of up to `count` jobs that ended more than `before_s` seconds ago, in the order in which they ended.

        The caller has them forgotten. Nobody is given the same jobs for `again_s` seconds; then they are due again.
        """
        return self._index.take_ended(before_s=before_s, count=count, again_s=again_s)

    def end_signal(self, job_id: str) -> AbstractContextManager[Callable[[float], None]]:
        """Give a `with` block a function that sleeps for the given seconds, or until the job ends if that is earlier.

        The function may return early, so check `info` after each call. If the server's ACL forbids the announcement of the
        job's end, it sleeps for the full time.
        """
        return self._connection.end_signal(job_id)

    def pause(self, job_id: str) -> bool:
        """Pause a running job: nothing more is dispatched, claimed or merged, but blocks in progress may finish.

        Returns:
            False if the job is neither running nor paused, or is being published.
        """
        paused = bool(self._run("pause", job_id))
        if paused:
            self._leave_lane(job_id)
        return paused

    def resume(self, job_id: str) -> bool:
        """Continue a paused or failed job in its stage.

        Receipts stay, except for the stage's filled blocks, which are to be computed after all. Lost attempts are reset.

        Returns:
            False if the job is neither paused nor failed.
        """
        resumed = self._call("resume", job_id)
        if resumed:
            self._index.resume(job_id)
        if resumed == _WAS_FAILED:
            self.quotas.admit(job_id, holders_of(self.info(job_id)))
        return bool(resumed)

    def fail(self, job_id: str, reason: str, *, number: StageNumber = NO_STAGE, place: Place = NO_PLACE) -> bool:
        """End a running or paused job as failed; False, without a change, if it was neither."""
        return self._end(job_id, JobState.FAILED, reason, number, place)

    def cancel(self, job_id: str) -> bool:
        """End a running or paused job as cancelled; False if it was neither, or is being published."""
        return self._end(job_id, JobState.CANCELLED, "", NO_STAGE, NO_PLACE)

    def forget(self, job_id: str) -> None:
        """Remove everything that is recorded of a job, whatever its state."""
        self._leave_lane(job_id)
        with self._connection.client() as client:
            client.unlink(*self._connection.keys(job_id))
        self._index.remove(job_id)

    def expire(self, job_id: str, *, older_s: float) -> bool:
        """Keep a job that ended at least `older_s` seconds ago from being resumed: if it failed, it counts as cancelled.

        Its files can then be removed. A cancelled job may have ended at any time.

        Returns:
            False if the job must keep its files. True for an unknown job.
        """
        return bool(self._run("expire", job_id, older_s))

    def forget_ended(self, job_id: str) -> bool:
        """Remove everything that is recorded of a job that is done or cancelled; False, without a change, for other jobs."""
        forgotten = bool(self._run("forget_ended", job_id))
        if forgotten:
            self._index.remove(job_id)
        return forgotten

    def result(self, job_id: str) -> dict[str, Any] | None:
        """The result that the last `commit_merge` recorded; None if it recorded none or the job is not done.

        Raises:
            JobNotFound: the ledger does not know the job.
            JobError: the result cannot be read.
        """
        text = entries.read_text(self._connection, job_id, "result")
        return None if text is None else entries.from_json(f"result of job {job_id!r}", text, job_id)

    def dispatch(self, job_id: str, number: StageNumber, *, count: int) -> tuple[Place, Place]:
        """Move the cursor over the next blocks, which the caller sends to the broker.

        Returns:
            The first place, and the one after the last: at most `count` places. Both are the same if nothing is left to be
            dispatched, or the job is not running in this stage.
        """
        start, stop = self._run("dispatch", job_id, number, count)
        return Place(start), Place(stop)

    def claim(
        self,
        job_id: str,
        number: StageNumber,
        places: Iterable[Place],
        *,
        owner: str,
        lease_s: float,
        max_attempts: int,
    ) -> Claim:
        """Lease the blocks that have no receipt, and no live lease of another owner, for `lease_s` seconds.

        A block with `max_attempts` lost attempts is not granted any more. An attempt is lost if its lease expires, if its
        owner claims the block again (the message was redelivered after its process died), or if the block is released with
        `count_attempt`.
        """
        _check_lease(lease_s)
        if max_attempts < 1:
            raise InputError(f"max_attempts is {max_attempts}; it must be at least 1")
        active, *lists = self._call("claim", job_id, number, entries.join_places(places), owner, lease_s, max_attempts)
        if not active:
            return Claim([], [], [], [], active=False)
        granted, leased, done, exhausted, lost = map(entries.split_places, lists)
        losses = dict(zip(lost[::2], map(int, lost[1::2]), strict=True))
        return Claim(granted, leased, done, exhausted, active=True, lost=losses)

    def renew(self, job_id: str, number: StageNumber, *, owner: str, lease_s: float) -> bool:
        """Extend all leases of the owner, on blocks and on the merge, to `lease_s` seconds from now.

        Expired leases are extended too, unless another owner took the block.

        Returns:
            False if the job has ended or left the stage: stop working on it.
        """
        _check_lease(lease_s)
        return bool(self._run("renew", job_id, number, owner, lease_s))

    def commit(
        self,
        job_id: str,
        number: StageNumber,
        places: Iterable[Place],
        *,
        owner: str,
        stats: Mapping[str, float],
        work: Work | None = None,
    ) -> int:
        """Record receipts for blocks, and remove the blocks' leases and lost attempts.

        A block's receipt counts once, whichever owner commits it and however late. `stats` is added to the stage's sums if
        at least one block gets its first receipt, not counting receipts that a merge took back. `work` goes into the job's
        history if a block had no receipt.

        Returns:
            The number of blocks that had no receipt; 0 if the job has ended or left the stage.
        """
        sums = [item for name, value in stats.items() for item in (name, repr(float(value)))]
        done = work.to_json() if work else ""
        [fresh] = self._run("commit", job_id, number, entries.join_places(places), owner, done, *sums)
        return int(fresh)

    def receipts(self, job_id: str, number: StageNumber, places: Iterable[Place]) -> list[Place]:
        """The places whose blocks have a receipt, in the given order; none if the job has ended or left the stage."""
        return entries.split_places(self._run("receipts", job_id, number, entries.join_places(places)))

    def release(
        self,
        job_id: str,
        number: StageNumber,
        places: Iterable[Place],
        *,
        owner: str,
        count_attempt: bool,
        reason: str = "",
    ) -> None:
        """Release the owner's leases on blocks; with `count_attempt`, each block loses an attempt and the reason is kept."""
        self._run("release", job_id, number, entries.join_places(places), owner, int(count_attempt), reason)

    def reason(self, job_id: str, place: Place) -> str:
        """Why a block of the current stage was last released with `count_attempt`; empty if it never was."""
        with self._connection.client() as client:
            return str(client.hget(self._connection.key(job_id, "reasons"), str(place)) or "")

    def fill(self, job_id: str, number: StageNumber, place: Place, *, reason: str) -> Filling:
        """Record a filled block as received, and keep the reason."""
        [filling] = self._run("fill", job_id, number, place, reason)
        return Filling(filling)

    def filled_blocks(self, job_id: str) -> list[FilledBlock]:
        """The blocks that were filled, sorted by stage and place."""
        with self._connection.client() as client:
            filled: dict[str, str] = client.hgetall(self._connection.key(job_id, "filled"))
        return sorted(entries.read_filled(field, value) for field, value in filled.items())

    def begin_merge(self, job_id: str, number: StageNumber, *, owner: str, lease_s: float) -> int | None:
        """Begin the merge of a stage, and return its fence, which is greater than any before in this job.

        An owner may begin again, which voids its old fence. None if a block has no receipt, or if another owner holds a live
        lease on the merge.
        """
        _check_lease(lease_s)
        fence: int | None = self._run("begin_merge", job_id, number, owner, lease_s)
        return fence

    def commit_merge(
        self,
        job_id: str,
        number: StageNumber,
        *,
        fence: int,
        following: FollowingStage | None,
        result: Mapping[str, Any] | None = None,
        work: Work | None = None,
    ) -> bool:
        """Open the following stage; if there is none, end the job as done, with its result as JSON values.

        `work` goes into the job's history.

        Returns:
            False for a stale fence; nothing changes then.
        """
        if following is not None:
            _check_blocks(job_id, following.blocks)
        text = "" if result is None else entries.to_json(result)
        done = work.to_json() if work else ""
        committed = self._call("commit_merge", job_id, number, fence, *(following or ("", "")), text, done)
        if committed and following is None:
            self._index.end(job_id, notifies=committed == _NOTIFIES)
            self._leave_lane(job_id)
        return bool(committed)

    def begin_publish(self, job_id: str, number: StageNumber, *, fence: int) -> bool:
        """Record that the outputs are about to be published.

        From then on the job can be neither paused nor cancelled, so that it cannot end with only some outputs published.

        Returns:
            False for a stale fence, or if the job is not running: do not publish.
        """
        return bool(self._run("begin_publish", job_id, number, fence))

    def release_merge(self, job_id: str, number: StageNumber, *, fence: int, count_attempt: bool = True) -> None:
        """Release the lease on the merge, so that it can be tried again at once. Does nothing for a stale fence."""
        self._run("release_merge", job_id, number, fence, int(count_attempt))

    def reopen(self, job_id: str, number: StageNumber, places: Iterable[Place], *, fence: int) -> bool:
        """Take back the receipts of blocks that the merge found missing, and release the merge.

        No attempt of a block is counted; `JobInfo.merge_attempts` tells how often the merge was begun.

        Returns:
            False for a stale fence; nothing changes then.
        """
        [reopened] = self._run("reopen", job_id, number, fence, entries.join_places(places))
        return bool(reopened)

    def clock(self) -> float:
        """Seconds since the epoch by the server's clock."""
        return self._connection.now()

    def ping(self) -> None:
        """Check that the ledger answers.

        Raises:
            BrokerUnreachable: it does not answer; the message has the URL, the reason and advice.
        """
        with self._connection.client() as client:
            client.ping()

    def _run(self, script: str, job_id: str, *arguments: str | float) -> Any:
        answer = self._connection.run(script, job_id, *arguments)
        match answer:
            case [-1, place, blocks]:
                raise InputError(
                    f"place {place} of job {job_id!r}: stage number {arguments[0]} has {blocks} blocks, in places from 0"
                )
        return answer

    def _call(self, script: str, job_id: str, *arguments: str | float) -> Any:
        """Run a script that recognizes a retry of the same call, by an id that is its last argument."""
        return self._run(script, job_id, *arguments, secrets.token_hex(6))

    def _end(self, job_id: str, state: JobState, reason: str, number: StageNumber, place: Place) -> bool:
        ended = self._call("finish", job_id, state.value, reason, number, place)
        if ended:
            self._index.end(job_id, notifies=ended == _NOTIFIES)
            self._leave_lane(job_id)
        return bool(ended)


def _check_blocks(job_id: str, blocks: int) -> None:
    if not 0 <= blocks <= MAX_BLOCKS:
        raise InputError(f"a stage of job {job_id!r} would have {blocks} blocks; give 0 to {MAX_BLOCKS}")


def _check_lease(lease_s: float) -> None:
    if not 0 < lease_s < math.inf:
        raise InputError(f"lease_s is {lease_s}; a lease lasts a finite, positive number of seconds")
