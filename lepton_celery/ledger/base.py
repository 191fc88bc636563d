"""The ledger: who did what in a job. Celery's messages are hints; this is the truth.

A job has stages 0..n-1, done one after the other. A stage has blocks, numbered from 0; how many is known only when it
opens. Every move below is one transaction. A move that is not in the tables changes nothing and says so in its answer,
because the message that asked for it may be a duplicate, late, or of a job that has long ended. So moves on a job the
ledger does not know are refused like those on one that is not running; only `manifest`, `info` and `result` raise.

A job:

    state        move                                                  to
    (none)       create                                                running, or paused if so asked: stage 0 open
    running      commit_merge with next_blocks, under the fence        running: the next stage open, no receipts in it
    running      commit_merge without, under the fence                 done
    running      fail                                                  failed: the first reason stays
    running      pause                                                 paused: nothing starts, what is at work may end
    paused       resume                                                running
    failed       resume                                                running: attempts forgiven, this stage's holes open
    paused       fail, cancel, commit_merge                            as of a running job
    running      begin_publish, under the fence                        running: neither paused nor cancelled any more
    running      cancel                                                cancelled
    any          forget                                                (none)

A block of the current stage of a running job:

    state        move                                                  to
    waiting      take: the cursor passes it                            dispatched
    dispatched   claim                                                 leased to its owner until a time
    leased       claim by another owner, lease live                    leased as before: refused
    leased       claim by another owner, lease over                    leased to that owner; one attempt lost
    leased       claim by the same owner                               leased to it anew; one attempt lost
    leased       claim of either kind, max_attempts lost               exhausted: given to no one
    leased       reclaim, lease over                                   dispatched; one attempt lost
    leased       straggling, granted long ago, once for each block     dispatched; its owner goes on, no attempt lost
    leased       renew by its owner (also when over, if not taken)     leased until later
    leased       release by its owner                                  dispatched; one attempt lost if so asked
    any          commit, by anyone: the bytes are the same             received: the stage's one receipt for it
    any          give_up                                               received: a hole, with its reason
    received     reopen, under the fence                               dispatched

`claim` grants a block whether or not the cursor has passed it: the cursor only bounds what is in the broker.

Blocks of the next stage may be done ahead, where what they read is there: `commit_ahead` keeps their receipts, which are the
first ones of that stage when `commit_merge` opens it. Whoever does them asks `receipts` for the blocks they read.

The merge of the current stage, once each block has its receipt (`merging`; nothing can be claimed then):

    state        move                                                  to
    free         begin_merge                                           held: a new fence, greater than all before
    held         begin_merge by another owner, lease live              held as before: refused
    held         begin_merge by another owner, lease over              held by that owner: a new fence
    held         begin_merge by the same owner                         held: a new fence
    held         renew_merge, under the fence; renew by its owner      held until later
    held         release_merge or reopen, under the fence              free
    held         commit_merge, under the fence                         the stage is over

"Under the fence" means with the number that the last begin_merge gave. A lease that is over does not void it as long as
no one else began.

Times are seconds since the epoch by the ledger's own clock, never a worker's; leases are given in seconds from now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from lepton_celery.grid import Place
from lepton_celery.ledger.info import Claim, FilledBlock, JobInfo

VERSION = 3
"""Of a job's entry; another release's is refused, not guessed at."""


class Ledger(Protocol):
    """What every ledger does; `tests/unit/test_ledger.py` holds each to it.

    Every method raises `BrokerUnreachable` when the ledger's server does not answer. A method that takes blocks raises
    `InputError` for one that the current stage does not have.
    """

    def create(
        self,
        job_id: str,
        manifest: Mapping[str, Any],
        *,
        lane: str,
        title: str,
        stages: int,
        blocks: int,
        stage: int = 0,
        paused: bool = False,
    ) -> None:
        """A job whose stage (the first, or where a job resumed from its files stands) has `blocks` blocks, running or
        `paused` until `resume`; `manifest` must be JSON. An id that exists: `JobError`."""
        ...

    def manifest(self, job_id: str) -> dict[str, Any]:
        """What `create` was given. Raises `JobNotFound`, and `JobError` when it cannot be read back."""
        ...

    def info(self, job_id: str) -> JobInfo:
        """The job as it stands. Raises `JobNotFound`."""
        ...

    def end_signal(self, job_id: str) -> AbstractContextManager[Callable[[float], None]]:
        """Something to wait with while the `with` block runs: for at most so many seconds, and no longer than until the job
        ends. May come back early, so look at `info` each time; where ends are not announced it waits all the time."""
        ...

    def jobs(self, *, limit: int = 100) -> list[JobInfo]:
        """The newest jobs, newest first."""
        ...

    def active(self) -> list[str]:
        """Ids of the running jobs, oldest first."""
        ...

    def dispatch(self, job_id: str, stage: int, *, count: int, window: int) -> tuple[int, int]:
        """The next blocks to hand to the broker, half-open `[start, stop)`: at most `count`, and so many that at most
        `window` blocks are dispatched and not done. Empty when nothing may be dispatched."""
        ...

    def claim(
        self, job_id: str, stage: int, blocks: Sequence[int], *, owner: str, lease_s: float, max_attempts: int
    ) -> Claim:
        """Leases of `lease_s` seconds on those of the blocks that may be worked on.

        A block whose earlier run was lost is granted until it has been granted and lost `max_attempts` times. Lost is
        a lease that ran out, one its own owner claims again (the message came back after its child died), or one
        released with `count_attempt`.
        """
        ...

    def renew(self, job_id: str, stage: int, *, owner: str, lease_s: float) -> bool:
        """Extends all leases of the owner, on blocks and on the merge, to `lease_s` seconds from now, also those that are
        over and that no one else took. False when the job is no longer running in that stage: stop working on it."""
        ...

    def commit(self, job_id: str, stage: int, blocks: Sequence[int], *, owner: str, stats: Mapping[str, float]) -> int:
        """Receipts for the blocks; how many of them were new. Their leases and lost attempts are dropped.

        A receipt counts whoever brings it and however late, once; 0 when the job is not running in that stage. `stats`
        are added as they are when at least one block has its first receipt ever; scaling is the caller's business.
        """
        ...

    def receipts(self, job_id: str, stage: int, blocks: Sequence[int]) -> list[Place]:
        """Those of the blocks that have their receipt, in the order asked; none when the job is not running in that
        stage."""
        ...

    def commit_ahead(self, job_id: str, stage: int, blocks: Sequence[int], *, stats: Mapping[str, float]) -> int:
        """Receipts for blocks of the stage with the next number, done while `stage` is at work; how many of them were new.
        They count when that stage opens, unless the job failed before. 0 when the job is not running in `stage`. `stats`
        are added to the next stage's when at least one is new."""
        ...

    def release(
        self, job_id: str, stage: int, blocks: Sequence[int], *, owner: str, count_attempt: bool, reason: str = ""
    ) -> None:
        """Gives those of the leases back that the owner holds; with `count_attempt`, each is an attempt lost, for a
        reason that is kept."""
        ...

    def reason(self, job_id: str, block: int) -> str:
        """Why a block of the current stage was last released with `count_attempt`; empty when it was not."""
        ...

    def give_up(self, job_id: str, stage: int, block: int, *, reason: str) -> bool:
        """Counts a block as received that cannot be done, and keeps why; False when it has its receipt already, or the
        job is not in that stage."""
        ...

    def filled_blocks(self, job_id: str) -> list[FilledBlock]:
        """The blocks that were given up, by stage and block."""
        ...

    def unreceipted(self, job_id: str, stage: int, *, limit: int) -> list[Place]:
        """Dispatched blocks with neither receipt nor live lease, the first `limit` in index order."""
        ...

    def reclaim(self, job_id: str, stage: int, *, limit: int) -> list[Place]:
        """Takes blocks whose lease is over from their owners, each an attempt lost: at most `limit`, in index order. Each
        is in the answer of one call only, so whoever has the answer hands it to the broker again."""
        ...

    def duplicate_slow(self, job_id: str, stage: int, *, older_s: float, limit: int) -> list[Place]:
        """Takes live leases that were granted at least `older_s` seconds ago from their owners, no attempt lost: at most
        `limit`, in index order, each block once. Whoever has the answer hands the blocks to the broker again; their first
        owner goes on too, and the first receipt counts."""
        ...

    def begin_merge(self, job_id: str, stage: int, *, owner: str, lease_s: float) -> int | None:
        """A fence, greater than any before in this job, when every block has its receipt and no other owner holds a
        live lease on the merge; else None. The same owner gets a new fence and its old one is void."""
        ...

    def renew_merge(self, job_id: str, stage: int, *, fence: int, lease_s: float) -> bool:
        """Extends the merge's lease to `lease_s` seconds from now; False for a stale fence: stop merging."""
        ...

    def commit_merge(
        self,
        job_id: str,
        stage: int,
        *,
        fence: int,
        next_blocks: int | None,
        next_stage: int | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> bool:
        """Opens the next stage with `next_blocks` blocks, or ends the job as done with `result` (JSON) when that is
        None. `next_stage` is the stage's number where it is not the one after this: a stage that is done again has a
        number of its own, `stages` greater each time, so that no number comes twice. False for a stale fence, and
        nothing changed. Raises `InputError` when there is no next stage to open, or a result is given with one."""
        ...

    def begin_publish(self, job_id: str, stage: int, *, fence: int) -> bool:
        """Before outputs get their names: from here on the job can be neither paused nor cancelled, so that it never ends
        with some of its outputs there. False for a stale fence, or when the job is not running: do not publish."""
        ...

    def release_merge(self, job_id: str, stage: int, *, fence: int) -> None:
        """Gives the merge's lease back, so that it can be tried again at once. Nothing happens for a stale fence."""
        ...

    def reopen(self, job_id: str, stage: int, blocks: Sequence[int], *, fence: int) -> bool:
        """Takes receipts back, because the merge found the blocks missing, and ends that merge; False for a stale
        fence, and nothing changed. Does not count an attempt: a growing fence shows a stage that never comes whole."""
        ...

    def result(self, job_id: str) -> dict[str, Any] | None:
        """What the last `commit_merge` was given; None when that was nothing or the job is not done. Raises
        `JobNotFound`, and `JobError` when it cannot be read back."""
        ...

    def fail(self, job_id: str, reason: str, *, stage: int = -1, block: int = -1) -> bool:
        """Ends a running job as failed; False when it was not running, and its first reason stays."""
        ...

    def pause(self, job_id: str) -> bool:
        """Stops a running job: nothing new is claimed, taken or merged, what is at work may end. False when it is neither
        running nor paused, or is being published."""
        ...

    def resume(self, job_id: str) -> bool:
        """Lets a paused or failed job go on in its stage, receipts kept, lost attempts forgiven, blocks of this stage that
        were given up to be done after all. False when it is neither paused nor failed."""
        ...

    def ended(self, *, before_s: float) -> list[str]:
        """Jobs that ended more than so many seconds ago, the longest ago first."""
        ...

    def cancel(self, job_id: str) -> bool:
        """Ends a running or paused job as cancelled; False when it was neither, or is being published."""
        ...

    def forget(self, job_id: str) -> None:
        """Removes all that is known of the job, whatever its state."""
        ...

    def costs(self, profile: str) -> dict[str, Any] | None:
        """The cost model that was kept for workers of a profile; None when there is none. Raises `JobError` when it cannot
        be read back."""
        ...

    def keep_costs(self, profile: str, document: Mapping[str, Any] | None) -> None:
        """Keeps a cost model (JSON) in the place of the one before; None removes it."""
        ...

    def clock(self) -> float:
        """Seconds since the epoch by the ledger's own clock."""
        ...

    def ping(self) -> None:
        """Returns when the ledger answers; raises `BrokerUnreachable` with the URL, the reason and what to do."""
        ...
