"""A ledger in the memory of one process, for the engine that runs on threads."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from lepton_celery.errors import JobError, JobNotFound
from lepton_celery.ledger.base import INACTIVE, Claim, Hole, JobInfo, JobState, StageTimes
from lepton_celery.ledger.checks import (
    block_beyond,
    check_at_least,
    check_lease,
    check_new_job,
    check_next_stage,
    distinct,
    finite,
    no_next_stage,
)
from lepton_celery.ledger.documents import from_json, to_json


@dataclass(slots=True)
class _Lease:
    owner: str
    until: float
    since: float = 0.0
    """When it was granted."""

    def is_held_by_another(self, owner: str, now: float) -> bool:
        return self.until > now and self.owner != owner


@dataclass(slots=True)
class _Stage:
    """The current stage: a byte per block for receipts; all else only for the blocks in flight."""

    index: int
    total: int
    received: bytearray
    done: int = 0
    dispatched: int = 0
    leases: dict[int, _Lease] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    """Attempts lost, by block."""
    reasons: dict[int, str] = field(default_factory=dict)
    reopened: set[int] = field(default_factory=set)
    """Blocks that had a receipt before; their next one adds no statistics."""
    ahead: set[int] = field(default_factory=set)
    """Blocks of the next stage that are done already."""
    doubled: set[int] = field(default_factory=set)
    """Blocks that were handed out twice for taking long."""
    merge: _Lease | None = None
    merge_fence: int = 0
    merge_attempts: int = 0

    @classmethod
    def open(cls, index: int, total: int) -> _Stage:
        return cls(index, total, bytearray(total))

    @property
    def has_all_receipts(self) -> bool:
        return self.done == self.total


@dataclass(slots=True)
class _Job:
    manifest: str
    lane: str
    title: str
    stages: int
    stage: _Stage
    created_at: float
    updated_at: float
    state: JobState = JobState.RUNNING
    publishing: bool = False
    fence: int = 0
    finished_at: float | None = None
    result: str | None = None
    error: str = ""
    error_stage: int = -1
    error_block: int = -1
    holes: dict[tuple[int, int], Hole] = field(default_factory=dict)
    stage_times: dict[int, StageTimes] = field(default_factory=dict)
    stage_stats: defaultdict[int, defaultdict[str, float]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(float))
    )


class MemoryLedger:
    """Jobs for as long as this object lives, safe to use from several threads.

    `clock` returns seconds since the epoch; tests pass their own to let leases run out.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._costs: dict[str, str] = {}

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
        check_new_job(job_id, stages, blocks)
        text = to_json(job_id, "manifest", manifest)
        with self._lock:
            if job_id in self._jobs:
                raise JobError(f"job {job_id!r} exists already; choose another id or forget it first", job_id)
            now = self._clock()
            state = JobState.PAUSED if paused else JobState.RUNNING
            job = _Job(text, lane, title, stages, _Stage.open(stage, blocks), now, now, state)
            self._jobs[job_id] = job
            if not paused:
                job.stage_times[stage] = StageTimes(now)

    def manifest(self, job_id: str) -> dict[str, Any]:
        with self._lock:
            text = self._find(job_id).manifest
        return from_json(job_id, "manifest", text)

    def info(self, job_id: str) -> JobInfo:
        with self._lock:
            return _info(job_id, self._find(job_id))

    @contextmanager
    def ending(self, job_id: str) -> Iterator[Callable[[float], None]]:
        yield time.sleep

    def jobs(self, *, limit: int = 100) -> list[JobInfo]:
        check_at_least("limit", limit, 0)
        with self._lock:
            newest = list(reversed(self._jobs.items()))[:limit]
            return [_info(job_id, job) for job_id, job in newest]

    def active(self) -> list[str]:
        with self._lock:
            return [job_id for job_id, job in self._jobs.items() if job.state is JobState.RUNNING]

    def take(self, job_id: str, stage: int, *, count: int, window: int) -> tuple[int, int]:
        check_at_least("count", count, 0)
        check_at_least("window", window, 0)
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None:
                return 0, 0
            current, start = job.stage, job.stage.dispatched
            stop = min(start + count, current.total, current.done + window)
            if stop <= start or self._current(job_id, stage) is None:
                return start, start
            current.dispatched = stop
            job.updated_at = self._clock()
            return start, stop

    def claim(
        self, job_id: str, stage: int, blocks: Sequence[int], *, owner: str, lease_s: float, max_attempts: int
    ) -> Claim:
        check_lease(lease_s)
        check_at_least("max_attempts", max_attempts, 1)
        asked = distinct(blocks)
        with self._lock:
            job = self._current(job_id, stage)
            if job is None or job.stage.has_all_receipts:
                return INACTIVE
            _check_blocks(job_id, job.stage, asked)
            now = job.updated_at = self._clock()
            claim = Claim([], [], [], [], active=True)
            for block in asked:
                _claim_block(job.stage, block, claim, _Lease(owner, now + lease_s), max_attempts, now)
            return claim

    def renew(self, job_id: str, stage: int, *, owner: str, lease_s: float) -> bool:
        check_lease(lease_s)
        with self._lock:
            job = self._open(job_id, stage)
            if job is None:
                return False
            until = self._clock() + lease_s
            for lease in job.stage.leases.values():
                if lease.owner == owner:
                    lease.until = until
            if job.stage.merge is not None and job.stage.merge.owner == owner:
                job.stage.merge.until = until
            return True

    def commit(self, job_id: str, stage: int, blocks: Sequence[int], *, owner: str, stats: Mapping[str, float]) -> int:
        received = distinct(blocks)
        sums = finite(stats)
        with self._lock:
            job = self._open(job_id, stage)
            if job is None:
                return 0
            current = job.stage
            _check_blocks(job_id, current, received)
            fresh = [block for block in received if not current.received[block]]
            for block in fresh:
                current.received[block] = 1
            for block in received:
                current.leases.pop(block, None)
                current.attempts.pop(block, None)
            current.done += len(fresh)
            if not current.reopened.issuperset(fresh):
                for name, value in sums.items():
                    job.stage_stats[stage][name] += value
            job.updated_at = self._clock()
            if fresh:
                _mark_received(job)
            return len(fresh)

    def receipts(self, job_id: str, stage: int, blocks: Sequence[int]) -> list[int]:
        asked = distinct(blocks)
        with self._lock:
            job = self._open(job_id, stage)
            return [] if job is None else [block for block in asked if job.stage.received[block]]

    def commit_ahead(self, job_id: str, stage: int, blocks: Sequence[int], *, stats: Mapping[str, float]) -> int:
        received, sums = distinct(blocks), finite(stats)
        with self._lock:
            job = self._open(job_id, stage)
            if job is None:
                return 0
            fresh = set(received) - job.stage.ahead
            job.stage.ahead |= fresh
            for name, value in sums.items() if fresh else ():
                job.stage_stats[stage + 1][name] += value
            job.updated_at = self._clock()
            return len(fresh)

    def release(
        self, job_id: str, stage: int, blocks: Sequence[int], *, owner: str, count_attempt: bool, reason: str = ""
    ) -> None:
        given_back = distinct(blocks)
        with self._lock:
            job = self._open(job_id, stage)
            if job is None:
                return
            for block in given_back:
                lease = job.stage.leases.get(block)
                if lease is None or lease.owner != owner:
                    continue
                del job.stage.leases[block]
                if count_attempt:
                    job.stage.attempts[block] = job.stage.attempts.get(block, 0) + 1
                    if reason:
                        job.stage.reasons[block] = reason

    def reason(self, job_id: str, block: int) -> str:
        with self._lock:
            job = self._jobs.get(job_id)
            return "" if job is None else job.stage.reasons.get(block, "")

    def give_up(self, job_id: str, stage: int, block: int, *, reason: str) -> bool:
        (wanted,) = distinct([block])
        with self._lock:
            job = self._open(job_id, stage)
            if job is None:
                return False
            _check_blocks(job_id, job.stage, [wanted])
            if job.stage.received[wanted]:
                return False
            job.stage.received[wanted] = 1
            job.stage.done += 1
            job.stage.leases.pop(wanted, None)
            attempts = job.stage.attempts.pop(wanted, 0)
            job.holes[stage, wanted] = Hole(stage, wanted, attempts, reason)
            job.updated_at = self._clock()
            _mark_received(job)
            return True

    def holes(self, job_id: str) -> list[Hole]:
        with self._lock:
            job = self._jobs.get(job_id)
            return [] if job is None else sorted(job.holes.values())

    def pause(self, job_id: str) -> bool:
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or job.publishing:
                return False
            if job.state is JobState.RUNNING:
                job.state, job.updated_at = JobState.PAUSED, self._clock()
            return job.state is JobState.PAUSED

    def resume(self, job_id: str) -> bool:
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or job.state not in (JobState.PAUSED, JobState.FAILED):
                return False
            stage = job.stage
            for number, block in [at for at in job.holes if at[0] == stage.index]:
                del job.holes[number, block]
                stage.done -= stage.received[block]
                stage.received[block] = 0
            stage.attempts.clear()
            stage.reasons.clear()
            stage.doubled.clear()
            stage.merge_attempts = 0
            job.state, job.error, job.error_stage, job.error_block = JobState.RUNNING, "", -1, -1
            job.finished_at, job.updated_at = None, self._clock()
            job.stage_times.setdefault(stage.index, StageTimes(job.updated_at))
            return True

    def ended(self, *, before_s: float) -> list[str]:
        with self._lock:
            latest = self._clock() - before_s
            found = [(job.finished_at, job_id) for job_id, job in self._jobs.items() if job.finished_at is not None]
        return [job_id for at, job_id in sorted(found) if at <= latest]

    def unreceipted(self, job_id: str, stage: int, *, limit: int) -> list[int]:
        check_at_least("limit", limit, 0)
        found: list[int] = []
        with self._lock:
            job = self._current(job_id, stage)
            if job is None:
                return found
            current, now = job.stage, self._clock()
            block = -1
            while len(found) < limit:
                block = current.received.find(0, block + 1, current.dispatched)
                if block < 0:
                    break
                lease = current.leases.get(block)
                if lease is None or lease.until <= now:
                    found.append(block)
            return found

    def reclaim(self, job_id: str, stage: int, *, limit: int) -> list[int]:
        def again(stage: _Stage, block: int, now: float) -> bool:
            if stage.leases[block].until > now:
                return False
            stage.attempts[block] = stage.attempts.get(block, 0) + 1
            return True

        return self._released(job_id, stage, limit, again)

    def straggling(self, job_id: str, stage: int, *, older_s: float, limit: int) -> list[int]:
        def again(stage: _Stage, block: int, now: float) -> bool:
            lease = stage.leases[block]
            if lease.until <= now or now - lease.since < older_s or block in stage.doubled:
                return False
            stage.doubled.add(block)
            return True

        return self._released(job_id, stage, limit, again)

    def _released(self, job_id: str, stage: int, limit: int, again: Callable[[_Stage, int, float], bool]) -> list[int]:
        """The first blocks whose leases end here since `again` says that they are to be done again."""
        check_at_least("limit", limit, 0)
        with self._lock:
            job = self._current(job_id, stage)
            if job is None:
                return []
            current, now = job.stage, self._clock()
            found = list(islice((block for block in sorted(current.leases) if again(current, block, now)), limit))
            for block in found:
                del current.leases[block]
            if found:
                job.updated_at = now
            return found

    def begin_merge(self, job_id: str, stage: int, *, owner: str, lease_s: float) -> int | None:
        check_lease(lease_s)
        with self._lock:
            job = self._current(job_id, stage)
            if job is None or not job.stage.has_all_receipts:
                return None
            now = self._clock()
            if job.stage.merge is not None and job.stage.merge.is_held_by_another(owner, now):
                return None
            job.updated_at = now
            job.fence += 1
            job.stage.merge = _Lease(owner, now + lease_s)
            job.stage.merge_fence = job.fence
            job.stage.merge_attempts += 1
            return job.fence

    def renew_merge(self, job_id: str, stage: int, *, fence: int, lease_s: float) -> bool:
        check_lease(lease_s)
        with self._lock:
            job = self._merging(job_id, stage, fence)
            if job is None or job.stage.merge is None:
                return False
            job.stage.merge.until = self._clock() + lease_s
            return True

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
        check_next_stage(job_id, next_blocks, has_result=result is not None)
        text = None if result is None else to_json(job_id, "result", result)
        with self._lock:
            job = self._merging(job_id, stage, fence)
            if job is None:
                return False
            now = self._clock()
            if next_blocks is None:
                job.state, job.finished_at, job.result = JobState.DONE, now, text
                _drop_stage(job)
            elif next_stage is not None or stage + 1 < job.stages:
                following = stage + 1 if next_stage is None else next_stage
                ahead = job.stage.ahead if following == stage + 1 else set()
                job.stage = _Stage.open(following, next_blocks)
                for block in ahead & set(range(next_blocks)):
                    job.stage.received[block] = 1
                    job.stage.done += 1
                job.stage_times[following] = StageTimes(now)
            else:
                raise no_next_stage(job_id, stage, job.stages)
            job.stage_times[stage] = replace(job.stage_times.get(stage, StageTimes()), ended=now)
            job.updated_at = now
            return True

    def begin_publish(self, job_id: str, stage: int, *, fence: int) -> bool:
        with self._lock:
            job = self._merging(job_id, stage, fence)
            if job is None or job.state is not JobState.RUNNING:
                return False
            job.publishing = True
            return True

    def release_merge(self, job_id: str, stage: int, *, fence: int) -> None:
        with self._lock:
            job = self._merging(job_id, stage, fence)
            if job is not None:
                job.stage.merge, job.stage.merge_fence = None, 0
                job.updated_at = self._clock()

    def reopen(self, job_id: str, stage: int, blocks: Sequence[int], *, fence: int) -> bool:
        missing = distinct(blocks)
        with self._lock:
            job = self._merging(job_id, stage, fence)
            if job is None:
                return False
            current = job.stage
            _check_blocks(job_id, current, missing)
            for block in missing:
                current.done -= current.received[block]
                current.received[block] = 0
            current.reopened.update(missing)
            current.merge, current.merge_fence = None, 0
            job.updated_at = self._clock()
            return True

    def result(self, job_id: str) -> dict[str, Any] | None:
        with self._lock:
            text = self._find(job_id).result
        return None if text is None else from_json(job_id, "result", text)

    def fail(self, job_id: str, reason: str, *, stage: int = -1, block: int = -1) -> bool:
        return self._finish(job_id, JobState.FAILED, reason, stage, block)

    def cancel(self, job_id: str) -> bool:
        return self._finish(job_id, JobState.CANCELLED, "", -1, -1)

    def forget(self, job_id: str) -> None:
        with self._lock:
            self._jobs.pop(job_id, None)

    def costs(self, profile: str) -> dict[str, Any] | None:
        with self._lock:
            text = self._costs.get(profile)
        return None if text is None else from_json(profile, "cost model", text)

    def keep_costs(self, profile: str, document: Mapping[str, Any] | None) -> None:
        text = None if document is None else to_json(profile, "cost model", document)
        with self._lock:
            if text is None:
                self._costs.pop(profile, None)
            else:
                self._costs[profile] = text

    def clock(self) -> float:
        return self._clock()

    def ping(self) -> None:
        return

    def _find(self, job_id: str) -> _Job:
        try:
            return self._jobs[job_id]
        except KeyError:
            raise JobNotFound(
                f"the ledger knows no job {job_id!r}; it was never created or is forgotten", job_id
            ) from None

    def _current(self, job_id: str, stage: int) -> _Job | None:
        """The job, when it is running in that stage."""
        job = self._jobs.get(job_id)
        if job is None or job.state is not JobState.RUNNING or job.stage.index != stage:
            return None
        return job

    def _open(self, job_id: str, stage: int) -> _Job | None:
        """The job, when it is running or paused in that stage: what was at work may end."""
        job = self._jobs.get(job_id)
        at_work = job is not None and job.state in (JobState.RUNNING, JobState.PAUSED)
        return job if at_work and job is not None and job.stage.index == stage else None

    def _merging(self, job_id: str, stage: int, fence: int) -> _Job | None:
        """The job, when that fence is the one that holds the stage's merge."""
        job = self._open(job_id, stage)
        if job is None or fence == 0 or job.stage.merge_fence != fence:
            return None
        return job

    def _finish(self, job_id: str, state: JobState, reason: str, stage: int, block: int) -> bool:
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or job.state not in (JobState.RUNNING, JobState.PAUSED):
                return False
            if state is JobState.CANCELLED and job.publishing:
                return False
            job.state, job.error, job.error_stage, job.error_block = state, reason, stage, block
            job.finished_at = job.updated_at = self._clock()
            _drop_stage(job)
            return True


