"""Whose turn it is in a simulated lane: the rule of `ledger/lua/lane_turn.lua`, without a server.

A simulation asks millions of times, mostly while the lane's window is full. So the sums that the script computes anew
each time are kept, and change with the job that changed. A test gives both the same jobs and compares their turns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from lepton_celery.ledger.lane_window import ALONE, SHARED, SHORTEST_S, UNKNOWN_S, Spans, Turn
from lepton_celery.tenants import OTHERS, Terms

_FULL = 0.99
"""Share of a window from which it counts as full."""


@dataclass(eq=False, slots=True)
class _Tenant:
    name: str
    time: float
    """Seconds of service."""
    jobs: dict[str, _Job] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)
    share_s: float = 0.0
    """Its part of the lane's window."""
    used_s: float = 0.0
    """What it has of it."""
    messages: int = 0
    """Its batches that are in the broker or being done."""
    highest: int = -1
    """The highest rank of its jobs that have something to send; -1 if none has."""

    @property
    def has_slot(self) -> bool:
        """Whether it may occupy another slot."""
        return not self.terms.slots or self.messages < self.terms.slots


@dataclass(eq=False, slots=True)
class _Job:
    account: _Tenant
    time: float
    cost: float
    """Seconds that a block takes."""
    is_predicted: bool = True
    """Whether that was not measured yet."""
    rank: int = 0
    waits: bool = False
    sent: int = 0
    share_s: float = 0.0
    sent_s: float = 0.0
    used_s: float = 0.0
    batch_blocks: int = 1
    messages: int = 0


