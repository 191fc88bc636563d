"""The blocks of one message, done one after the other or several at once, and their receipts."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from lepton_celery.engines.celery.worker.failures import (
    MAX_PIECES,
    PASSING,
    give_up,
    is_certain,
    reason_of,
    retry_alone,
)
from lepton_celery.engines.celery.worker.limits import TimeLimit
from lepton_celery.engines.celery.worker.stage import OpenStage, guarded
from lepton_celery.execution.block import run_block, run_blocks
from lepton_celery.execution.timings import Timings
from lepton_celery.grid import Place
from lepton_celery.ledger.heartbeat import Heartbeat

log = logging.getLogger(__name__)

_COMMIT_EVERY_S = 0.25
"""Longest time for which the receipts of small blocks are collected before they are handed in."""


@dataclass
class Batch:
    """Blocks of a stage that were granted to this process."""

    stage: OpenStage
    places: list[Place]
    """The blocks without a receipt, in order; the others are removed."""
    lost: Mapping[Place, int]
    """How often blocks were lost before."""
    began: float
    """When the message was taken up, by `perf_counter`."""
    stale: bool = False
    """Whether the job ended, or went on, while the batch was at work."""

    def run(self) -> None:
        """Do the blocks. A block that fails is sent again or given up.

        Raises:
            StoreError, BrokerUnreachable: an error that may pass by itself.
        """
        stage = self.stage
        self._send_suspects()
        failed: list[Place] = []
        renew = partial(
            stage.ledger.renew, stage.job_id, stage.number, owner=stage.owner, lease_s=stage.settings.lease_s
        )
        with guarded(stage.settings, renew) as (heartbeat, limit):
            self._run_boxes(heartbeat, limit, failed)
        self.stale = self.stale or heartbeat.lost.is_set()
        retry_alone(stage, failed)

    def _send_suspects(self) -> None:
        """Send the blocks that were lost before in messages of their own: one of them may end this process too."""
        stage = self.stage
        suspects = [place for place in self.places if place in self.lost] if len(self.places) > 1 else []
        if suspects:
            stage.ledger.release(stage.job_id, stage.number, suspects, owner=stage.owner, count_attempt=False)
            self._remove(suspects)
            retry_alone(stage, suspects)

    def _run_boxes(self, heartbeat: Heartbeat, limit: TimeLimit, failed: list[Place]) -> None:
        """Do the blocks, each box of small ones at once; `failed` gets the places of those that are to be tried again."""
        stage, receipts = self.stage, _Receipts(self)
        tiling = stage.planned.tiling
        boxes = stage.planned.boxes(self.places)
        while boxes and not heartbeat.lost.is_set():  # it is lost if the job ended or another worker has the blocks
            box = boxes.pop(0)
            places = [tiling.place(block) for block in box]
            limit.begin()
            try:
                if len(box) == 1:
                    self._run_block(places[0], receipts.timings)
                else:
                    run_blocks(stage.context, stage.number, box, timings=receipts.timings)
            except PASSING:
                receipts.hand_in()
                raise
            except Exception as error:  # a user's function may raise anything
                if len(box) > 1:  # one block is to blame, or there are too many for the memory
                    boxes[:0] = [[block] for block in box]
                elif self._is_to_be_retried(places[0], error):
                    failed.append(places[0])
                continue
            receipts.add(places)
        receipts.hand_in()

    def _run_block(self, place: Place, timings: Timings) -> None:
        """Do one block, in as many pieces as it needs to fit into memory."""
        stage, lost = self.stage, self.lost.get(place, 0)
        pieces = 1
        if lost > 1 and not stage.ledger.reason(stage.job_id, place):
            # its worker died twice without giving a reason, perhaps for want of memory
            pieces = min(MAX_PIECES, 4 ** (lost - 1))
        while True:
            try:
                run_block(
                    stage.context, stage.number, stage.planned.tiling.block(place), pieces=pieces, timings=timings
                )
                return
            except MemoryError:
                index, _ = stage.plan.stage_run(stage.number)
                if pieces >= MAX_PIECES or not stage.plan.can_be_cut(index):
                    raise
                pieces *= 4
                log.warning(
                    "job %s: %s needs too much memory; in %d pieces", stage.job_id, stage.describe(place), pieces
                )

    def _is_to_be_retried(self, place: Place, error: Exception) -> bool:
        """Whether a block that failed is to be tried again; otherwise it is given up."""
        stage = self.stage
        log.warning("job %s: %s failed", stage.job_id, stage.describe(place), exc_info=error)
        self._remove([place])
        if is_certain(error):
            give_up(stage, place, reason_of(error))
            return False
        stage.ledger.release(
            stage.job_id, stage.number, [place], owner=stage.owner, count_attempt=True, reason=reason_of(error)
        )
        return True

    def _remove(self, places: list[Place]) -> None:
        removed = set(places)
        self.places[:] = [place for place in self.places if place not in removed]

    def hand_in(self, places: list[Place], stats: Mapping[str, float]) -> None:
        """Write receipts down beside the outputs, then in the ledger."""
        stage = self.stage
        stage.manifest.journal.log_receipts(stage.number, places)
        fresh = stage.ledger.commit(stage.job_id, stage.number, places, owner=stage.owner, stats=stats)
        self.stale = self.stale or not fresh
        self._remove(places)


class _Receipts:
    """Receipts of a batch's blocks, which are handed in several at a time."""

    def __init__(self, batch: Batch) -> None:
        self.timings = Timings()
        """What the blocks took whose receipts are next."""
        self._batch = batch
        self._done: list[Place] = []
        self._batches = 1.0
        self._counted = batch.began
        self._handed_in = time.monotonic()

    def add(self, places: list[Place]) -> None:
        """Note blocks that are done; their receipts are handed in now or soon."""
        self._done += places
        if time.monotonic() - self._handed_in >= _COMMIT_EVERY_S:
            self.hand_in()

    def hand_in(self) -> None:
        """Hand the receipts in."""
        if self._done:
            self._batch.hand_in(self._done, self._stats())
        self._done, self.timings, self._handed_in = [], Timings(), time.monotonic()

    def _stats(self) -> dict[str, float]:
        """The blocks' figures, and the time of the batch since its last receipts, or since it began."""
        now = time.perf_counter()
        stats = {**self.timings.stats(), "batches": self._batches, "batch_s": now - self._counted}
        self._batches, self._counted = 0.0, now
        return stats