def _claim_block(stage: _Stage, block: int, claim: Claim, wanted: _Lease, max_attempts: int, now: float) -> None:
    if stage.received[block]:
        claim.done.append(block)
        return
    lease = stage.leases.get(block)
    if lease is not None and lease.is_held_by_another(wanted.owner, now):
        claim.leased.append(block)
        return
    if lease is not None:
        stage.attempts[block] = stage.attempts.get(block, 0) + 1
    if stage.attempts.get(block, 0) >= max_attempts:
        stage.leases.pop(block, None)
        claim.exhausted.append(block)
        return
    stage.leases[block] = _Lease(wanted.owner, wanted.until, now)
    claim.granted.append(block)
    if lost := stage.attempts.get(block, 0):
        claim.lost[block] = lost


def _mark_received(job: _Job) -> None:
    if job.stage.has_all_receipts:
        times = job.stage_times.get(job.stage.index, StageTimes())
        job.stage_times[job.stage.index] = replace(times, received=job.updated_at)


def _check_blocks(job_id: str, stage: _Stage, blocks: Sequence[int]) -> None:
    for block in blocks:
        if block >= stage.total:
            raise block_beyond(job_id, stage.index, block, stage.total)


def _drop_stage(job: _Job) -> None:
    """Lets go of what only a running job needs; its counters stay."""
    stage = job.stage
    received = stage.received if job.state is JobState.FAILED else bytearray()  # a failed job can be resumed
    job.stage = _Stage(stage.index, stage.total, received, stage.done, stage.dispatched)


def _info(job_id: str, job: _Job) -> JobInfo:
    totals: defaultdict[str, float] = defaultdict(float)
    for sums in job.stage_stats.values():
        for name, value in sums.items():
            totals[name] += value
    return JobInfo(
        job_id=job_id,
        state=job.state,
        lane=job.lane,
        title=job.title,
        stage=job.stage.index,
        stages=job.stages,
        blocks_done=job.stage.done,
        blocks_total=job.stage.total,
        dispatched=job.stage.dispatched,
        merging=job.state is JobState.RUNNING and job.stage.has_all_receipts,
        created_at=job.created_at,
        updated_at=job.updated_at,
        finished_at=job.finished_at,
        error=job.error,
        error_stage=job.error_stage,
        error_block=job.error_block,
        merge_attempts=job.stage.merge_attempts,
        holes=len(job.holes),
        stats=dict(totals),
        stage_stats={stage: dict(sums) for stage, sums in sorted(job.stage_stats.items())},
        stage_times=dict(sorted(job.stage_times.items())),
    )