class LaneTurns:
    """The open jobs of a lane, with what they have in the broker and what they were served; see `ledger.turns.Turns`."""

    def __init__(self, *, alone: Spans = ALONE, shared: Spans = SHARED) -> None:
        self._alone, self._shared = alone, shared
        self._tenants: dict[str, _Tenant] = {}
        self._jobs: dict[str, _Job] = {}
        self._slots = 0
        self._terms: Mapping[str, Terms] = {}
        self._is_stale = True
        """Whether the shares and sums are to be computed anew."""
        self._spans, self._window_s, self._wave_s, self._total_s = alone, 0.0, 0.0, 0.0

    def __len__(self) -> int:
        """The number of open jobs."""
        return len(self._jobs)

    def enter(
        self, job_id: str, *, tenant: str, rank: int = 0, waits: bool, sent: int, block_s: float | None = None
    ) -> None:
        """See `Turns.enter`."""
        job = self._jobs.get(job_id)
        if job is None:
            found = self._tenants.get(tenant)
            if found is None:
                found = _Tenant(tenant, min((each.time for each in self._tenants.values()), default=0.0))
                self._tenants[tenant] = found
            least = min((each.time for each in found.jobs.values()), default=0.0)
            job = _Job(found, least, UNKNOWN_S if block_s is None else block_s)
            self._jobs[job_id] = found.jobs[job_id] = job
        elif block_s is not None:
            job.cost, job.is_predicted = block_s, True
        job.rank, job.waits, job.sent = rank, waits, sent
        self._is_stale = True

    def leave(self, job_id: str) -> None:
        """See `Turns.leave`."""
        job = self._jobs.pop(job_id)
        del job.account.jobs[job_id]
        if not job.account.jobs:
            del self._tenants[job.account.name]
        self._is_stale = True

    def settle(self, job_id: str, *, blocks: int, seconds: float, weight: float) -> None:
        """See `Turns.settle`."""
        job = self._jobs[job_id]
        job.sent = max(0, job.sent - blocks)
        job.cost = seconds / blocks if job.is_predicted else (job.cost + seconds / blocks) / 2
        job.is_predicted = False
        job.time += seconds
        job.account.time += seconds / weight
        if not self._is_stale:
            self._count(job)

    def next(self, slots: int, terms: Mapping[str, Terms], *, only: str = "") -> Turn | None:
        """See `Turns.next`."""
        if self._is_stale or slots != self._slots or terms is not self._terms:
            self._slots, self._terms = slots, terms
            self._count_all()
        found = min(
            (
                (tenant.time + tenant.used_s / tenant.terms.weight, tenant.name, job.time + job.used_s, job_id)
                for tenant in self._tenants.values()
                if self._has_room(tenant)
                for job_id, job in tenant.jobs.items()
                if job.waits and job.rank == tenant.highest and (not job.sent or job.sent_s < _FULL * job.share_s)
            ),
            default=None,
        )
        if found is None or only not in ("", found[3]):
            return None
        time, _, own_time, job_id = found
        job = self._jobs[job_id]
        tenant, is_first = job.account, self._is_first(job, time, own_time)
        length_s = min(self._wave_s, max(job.share_s, SHORTEST_S))
        blocks = max(1, math.floor(length_s / max(job.cost, 1e-6)))
        messages = tenant.terms.slots - tenant.messages if tenant.terms.slots else 0
        if messages:
            blocks = min(blocks, messages * job.batch_blocks)
        turn = Turn(job_id, blocks, job.batch_blocks, messages, is_first)
        job.sent += blocks
        self._count(job)
        return turn

    def _has_room(self, tenant: _Tenant) -> bool:
        """Whether any job of a tenant may send."""
        if tenant.highest < 0 or not tenant.has_slot:
            return False
        within_share = tenant.used_s < _FULL * tenant.share_s and self._total_s < _FULL * self._window_s
        return not tenant.messages or within_share

    def _is_first(self, chosen: _Job, time: float, own_time: float) -> bool:
        """Whether a job's wave goes before what waits: unless it is ahead of half of what another one has sent."""
        if len(self._jobs) < 2:
            return False
        for tenant in self._tenants.values():
            queued_s = sum(job.sent_s for job in tenant.jobs.values())
            middle = tenant.time + self._half_s(queued_s) / tenant.terms.weight
            if tenant is not chosen.account and queued_s and time > middle:
                return False
        return not any(
            job.sent
            and (chosen.rank < job.rank or (chosen.rank == job.rank and own_time > job.time + self._half_s(job.sent_s)))
            for job in chosen.account.jobs.values()
            if job is not chosen
        )

    def _half_s(self, sent_s: float) -> float:
        """Half of what was sent, of at most a window."""
        return min(sent_s, self._window_s) / 2

    def _count_all(self) -> None:
        """Compute the shares and the sums anew."""
        self._is_stale, self._spans = False, self._shared if len(self._jobs) > 1 else self._alone
        self._window_s, self._wave_s = self._slots * self._spans.window_s, self._slots * self._spans.wave_s
        self._total_s = 0.0
        for tenant in self._tenants.values():
            tenant.terms = self._terms.get(tenant.name) or self._terms.get(OTHERS) or Terms()
            tenant.used_s, tenant.messages = 0.0, 0
            tenant.highest = max((job.rank for job in tenant.jobs.values() if job.waits), default=-1)
        weights = sum(tenant.terms.weight for tenant in self._tenants.values())
        for tenant in self._tenants.values():
            tenant.share_s = self._window_s * tenant.terms.weight / weights
            ranks = [job.rank for job in tenant.jobs.values()]
            for job in tenant.jobs.values():
                job.share_s = tenant.share_s / ranks.count(job.rank)
                job.used_s, job.messages = 0.0, 0
                self._count(job)

    def _count(self, job: _Job) -> None:
        """Add to the sums what a job has in the broker, instead of what it had."""
        tenant, used_s, messages = job.account, job.used_s, job.messages
        # a block that takes long counts as half of its slot's part of the window
        job.sent_s = job.sent * min(job.cost, self._spans.window_s / 2)
        job.used_s = job.share_s if job.sent_s > job.share_s + self._wave_s else job.sent_s
        job.batch_blocks = max(1, math.floor(self._spans.batch_s / max(job.cost, 1e-6)))
        job.messages = -(-job.sent // job.batch_blocks)
        tenant.used_s += job.used_s - used_s
        tenant.messages += job.messages - messages
        self._total_s += job.used_s - used_s
