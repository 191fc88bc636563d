"""The blocks of one message, done one after the other, or several at once; their receipts."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import partial

from lepton_celery.config import Settings
from lepton_celery.engines.celery.worker.failures import MOST_PIECES, PASSING, Failures, is_certain, words
from lepton_celery.engines.celery.worker.limits import TimeLimit, memory_limit
from lepton_celery.execution.block import run_block, run_blocks
from lepton_celery.execution.context import Context
from lepton_celery.execution.manifest import Manifest
from lepton_celery.execution.threads import one_thread
from lepton_celery.execution.timings import Timings
from lepton_celery.grid import BlockIndex, Place, StageNumber
from lepton_celery.ledger.base import Ledger
from lepton_celery.ledger.heartbeat import Heartbeat

log = logging.getLogger(__name__)

_COMMIT_EVERY_S = 0.25
"""Receipts of small blocks are handed in together, at least this often."""


@dataclass
class Batch:
    """The blocks of one message, done one after the other."""

    ledger: Ledger
    settings: Settings
    found: Manifest
    context: Context
    stage: StageNumber
    left: list[Place]
    """Places of the blocks without a receipt, in order."""
    owner: str
    lost: dict[Place, int]
    """How often blocks were lost before, by their places."""
    failures: Failures
    began: float
    """When its message was taken up, of `perf_counter`."""
    stale: bool = False
    """Whether the job ended, or went on, while this was at work."""

    def run(self) -> None:
        """Do them; blocks that fail are sent again or given up, passing errors are raised."""
        settings, job_id = self.settings, self.found.job_id
        suspects = [block for block in self.left if block in self.lost] if len(self.left) > 1 else []
        if suspects:  # one of them may take its worker down again: each goes alone
            self.ledger.release(job_id, self.stage, suspects, owner=self.owner, count_attempt=False)
            self.left[:] = [block for block in self.left if block not in self.lost]
            self.failures.again(suspects)
        renew = partial(self.ledger.renew, job_id, self.stage, owner=self.owner, lease_s=settings.lease_s)
        failed: list[Place] = []
        with (
            Heartbeat(renew, settings.lease_s / 3) as heartbeat,
            one_thread(),
            memory_limit(settings.memory_limit_bytes),
            TimeLimit(settings.block_limit_s) as limit,
        ):
            self._do(heartbeat, limit, failed)
        self.stale = self.stale or heartbeat.lost.is_set()
        self.failures.again(failed)

    def _do(self, heartbeat: Heartbeat, limit: TimeLimit, failed: list[Place]) -> None:
        receipts = _Receipts(self)
        stage = self.found.plan.stage_of(self.stage)
        boxes = stage.boxes(self.left)
        while boxes:
            if heartbeat.lost.is_set():
                break  # cancelled, or given to another worker
            box = boxes.pop(0)
            places = [stage.tiling.place(block) for block in box]
            limit.begin()
            try:
                if len(box) == 1:
                    self._run_block(box[0], places[0], receipts.timings)
                else:
                    run_blocks(self.context, self.stage, box, timings=receipts.timings)
            except PASSING:
                receipts.hand_in()
                raise
            except Exception as error:  # a user's function may raise anything
                if len(box) == 1:
                    self._failed(places[0], error, failed)
                else:  # one of them is to blame, or there are too many for the memory
                    boxes[:0] = [[block] for block in box]
                continue
            receipts.add(places)
        receipts.hand_in()

    def _run_block(self, block: BlockIndex, place: Place, timings: Timings) -> None:
        """One block, in pieces if that is what it takes."""
        pieces, lost = 1, self.lost.get(place, 0)
        if lost > 1 and not self.ledger.reason(self.found.job_id, place):
            pieces = min(
                MOST_PIECES, 4 ** (lost - 1)
            )  # its worker died twice without a word: for want of memory, perhaps
        while True:
            try:
                run_block(self.context, self.stage, block, pieces=pieces, timings=timings)
                return
            except MemoryError:
                index, _ = self.found.plan.stage_run(self.stage)
                if pieces >= MOST_PIECES or not self.found.plan.can_be_cut(index):
                    raise
                pieces *= 4
                log.warning("job %s: block %d needs too much memory; in %d pieces", self.found.job_id, block, pieces)

    def _failed(self, place: Place, error: Exception, failed: list[Place]) -> None:
        log.warning("job %s: block %d of stage %d failed", self.found.job_id, place, self.stage, exc_info=error)
        self.left.remove(place)
        if is_certain(error):
            self.failures.give_up(place, words(error), self.found, self.context)
            return
        self.ledger.release(
            self.found.job_id, self.stage, [place], owner=self.owner, count_attempt=True, reason=words(error)
        )
        failed.append(place)


class _Receipts:
    """Receipts of a batch's blocks, handed in several at a time."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.timings = Timings()
        """What the blocks took whose receipts are next."""
        self._done: list[Place] = []
        self._batches = 1.0
        self._counted = batch.began
        self._handed_in = time.monotonic()

    def add(self, places: list[Place]) -> None:
        """Blocks are done; their receipts go now or soon."""
        self._done += places
        if time.monotonic() - self._handed_in >= _COMMIT_EVERY_S:
            self.hand_in()

    def hand_in(self) -> None:
        """Write the receipts down beside the outputs, then in the ledger."""
        batch = self._batch
        if self._done:
            batch.found.journal.received(batch.stage, self._done)
            fresh = batch.ledger.commit(
                batch.found.job_id, batch.stage, self._done, owner=batch.owner, stats=self._stats()
            )
            batch.stale = batch.stale or not fresh
            done = set(self._done)
            batch.left[:] = [block for block in batch.left if block not in done]
        self._done, self.timings, self._handed_in = [], Timings(), time.monotonic()

    def _stats(self) -> dict[str, float]:
        """The blocks' figures, and the time of the batch since its last receipts, or since it began."""
        now = time.perf_counter()
        stats = {**self.timings.stats(), "batches": self._batches, "batch_s": now - self._counted}
        self._batches, self._counted = 0.0, now
        return stats
