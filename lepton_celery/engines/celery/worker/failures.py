"""What becomes of blocks that cannot be done: tried again, alone and in pieces; given up; and when the job has to end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from celery import Celery

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.errors import (
    BrokerUnreachable,
    InputError,
    JobError,
    JobNotFound,
    LeptonError,
    OutputExists,
    StoreError,
    StoreNotFound,
)
from lepton_celery.execution.block import fill_block
from lepton_celery.execution.context import Context
from lepton_celery.execution.manifest import Manifest
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger.base import Ledger
from lepton_celery.ledger.info import NO_PLACE
from lepton_celery.planning.batches import alone

log = logging.getLogger(__name__)

PASSING = (StoreError, BrokerUnreachable)
"""Errors that may pass by themselves: these are tried again, the whole batch …"""

FINAL = (StoreNotFound, OutputExists)
"""… but not these of them: what is not there, or in the way, stays so, and the job ends."""

MOST_PIECES = 256
"""A block that does not fit into memory in so many pieces does not fit at all."""


@dataclass(frozen=True)
class Failures:
    """The rules for one job on one worker."""

    app: Celery
    ledger: Ledger
    settings: Settings
    job_id: str
    stage: StageNumber

    def fail(self, reason: str, block: Place = NO_PLACE) -> None:
        """End the job. What it has written stays until it is resumed, forgotten or too old."""
        try:
            info = self.ledger.info(self.job_id)
        except JobNotFound:
            return
        if info.stage != self.stage:
            return  # late: others have done this block, and the stage is over
        where = f"block {block} of stage {info.stage_label}: " if block >= 0 else f"stage {info.stage_label}: "
        self.ledger.fail(self.job_id, where + reason, stage=self.stage, block=block)

    def again(self, blocks: Sequence[int]) -> None:
        """Hand blocks to the broker once more, each in a message of its own: a bad one takes no others with it."""
        if blocks:
            canvas.send_wave(self.app, self.ledger.info(self.job_id), alone(map(Place, sorted(blocks))))

    def exhausted(self, blocks: list[Place], found: Manifest, context: Context) -> None:
        """Blocks that were tried as often as is allowed."""
        for block in blocks:
            reason = self.ledger.reason(self.job_id, block)
            self.give_up(block, reason or self._lost(), found, context)

    def _lost(self) -> str:
        limit = f", or ran longer than {self.settings.block_limit_s:g} s" if self.settings.block_limit_s else ""
        return (
            f"it took its worker down {self.settings.max_attempts} times: the worker was killed, often for want of "
            f"memory, or crashed{limit}; its log tells more"
        )

    def give_up(self, block: Place, reason: str, found: Manifest, context: Context) -> None:
        """End the job, or fill the block and go on, as the job was submitted."""
        if found.options.on_error == "fail":
            self.fail(reason, block)
            return
        try:
            tiling = found.plan.stage_of(self.stage).tiling
            fill_block(context, self.stage, tiling.block(block), found.options.fill_value)
        except Exception as error:
            self.fail(f"{reason}; and it cannot be filled: {words(error)}", block)
            return
        log.warning("job %s: block %d is given up: %s", self.job_id, block, reason)
        self.ledger.give_up(self.job_id, self.stage, block, reason=reason)
        self._break_circuit(reason, block)

    def _break_circuit(self, reason: str, block: Place) -> None:
        """End a job that would come out as little but fill."""
        holes = sum(hole.stage == self.stage for hole in self.ledger.filled_blocks(self.job_id))
        info = self.ledger.info(self.job_id)
        if holes >= self.settings.max_filled_blocks and 2 * holes > info.blocks_done:
            self.fail(
                f"{holes} of the {info.blocks_done} blocks done so far were given up, the last one: {reason}", block
            )


def words(error: Exception) -> str:
    """The reason a person reads."""
    return str(error) if isinstance(error, LeptonError) else f"{type(error).__name__}: {error}"


def is_certain(error: Exception) -> bool:
    """Whether an error would come again: this package's own refusals do."""
    return isinstance(error, InputError | JobError)
