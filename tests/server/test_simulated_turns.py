"""The simulator's turns are those of the ledger's script: the same jobs get the same turns in the same order."""

from __future__ import annotations

import random
from collections import deque

import pytest

from lepton_celery.fleet.simulation.turns import LaneTurns
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.lane_window import Turn
from lepton_celery.tenants import Terms

LANE = "batch"
TERMS = {"b": Terms(2.0), "c": Terms(0.5, 3), "*": Terms(1.0)}
SIXTEENTH = 1 / 16
"""Times are multiples of it, so that sums have no rounding errors."""


class Both:
    """Gives the same to the ledger's script and to the simulator's model, and compares the turns."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.real, self.model, self.chance = ledger.turns, LaneTurns(), random.Random(seed)
        self.slots = self.chance.choice([1, 2, 8, 64])
        self.terms: dict[str, tuple[str, int]] = {}
        """Tenant and rank of each job."""
        self.left: dict[str, int] = {}
        self.sent: dict[str, deque[int]] = {}
        self.turns: list[Turn] = []

    def submit(self) -> None:
        job, tenant = f"job{len(self.left):03}", self.chance.choice(["", "a", "b", "c"])
        rank, predicted_s = self.chance.choice([0, 0, 0, 5]), self.chance.choice([1, 2, 8, 64]) * SIXTEENTH
        self.terms[job], self.left[job], self.sent[job] = (tenant, rank), self.chance.choice([1, 40, 1000]), deque()
        self._enter(job, predicted_s)
        self.send(only=job)

    def send(self, *, only: str = "") -> None:
        """Send waves until the window is full; `only` those of one job."""
        for _ in range(32):
            turn = self.real.next(LANE, self.slots, TERMS, only=only)
            assert self.model.next(self.slots, TERMS, only=only) == turn
            if turn is None:
                return
            self.turns.append(turn)
            job, blocks = turn.job_id, min(turn.blocks, self.left[turn.job_id])
            self.left[job] -= blocks
            while blocks:
                self.sent[job].append(min(blocks, turn.batch_blocks))
                blocks -= self.sent[job][-1]
            if not self.left[job] or turn.blocks != sum(self.sent[job]):
                self._enter(job)

    def end_batch(self) -> None:
        """End one of the batches that were sent, after a time that may be another one than predicted."""
        busy = [job for job, batches in self.sent.items() if batches]
        if not busy:
            return
        job = self.chance.choice(busy)
        blocks = self.sent[job].popleft()
        seconds = blocks * self.chance.choice([1, 2, 4, 64]) * SIXTEENTH
        weight = TERMS.get(self.terms[job][0], TERMS["*"]).weight
        assert self.real.settle(LANE, job, blocks=blocks, seconds=seconds, weight=weight)
        self.model.settle(job, blocks=blocks, seconds=seconds, weight=weight)
        if not self.left[job] and not self.sent[job]:
            self.real.leave(LANE, job)
            self.model.leave(job)
        self.send()

    def _enter(self, job: str, block_s: float | None = None) -> None:
        tenant, rank = self.terms[job]
        waits, sent = self.left[job] > 0, sum(self.sent[job])
        self.real.enter(LANE, job, tenant=tenant, rank=rank, waits=waits, sent=sent, block_s=block_s)
        self.model.enter(job, tenant=tenant, rank=rank, waits=waits, sent=sent, block_s=block_s)


@pytest.mark.parametrize("seed", range(20))
def test_the_same_jobs_get_the_same_turns_from_the_ledger_and_in_the_simulation(ledger: Ledger, seed: int) -> None:
    both = Both(ledger, seed)
    for _ in range(150):
        if both.chance.random() < 0.1:
            both.submit()
        elif both.chance.random() < 0.02:
            both.slots = both.chance.choice([1, 2, 8, 64])
        else:
            both.end_batch()
    assert len(both.turns) > 20, "the same empty answers would prove nothing"
    assert len({turn.job_id for turn in both.turns}) > 3
