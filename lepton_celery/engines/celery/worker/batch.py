"""Processes the blocks of one message, and commits their receipts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event

from lepton_celery.engines.celery.sending import canvas, turns
from lepton_celery.engines.celery.worker import log_lines
from lepton_celery.engines.celery.worker.failures import (
    CERTAIN,
    MAX_PIECES,
    PASSING,
    give_up,
    note_traceback,
    retry_alone,
)
from lepton_celery.engines.celery.worker.stage import OpenStage, guarded, traced
from lepton_celery.errors import reason_of
from lepton_celery.execution.block import run_blocks
from lepton_celery.execution.freed_memory import free_arrays_of
from lepton_celery.execution.timings import Timings
from lepton_celery.grid import Place
from lepton_celery.ledger.history import Work
from lepton_celery.ledger.info import stage_label
from lepton_celery.ledger.lane_window import ALONE
from lepton_celery.log_fields import about
from lepton_celery.planning.batches import batches, format_places
from lepton_celery.priority import LANES
from lepton_celery.text import logger
from lepton_celery.tracing.work import BATCH, WorkSpan

log = logger(__name__)

_COMMIT_EVERY_S = 0.25
"""Longest time, in seconds, for which receipts of small blocks are collected before they are committed. Then the batch looks
whether other jobs want its slot."""

_LONGEST_S = 2.0
"""Seconds after which the rest of a batch that takes far longer than planned is sent in smaller batches."""

_OVER = 3.0
"""How many times as long as planned that is."""

_PIECES_PER_SLOT = 2
"""Number of smaller batches for each slot of the lane into which the rest is cut."""

_NOT_IN_PIECES = (
    "the block is not computed in pieces, because a function of its stage may give other pixels then; submit the job with a "
    "smaller block_shape, or raise LEPTON_MEMORY_LIMIT_BYTES on the workers"
)


@dataclass
class Batch:
    """The blocks of a message that the ledger granted to this process."""

    stage: OpenStage
    places: list[Place]
    """The blocks that are still to be done, in order. The caller's list is changed in place."""
    lost: Mapping[Place, int]
    """Number of lost attempts of each block that has lost any."""
    began: float
    """When work on the message began, by `time.perf_counter`."""
    stale: bool = False
    """Whether the job ended or left the stage during the batch."""

    def __post_init__(self) -> None:
        self._timings = Timings()
        """The times of the blocks whose receipts are committed next."""
        self._done: list[Place] = []
        self._handed_in = self.began
        self._gives_way = self._is_urgent = self._takes_long = False
        self.blocks = self._read_bytes = self._written_bytes = 0
        self._compute_s = 0.0
        self._span = WorkSpan()

    def run(self) -> None:
        """Do the blocks. A block that fails is retried or given up.

        Raises:
            StoreError, BrokerUnreachable: an error that may be temporary.
        """
        with traced(self.stage, BATCH) as self._span:
            if lost := [self.lost[place] for place in self.places if place in self.lost]:
                self._span.tell("lepton.lost_attempts", blocks=len(lost), attempts=sum(lost))
            try:
                self._run()
            finally:
                self._note()

    def _run(self) -> None:
        self._send_suspects()
        with guarded(self.stage) as (lost, begin_block):
            failed = self._run_boxes(lost, begin_block)
        if self.places and not (self.stale or lost.is_set()):
            self._hand_over()
        self._tell()
        self.stale = self.stale or lost.is_set()
        retry_alone(self.stage, failed)

    def _send_suspects(self) -> None:
        """Send each block with lost attempts in a message of its own, because it may kill this process too."""
        stage = self.stage
        suspects = [place for place in self.places if place in self.lost] if len(self.places) > 1 else []
        if suspects:
            stage.ledger.release(stage.job_id, stage.number, suspects, owner=stage.owner, count_attempt=False)
            self._remove(suspects)
            retry_alone(stage, suspects)

    def _run_boxes(self, lost: Event, begin_block: Callable[[], None]) -> list[Place]:
        """Do the blocks box by box, and return the places of the blocks to retry."""
        stage, tiling = self.stage, self.stage.planned.tiling
        failed: list[Place] = []
        boxes = stage.planned.boxes(self.places)
        while boxes and not lost.is_set() and not self._gives_way:  # set if the job ended or left the stage
            box = boxes.pop(0)
            places = [tiling.place(block) for block in box]
            begin_block()
            try:
                if len(box) == 1:
                    self._run_block(places[0])
                else:
                    run_blocks(stage.context, stage.number, box, timings=self._timings)
            except PASSING:
                self._hand_in()
                raise
            except Exception as error:  # a user's function may raise anything
                free_arrays_of(error)
                if len(box) > 1:  # one block failed, or the box does not fit into memory
                    boxes[:0] = [[block] for block in box]
                elif self._is_to_be_retried(places[0], error):
                    failed.append(places[0])
                continue
            self._done += places
            if time.perf_counter() - self._handed_in >= _COMMIT_EVERY_S:
                self._hand_in()
                self._look_around()
        self._hand_in()
        return failed

    def _look_around(self) -> None:
        """Decide whether other jobs get the slot now, or other slots the rest of the batch."""
        stage, elapsed = self.stage, time.perf_counter() - self.began
        more_urgent = [lane for lane in LANES if LANES.index(lane) < LANES.index(stage.lane)]
        rivals = stage.ledger.turns.rivals(stage.lane, more_urgent)
        slots = max(1, stage.ledger.slots(stage.lane))
        # of many slots, about two for each job that waits are enough
        self._is_urgent = rivals.urgent > 0 and random.random() < 2 * rivals.urgent / slots
        predicted = stage.planned.predicted
        planned_s = predicted.work_s / max(1, predicted.blocks) * (self.blocks + len(self.places))
        self._takes_long = elapsed >= max(_LONGEST_S, _OVER * planned_s)
        shares = rivals.same_lane > 0 and not stage.plan.is_small
        self._gives_way = self._is_urgent or shares or self._takes_long

    def _hand_over(self) -> None:
        """Send the blocks that are left: before the lane's other messages, if a job of a more urgent lane gets the slot.

        They are one batch, unless the batch took far longer than planned.
        """
        stage = self.stage
        stage.ledger.release(stage.job_id, stage.number, self.places, owner=stage.owner, count_attempt=False)
        rest = [list(self.places)]
        if self._takes_long and not (
            self._is_urgent or turns.is_limited(stage.settings, stage.manifest.options.tenant)
        ):
            block_s = (time.perf_counter() - self.began) / max(1, self.blocks)
            slots = max(1, stage.ledger.slots(stage.lane))
            largest = max(1, int(ALONE.batch_s / block_s), -(-len(self.places) // (_PIECES_PER_SLOT * slots)))
            rest = batches(stage.planned, stage.plan.workers, self.places, largest=largest)
        canvas.send_wave(stage.app, stage.ledger.info(stage.job_id), rest, closed=False, urgent=self._is_urgent)
        self.places.clear()

    def _run_block(self, place: Place) -> None:
        """Do one block, in as many pieces as it needs to fit into memory."""
        stage, lost, pieces = self.stage, self.lost.get(place, 0), 1
        block = stage.planned.tiling.block(place)
        if lost > 1 and not stage.ledger.reason(stage.job_id, place):
            # its worker died twice without giving a reason, perhaps because it ran out of memory
            pieces = min(MAX_PIECES, 4 ** (lost - 1))
        while True:
            try:
                run_blocks(stage.context, stage.number, [block], pieces=pieces, timings=self._timings)
                return
            except MemoryError as error:
                free_arrays_of(error)
                index, _ = stage.plan.stage_run(stage.number)
                if not stage.plan.can_be_cut(index):
                    error.add_note(_NOT_IN_PIECES)
                    raise
                if pieces >= MAX_PIECES:
                    raise
                pieces *= 4
                with about(blocks=format_places([place])):
                    described = stage.describe(place)
                    log.warning("job %s: %s needs too much memory; in %d pieces", stage.job_id, described, pieces)

    def _is_to_be_retried(self, place: Place, error: Exception) -> bool:
        """Release a block that failed, or give it up; whether to retry it."""
        stage = self.stage
        with about(blocks=format_places([place])):
            log.warning("job %s: %s failed", stage.job_id, stage.describe(place), exc_info=error)
        self._span.fail(error)
        self._remove([place])
        note_traceback(stage, place, error)
        if isinstance(error, CERTAIN):
            give_up(stage, place, reason_of(error))
            return False
        stage.ledger.release(
            stage.job_id, stage.number, [place], owner=stage.owner, count_attempt=True, reason=reason_of(error)
        )
        return True

    def _tell(self) -> None:
        """Say in the worker's log what was done."""
        label = stage_label(self.stage.number, len(self.stage.plan.stages))
        blocks = f"{self.blocks} block{'' if self.blocks == 1 else 's'}"
        seconds = time.perf_counter() - self.began
        read, written = self._read_bytes / 1e6, self._written_bytes / 1e6
        log_lines.tell(
            f"job {self.stage.job_id} stage {label}, {blocks} in {seconds:.2f} s, "
            f"{read:.1f} MB read, {written:.1f} MB written"
        )

    def _note(self) -> None:
        """Say in the trace what was done."""
        seconds = time.perf_counter() - self.began
        self._span.note(
            blocks=self.blocks,
            read_bytes=self._read_bytes,
            written_bytes=self._written_bytes,
            computing_s=round(self._compute_s, 6),
            other_work_s=round(max(0.0, seconds - self._compute_s), 6),
            retries=self.stage.retries,
        )

    def _remove(self, places: list[Place]) -> None:
        removed = set(places)
        self.places[:] = [place for place in self.places if place not in removed]

    def _hand_in(self) -> None:
        """Record the receipts of the blocks done so far: in the journal beside the outputs, then in the ledger."""
        if not self._done:
            return
        stage, now = self.stage, time.perf_counter()
        self.blocks += len(self._done)
        self._read_bytes += self._timings.read_bytes
        self._written_bytes += self._timings.write_bytes
        batches = 1.0 if self._handed_in == self.began else 0.0  # the ledger counts the batch at its first commit
        self._compute_s += self._timings.seconds("compute")
        stats = {**self._timings.stats(), "batches": batches, "batch_s": now - self._handed_in}
        stage.manifest.journal(stage.settings.roots).log_receipts(stage.number, self._done)
        work = Work(
            stage.slot,
            format_places(sorted(self._done)),
            now - self._handed_in,
            stats["compute_s"],
            stats["read_s"],
            stats["write_s"],
            self._timings.read_bytes,
            self._timings.write_bytes,
        )
        fresh = stage.ledger.commit(stage.job_id, stage.number, self._done, owner=stage.owner, stats=stats, work=work)
        self.stale = self.stale or not fresh
        self._remove(self._done)
        self._done, self._timings, self._handed_in = [], Timings(), now
